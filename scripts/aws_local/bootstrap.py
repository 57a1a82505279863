"""Makes the virtual environment on first use, then becomes the command inside it.

Help and wrong arguments need no environment.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NoReturn

SCRIPTS = Path(__file__).resolve().parent.parent
sys.path[0] = str(SCRIPTS)

from virtual_environment import Environment, Unavailable, fail, folder_of, require_python

PROGRAM = "aws-local"

# moto reads these when it is imported, and Python its hash seed when it starts: the ids depend on them.
ENVIRONMENT = {
    "PYTHONHASHSEED": "0",
    "PYTHONDONTWRITEBYTECODE": "1",
    "MOTO_IAM_LOAD_MANAGED_POLICIES": "true",
    "MOTO_EC2_LOAD_DEFAULT_AMIS": "false",
    "MOTO_ALLOW_NONEXISTENT_REGION": "true",
    "AWS_EC2_METADATA_DISABLED": "true",
}


def main() -> NoReturn:
    """Installs if needed, then runs the command line in place of this process."""
    require_python(PROGRAM)
    from aws_local.cli import parser

    command = parser().parse_args().command
    requirements = SCRIPTS / "requirements-aws-local.txt"
    environment = Environment(PROGRAM, folder_of("aws-local"), requirements, "about a minute")
    try:
        environment.ensure(lambda: sys.executable)
    except Unavailable as error:
        fail(PROGRAM, str(error))
    if command == "prepare":
        sys.exit(0)
    environment.execute("aws_local", ENVIRONMENT)


if __name__ == "__main__":
    main()
