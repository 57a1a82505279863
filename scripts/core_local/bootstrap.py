"""Makes the virtual environment on first use, then becomes the command inside it.

Standard library only, as it runs before anything is installed, and also on a Python that is too old or too new for the
core: then it looks for the right one. Several first uses at once are safe: one installs under a lock, the others wait
for it. The mark of a complete environment is a copy of the requirements, written last, so an installation that was
interrupted, or one for other requirements, is made anew.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

SCRIPTS = Path(__file__).resolve().parent.parent
REQUIREMENTS = SCRIPTS / "requirements-core-local.txt"
PYTHON = "3.12"
EX_UNAVAILABLE = 69
VERSION_CHECK = "import sys; print('%d.%d' % sys.version_info[:2])"


def fail(message: str) -> NoReturn:
    """Ends with a message for people."""
    print(f"core-local: {message}", file=sys.stderr)
    sys.exit(EX_UNAVAILABLE)


def home() -> Path:
    """Where the virtual environment lives: beside that of the local AWS if its place was chosen."""
    chosen = os.environ.get("CKWORKER_VENV")
    if not chosen:
        return SCRIPTS.parent / ".venv" / "core-local"
    aws = Path(chosen).absolute()
    return aws.with_name(f"{aws.name}-core-local")


def candidates() -> Iterator[str]:
    """Interpreters that may be the right one."""
    yield sys.executable
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    for found in sorted(pyenv.glob(f"versions/{PYTHON}*/bin/python3"), reverse=True):
        yield str(found)
    for name in (f"python{PYTHON}", f"/usr/bin/python{PYTHON}", f"/usr/local/bin/python{PYTHON}"):
        found_name: str | None = shutil.which(name)
        if found_name:
            yield found_name


def interpreter() -> str:
    """The Python that the core needs."""
    for python in candidates():
        try:
            asked = subprocess.run(
                [python, "-c", VERSION_CHECK], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
            )
        except OSError:
            continue
        if asked.stdout.strip() == PYTHON:
            return python
    fail(
        f"the core needs Python {PYTHON}, which was found neither as python{PYTHON} nor in pyenv; install it, for "
        f"example with 'apt-get install python{PYTHON} python{PYTHON}-venv' or 'pyenv install {PYTHON}'"
    )


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
    python = interpreter()
    print(f"core-local: installing its Python packages into {venv} (first use only, some minutes)", file=sys.stderr)
    shutil.rmtree(venv, ignore_errors=True)
    run(
        "making a virtual environment",
        f"Python's venv module is needed (Debian: apt-get install python{PYTHON}-venv)",
        *(python, "-m", "venv", str(venv)),
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
    venv = home()
    ensure(venv)
    python = str(venv / "bin" / "python")
    path = os.pathsep.join(filter(None, [str(SCRIPTS), os.environ.get("PYTHONPATH")]))
    os.execve(python, [python, "-m", "core_local", *sys.argv[1:]], {**os.environ, "PYTHONPATH": path})


if __name__ == "__main__":
    main()
