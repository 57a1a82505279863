"""Makes the virtual environments of the scripts on first use.

Standard library only, as it runs before anything is installed. Several first uses at once are safe: one installs under
a lock, the others wait for it. Every step has a timeout. The mark of a complete environment is a copy of its
requirements, written last, so an interrupted installation, or one for other requirements, is replaced.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

SCRIPTS = Path(__file__).resolve().parent
OLDEST_PYTHON = (3, 10)
EX_UNAVAILABLE = 69
VENV_TIMEOUT_SECONDS = 180.0
PIP_TIMEOUT_SECONDS = 1800.0
OUTPUT_LINES_SHOWN = 15


class Unavailable(Exception):
    """Something that the installation needs is missing; the text has cause and remedy."""


@dataclass(frozen=True)
class Environment:
    """A virtual environment."""

    program: str
    """The script that it is for, as messages name it."""
    folder: Path
    requirements: Path
    size: str
    """How much is installed, for the message of the first use."""
    pip_options: tuple[str, ...] = ()
    """Further options of the installation."""

    def pins(self, file: Path) -> list[str]:
        """Returns the packages that a file of requirements names, without its comments."""
        lines = [line.strip() for line in file.read_text(encoding="utf-8").splitlines()]
        return [line for line in lines if line and not line.startswith("#")]

    @property
    def python(self) -> Path:
        """The interpreter in it."""
        return self.folder / "bin" / "python"

    @property
    def is_complete(self) -> bool:
        """Whether these requirements are installed, and the interpreter is still there."""
        try:
            return self.python.exists() and self.pins(self.folder / "installed.txt") == self.pins(self.requirements)
        except OSError:
            return False

    def say(self, message: str) -> None:
        """Prints a message for people."""
        print(f"{self.program}: {message}", file=sys.stderr, flush=True)

    def ensure(self, interpreter: Callable[[], str]) -> None:
        """Installs the environment unless it is complete. Raises `Unavailable` if it cannot be installed."""
        if self.is_complete:
            return
        try:
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            with open(self.folder.parent / f"{self.folder.name}.lock", "w", encoding="utf-8") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                if not self.is_complete:
                    self._install(interpreter())
        except OSError as error:
            raise Unavailable(
                f"cannot make the virtual environment {self.folder}: {error}; set CKWORKER_VENV to a directory that "
                "can be written"
            ) from error

    def _install(self, interpreter: str) -> None:
        """Replaces the environment by a new one."""
        self.say(f"installing its Python packages into {self.folder} (first use only, {self.size})")
        make_venv(interpreter, self.folder)
        install_packages(self.folder, PIP_TIMEOUT_SECONDS, *self.pip_options, "--requirement", str(self.requirements))
        shutil.copyfile(self.requirements, self.folder / "installed.txt")

    def execute(self, module: str, variables: dict[str, str]) -> NoReturn:
        """Replaces this process by a module of the scripts, with the arguments of this process."""
        path = os.pathsep.join(filter(None, [str(SCRIPTS), os.environ.get("PYTHONPATH")]))
        python = str(self.python)
        os.execve(python, [python, "-m", module, *sys.argv[1:]], {**os.environ, **variables, "PYTHONPATH": path})


def make_venv(interpreter: str, folder: Path) -> None:
    """Makes an empty virtual environment in place of what is in the directory."""
    shutil.rmtree(folder, ignore_errors=True)
    run(
        f"make a virtual environment in {folder}",
        "install Python's venv module, for example with 'apt-get install python3-venv'",
        VENV_TIMEOUT_SECONDS,
        *(interpreter, "-m", "venv", str(folder)),
    )


def install_packages(folder: Path, timeout: float, *arguments: str) -> None:
    """Installs packages into a virtual environment with pip."""
    run(
        f"install Python packages into {folder} with pip",
        "make a package index reachable (PyPI, or a mirror that pip.conf names) and run this again",
        timeout,
        *(str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
        *("--no-input", *arguments),
    )


def run(action: str, remedy: str, timeout: float, *command: str, variables: dict[str, str] | None = None) -> None:
    """Runs a step of the installation. Raises `Unavailable` if it fails, and prints its last lines then."""
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env={**os.environ, **(variables or {})},
        start_new_session=True,
    ) as process:
        try:
            output, _ = process.communicate(timeout=timeout)
        except BaseException as interruption:
            # All of its processes, also when this one is interrupted: they lead a session of their own.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            if isinstance(interruption, subprocess.TimeoutExpired):
                raise Unavailable(f"cannot {action}: not finished after {timeout:g} s; {remedy}") from interruption
            raise
    if process.returncode != 0:
        print(*output.rstrip().splitlines()[-OUTPUT_LINES_SHOWN:], sep="\n", file=sys.stderr, flush=True)
        raise Unavailable(f"cannot {action}: exit code {process.returncode}, see the messages above; {remedy}")


def folder_of(name: str) -> Path:
    """Returns the directory of an environment: below `.venv`, or where CKWORKER_VENV says."""
    chosen = os.environ.get("CKWORKER_VENV")
    if not chosen:
        return SCRIPTS.parent / ".venv" / name
    # The variable names the environment of the local AWS; all others lie beside it.
    aws = Path(chosen).absolute()
    return aws if name == "aws-local" else aws.with_name(f"{aws.name}-{name}")


def fail(program: str, message: str) -> NoReturn:
    """Ends this process because something that it needs is missing."""
    print(f"{program}: {message}", file=sys.stderr, flush=True)
    sys.exit(EX_UNAVAILABLE)


def require_python(program: str) -> None:
    """Ends this process if its Python is too old for the scripts."""
    if sys.version_info < OLDEST_PYTHON:
        oldest = ".".join(map(str, OLDEST_PYTHON))
        fail(program, f"Python {oldest} or newer is needed as python3; this is {sys.version.split()[0]}")
