"""The server's clock: the real one, or a frozen one that a control request advances.

moto stores the time with each resource, so a frozen clock makes creation times repeatable. This package itself uses the
real clock (latency, log times): freezegun ignores the modules in `REAL_TIME_MODULES`.
"""

from __future__ import annotations

import threading
from typing import Any

REAL_TIME_MODULES = ["aws_local", "werkzeug", "socketserver", "selectors", "http.server", "__main__"]


class Clock:
    """A clock, frozen from the start if a time is given."""

    def __init__(self, freeze: str | None) -> None:
        self._lock = threading.Lock()
        self._freezer: Any = None
        self._frozen: Any = None
        if freeze is not None:
            import freezegun

            freezegun.configure(extend_ignore_list=REAL_TIME_MODULES)
            self._freezer = freezegun.freeze_time(freeze, tick=False)
            self._frozen = self._freezer.start()

    @property
    def is_frozen(self) -> bool:
        """Whether the clock is frozen."""
        return self._frozen is not None

    def tick(self, seconds: float) -> None:
        """Advances a frozen clock; does nothing to a running one."""
        with self._lock:
            if self._frozen is not None:
                self._frozen.tick(seconds)

    def unfreeze(self) -> None:
        """Switches to the real time for good."""
        with self._lock:
            if self._freezer is not None:
                self._freezer.stop()
            self._freezer = self._frozen = None
