"""The server's clock: the real one, or a frozen one that moves only when told.

moto stamps what it makes with the time, so a frozen clock makes creation times repeatable. What this package does
itself (latency, log times) goes by the real clock: freezegun leaves the modules in `REAL_TIME_MODULES` alone.
"""

from __future__ import annotations

import threading
from typing import Any

REAL_TIME_MODULES = ["aws_local", "werkzeug", "socketserver", "selectors", "http.server", "__main__"]


class Clock:
    """Starts frozen if a time is given."""

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
        """Whether time stands still."""
        return self._frozen is not None

    def tick(self, seconds: float) -> None:
        """Moves a frozen clock; a running one moves by itself."""
        with self._lock:
            if self._frozen is not None:
                self._frozen.tick(seconds)

    def unfreeze(self) -> None:
        """Returns to the real time for good."""
        with self._lock:
            if self._freezer is not None:
                self._freezer.stop()
            self._freezer = self._frozen = None
