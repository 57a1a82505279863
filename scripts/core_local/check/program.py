"""Runs the checks against a core of their own and reports failures."""

from __future__ import annotations

import asyncio
import inspect
import sys
import traceback
from collections.abc import Awaitable, Callable
from types import ModuleType

from core_local.check import doors, merges, queries, workflows
from core_local.check.client import Client, CoreProcess

PREFIX = "check_"
LONGEST_CHECK_SECONDS = 120.0

Check = Callable[[Client], Awaitable[None]]


def run_checks(only: list[str]) -> int:
    """Runs all checks, or those of these names, and returns the exit code."""
    checks = {name: check for module in (merges, queries, workflows, doors) for name, check in checks_of(module)}
    unknown = set(only) - checks.keys()
    if unknown:
        print(f"core-local: no check {', '.join(sorted(unknown))}; there are {', '.join(checks)}", file=sys.stderr)
        return 2
    wanted = {name: check for name, check in checks.items() if not only or name in only}
    failed = asyncio.run(run_all(wanted))
    print(f"{len(wanted) - len(failed)} passed, {len(failed)} failed")
    return 1 if failed else 0


def checks_of(module: ModuleType) -> list[tuple[str, Check]]:
    """The checks of a module with their names."""
    found = inspect.getmembers(module, inspect.iscoroutinefunction)
    return [(name.removeprefix(PREFIX), check) for name, check in found if name.startswith(PREFIX)]


async def run_all(checks: dict[str, Check]) -> list[str]:
    """Runs checks against one core, each with a graph of its own, and returns the names of those that failed."""
    failed: list[str] = []
    async with CoreProcess("--fast") as core:
        for name, check in checks.items():
            try:
                async with Client(core.addresses[0], name.replace("_", "")) as client:
                    await asyncio.wait_for(check(client), LONGEST_CHECK_SECONDS)
                print(f"ok      {name}", flush=True)
            except Exception as problem:  # noqa: BLE001 - every failure is reported
                failed.append(name)
                print(f"FAILED  {name}: {type(problem).__name__}: {problem}", flush=True)
                traceback.print_exc(file=sys.stderr)
    return failed
