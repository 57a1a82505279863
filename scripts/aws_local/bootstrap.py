"""Makes the virtual environment on first use, then becomes the command inside it.

Standard library only, as it runs before anything is installed. Several first uses at once are safe: one installs
under a lock, the others wait for it. The mark of a complete environment is a copy of the requirements, written last,
so an installation that was interrupted, or one for other requirements, is made anew.
"""

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

SCRIPTS = Path(__file__).resolve().parent.parent
REQUIREMENTS = SCRIPTS / "requirements-aws-local.txt"
OLDEST_PYTHON = (3, 10)
EX_UNAVAILABLE = 69

# moto reads these when it is imported, and Python its hash seed when it starts: the ids depend on them.
ENVIRONMENT = {
    "PYTHONHASHSEED": "0",
    "PYTHONDONTWRITEBYTECODE": "1",
    "MOTO_IAM_LOAD_MANAGED_POLICIES": "true",
    "MOTO_EC2_LOAD_DEFAULT_AMIS": "false",
    "MOTO_ALLOW_NONEXISTENT_REGION": "true",
    "AWS_EC2_METADATA_DISABLED": "true",
}


def fail(message: str) -> NoReturn:
    """Ends with a message for people."""
    print(f"aws-local: {message}", file=sys.stderr)
    sys.exit(EX_UNAVAILABLE)


def home() -> Path:
    """Where the virtual environment lives."""
    chosen = os.environ.get("CKWORKER_VENV")
    return Path(chosen).absolute() if chosen else SCRIPTS.parent / ".venv" / "aws-local"


def is_complete(venv: Path) -> bool:
    """Whether the environment was installed to the end, for these requirements."""
    try:
        return (venv / "installed.txt").read_bytes() == REQUIREMENTS.read_bytes()
    except OSError:
        return False


def run(step: str, advice: str, *command: str) -> None:
    """Runs one step of the installation; its output is shown only if it fails."""
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode != 0:
        print(done.stdout.rstrip(), file=sys.stderr)
        fail(f"{step} failed; {advice}")


def install(venv: Path) -> None:
    """Makes the environment anew."""
    print(f"aws-local: installing its Python packages into {venv} (first use only)", file=sys.stderr)
    shutil.rmtree(venv, ignore_errors=True)
    run(
        "making a virtual environment",
        "Python's venv module is needed (Debian: apt-get install python3-venv)",
        *(sys.executable, "-m", "venv", str(venv)),
    )
    run(
        "installing packages with pip",
        "it needs a package index (PyPI or a mirror set in pip.conf); run it again once the network is there",
        *(str(venv / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
        *("--no-input", "--requirement", str(REQUIREMENTS)),
    )
    (venv / "installed.txt").write_bytes(REQUIREMENTS.read_bytes())


def ensure(venv: Path) -> None:
    """Installs the environment unless it is there; others that want the same wait."""
    if is_complete(venv):
        return
    try:
        venv.parent.mkdir(parents=True, exist_ok=True)
        with open(venv.parent / f"{venv.name}.lock", "w", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not is_complete(venv):
                install(venv)
    except OSError as error:
        fail(f"cannot make the virtual environment {venv}: {error}; set CKWORKER_VENV to a folder that can be written")


def main() -> NoReturn:
    """Installs if needed, then runs the command line in place of this process."""
    if sys.version_info < OLDEST_PYTHON:
        fail(f"Python {'.'.join(map(str, OLDEST_PYTHON))} or newer is needed; this is {sys.version.split()[0]}")
    venv = home()
    ensure(venv)
    python = str(venv / "bin" / "python")
    path = os.pathsep.join(filter(None, [str(SCRIPTS), os.environ.get("PYTHONPATH")]))
    os.execve(python, [python, "-m", "aws_local", *sys.argv[1:]], {**os.environ, **ENVIRONMENT, "PYTHONPATH": path})


if __name__ == "__main__":
    main()
