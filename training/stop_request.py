"""Ctrl-C and SIGTERM as a request: the loop ends its step, saves, and leaves."""

from __future__ import annotations

import signal
from types import FrameType


class StopRequest:
    """Within ``with``, SIGINT and SIGTERM set :attr:`signal` instead of ending the process; a second one ends it."""

    def __init__(self) -> None:
        #: The signal that came, or None.
        self.signal: signal.Signals | None = None
        self._before: dict[signal.Signals, object] = {}

    def __enter__(self) -> StopRequest:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._came)
        return self

    def _came(self, number: int, frame: FrameType | None) -> None:
        self.signal = signal.Signals(number)
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()

    def __exit__(self, *exception: object) -> None:
        self._restore()
