"""Finds a Python that the core's pinned packages work with, or installs one below `.venv`.

networkx 3.7 needs Python 3.12 or newer; aiohttp 3.10.11 has no package for Python 3.14. Python 3.12 and 3.13 are tested
with `core-local check`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from virtual_environment import Unavailable, folder_of, install_packages, make_venv, run

VERSIONS = ("3.12", "3.13")
WANTED = f"Python {' or '.join(VERSIONS)}"
REMEDY = (
    f"install {WANTED} with its venv module (Debian 13: apt-get install python3-venv; Ubuntu 24.04: apt-get install "
    f"python3.12-venv; elsewhere, for example: pyenv install {VERSIONS[0]})"
)
UV = "uv==0.13.9"
UV_INSTALL_TIMEOUT_SECONDS = 180.0
DOWNLOAD_TIMEOUT_SECONDS = 300.0
PROBE_TIMEOUT_SECONDS = 20.0
# Debian has Python without ensurepip, which its venv module needs, in a package of its own.
PROBE = "import ensurepip, sys, venv; print('%d.%d' % sys.version_info[:2])"


def interpreter(say: Callable[[str], None]) -> str:
    """Returns the path of a suitable Python. Raises `Unavailable` if there is none and none can be installed."""
    found = first_suitable(candidates())
    if found:
        return found
    say(f"no {WANTED} with its venv module was found; installing Python {VERSIONS[0]} with uv")
    try:
        install_python()
    except Unavailable as error:
        raise Unavailable(f"cannot provide {WANTED}: {error}, or {REMEDY}") from error
    found = first_suitable(installed())
    if found is None:
        raise Unavailable(f"cannot provide {WANTED}: uv left none below {folder_of('python')}; {REMEDY}")
    return found


def first_suitable(pythons: Iterator[str]) -> str | None:
    """Returns the first of these that has a suitable version and can make virtual environments."""
    return next((python for python in pythons if version(python) in VERSIONS), None)


def version(python: str) -> str | None:
    """Returns the version of a Python, such as `3.12`; none if it does not run or lacks its venv module."""
    try:
        probe = subprocess.run(
            [python, "-c", PROBE],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=PROBE_TIMEOUT_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return probe.stdout.strip() if probe.returncode == 0 else None


def candidates() -> Iterator[str]:
    """Yields interpreters that may be suitable."""
    yield sys.executable
    for name in VERSIONS:
        for place in (None, "/usr/bin:/usr/local/bin"):
            found = shutil.which(f"python{name}", path=place)
            if found:
                yield found
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    for name in VERSIONS:
        yield from map(str, sorted(pyenv.glob(f"versions/{name}.*/bin/python3"), reverse=True))
    yield from installed()


def installed() -> Iterator[str]:
    """Yields the interpreters that uv installed for us."""
    for name in VERSIONS:
        yield from map(str, sorted(folder_of("python").glob(f"cpython-{name}*/bin/python{name}"), reverse=True))


def install_python() -> None:
    """Installs uv from the package index, and a Python with it."""
    tool, pythons = folder_of("uv"), folder_of("python")
    uv = tool / "bin" / "uv"
    if not uv.exists():
        make_venv(sys.executable, tool)
        # Fewer and shorter attempts than pip's own: without a network the tests begin all the sooner.
        install_packages(tool, UV_INSTALL_TIMEOUT_SECONDS, "--retries", "2", "--timeout", "20", UV)
    run(
        f"download Python {VERSIONS[0]} with uv",
        "make the download reachable, name a mirror in UV_PYTHON_INSTALL_MIRROR",
        DOWNLOAD_TIMEOUT_SECONDS,
        *(str(uv), "python", "install", "--no-bin", "--no-progress", "--install-dir", str(pythons), VERSIONS[0]),
        variables={"UV_CACHE_DIR": str(tool / "cache")},
    )

