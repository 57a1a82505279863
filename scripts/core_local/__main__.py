"""Runs the command line as `python -m core_local`."""

import sys

from core_local.cli import main

sys.exit(main())
