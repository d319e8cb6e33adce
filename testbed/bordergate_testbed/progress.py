"""Says which step runs, for how long, and how it ended: a spinner on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Iterator

_SPINNER = "|/-\\"
_PLAIN_EVERY_SECONDS = 15


class Progress:
    """Numbered steps, one at a time."""

    def __init__(self, total: int, first: int = 1) -> None:
        self.number = first - 1
        self.name = ""
        self._total = total
        self._detail = ""
        self._terminal = sys.stdout.isatty()

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[Progress]:
        """One step; while it runs, `detail` says more."""
        self.number += 1
        self.name = name
        self._detail = ""
        begin = time.monotonic()
        ended = threading.Event()
        if not self._terminal:
            print(self._head(), flush=True)
        ticker = threading.Thread(target=self._tick, args=(begin, ended), daemon=True)
        ticker.start()
        try:
            yield self
        except BaseException:
            self._end(ticker, ended, begin, "failed")
            raise
        self._end(ticker, ended, begin, "done")

    def detail(self, text: str) -> None:
        """What the step is at now."""
        self._detail = text

    def _head(self) -> str:
        return f"[{self.number:2}/{self._total}] {self.name}"

    def _tick(self, begin: float, ended: threading.Event) -> None:
        turn = 0
        while not ended.wait(0.2 if self._terminal else _PLAIN_EVERY_SECONDS):
            seconds = time.monotonic() - begin
            if self._terminal:
                line = f"{self._head()} {_SPINNER[turn % 4]} {seconds:.0f} s {self._detail}"
                print(f"\r\033[K{line[:110]}", end="", flush=True)
                turn += 1
            else:
                print(f"        {seconds:.0f} s {self._detail}", flush=True)

    def _end(self, ticker: threading.Thread, ended: threading.Event, begin: float, how: str) -> None:
        ended.set()
        ticker.join()
        seconds = time.monotonic() - begin
        detail = f": {self._detail}" if self._detail and how == "done" else ""
        if self._terminal:
            print(f"\r\033[K{self._head()}: {how} in {seconds:.1f} s{detail}", flush=True)
        else:
            print(f"        {how} in {seconds:.1f} s{detail}", flush=True)
