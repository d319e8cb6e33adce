"""Whether the machine itself keeps time, which is what measurements of a few milliseconds rest on."""

from __future__ import annotations

import os
import threading
import time

_BEAT_SECONDS = 0.001
STANDSTILL_SECONDS = 0.008
"""Between two beats: a machine that is merely busy keeps well below that, as its scheduler sees to it."""


class Pulse:
    """A thread that wants to run every millisecond, and is preferred to others, while the context lasts."""

    def __init__(self) -> None:
        self.longest_seconds = 0.0
        """Between two beats."""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> Pulse:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def stood_still(self) -> bool:
        """Whether there was a time in which it could not run."""
        return self.longest_seconds >= STANDSTILL_SECONDS

    def _beat(self) -> None:
        # As what is measured has it (`Daemon.hurry`), and of this thread alone: what keeps it waiting keeps that waiting, too.
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), -20)
        last = time.monotonic()
        while not self._stop.is_set():
            time.sleep(_BEAT_SECONDS)
            now = time.monotonic()
            self.longest_seconds = max(self.longest_seconds, now - last)
            last = now
