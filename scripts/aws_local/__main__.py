"""Runs the command line as `python -m aws_local`."""

import sys

from aws_local.cli import main

sys.exit(main())
