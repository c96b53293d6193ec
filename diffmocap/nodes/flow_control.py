"""Plays a file as fast as the graph consumes it: a bounded number of frames under way."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

#: Before the first acknowledgement, models may still be warming up.
START_TIMEOUT_S = 10.0


class FlowControl:
    """Counts the frames that were sent and not acknowledged yet, by their stamps.

    An acknowledgement also covers everything sent before that frame. What stays unacknowledged for
    too long counts as lost, so that the flow never stops for good.

    Args:
        max_in_flight: returns how many frames may be under way.
        timeout_s: returns after how many seconds a frame counts as lost.
    """

    def __init__(self, max_in_flight: Callable[[], int], timeout_s: Callable[[], float]) -> None:
        self._max_in_flight, self._timeout_s = max_in_flight, timeout_s
        self._sent: dict[int, float] = {}  # stamp -> when, in the order of sending
        self._changed = threading.Condition()
        self._acknowledged_any = False
        self._lost = 0

    def sent(self, stamp_ns: int) -> None:
        """A frame is on its way."""
        with self._changed:
            self._sent[stamp_ns] = time.monotonic()

    def acknowledged(self, stamp_ns: int) -> None:
        """The frame of this stamp has been dealt with."""
        with self._changed:
            if stamp_ns not in self._sent:
                return
            self._acknowledged_any = True
            for earlier in list(self._sent):
                del self._sent[earlier]
                if earlier == stamp_ns:
                    break
                self._lost += 1
            self._changed.notify_all()

    def wait_for_room(self, stop: threading.Event, at_most_s: float = 0.2) -> bool:
        """Waits until one more frame may be sent; False if it may not yet."""
        return self._wait(lambda: len(self._sent) < self._max_in_flight(), stop, at_most_s)

    def wait_until_empty(self, stop: threading.Event) -> None:
        """Waits until everything is acknowledged or lost."""
        while not stop.is_set() and not self._wait(lambda: not self._sent, stop, 0.2):
            pass

    def take_lost(self) -> int:
        """Frames lost since the last call."""
        with self._changed:
            lost, self._lost = self._lost, 0
            return lost

    def _wait(self, ready: Callable[[], bool], stop: threading.Event, at_most_s: float) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: ready() or stop.is_set(), at_most_s)
            self._forget_lost()
            return ready() and not stop.is_set()

    def _forget_lost(self) -> None:
        timeout_s = self._timeout_s() if self._acknowledged_any else max(START_TIMEOUT_S, self._timeout_s())
        now_s = time.monotonic()
        for stamp_ns, sent_s in list(self._sent.items()):
            if now_s - sent_s > timeout_s:
                del self._sent[stamp_ns]
                self._lost += 1
