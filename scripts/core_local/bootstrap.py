"""Makes the virtual environment on first use, then becomes the command inside it.

Help and wrong arguments need no environment. The core's pinned packages need Python 3.12 or 3.13, whichever Python runs
this file: `interpreter.py` finds or installs one.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NoReturn

SCRIPTS = Path(__file__).resolve().parent.parent
sys.path[0] = str(SCRIPTS)

from virtual_environment import Environment, Unavailable, fail, folder_of, require_python

PROGRAM = "core-local"


def main() -> NoReturn:
    """Installs if needed, then runs the command line in place of this process."""
    require_python(PROGRAM)
    from core_local.cli import parser
    from core_local.interpreter import interpreter

    command = parser().parse_args().command
    requirements = SCRIPTS / "requirements-core-local.txt"
    environment = Environment(PROGRAM, folder_of("core-local"), requirements, "about 200 MB, some minutes")
    try:
        environment.ensure(lambda: interpreter(environment.say))
    except Unavailable as error:
        fail(PROGRAM, str(error))
    if command == "prepare":
        sys.exit(0)
    environment.execute("core_local", {})


if __name__ == "__main__":
    main()
