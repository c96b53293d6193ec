"""A worker thread that always has the newest work, so that slow work never makes a node lag."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any


class LatestWorker:
    """Calls ``handle(item)`` on a thread of its own, keeping at most ``depth`` items waiting.

    When a new item finds the queue full the oldest one is dropped. ``depth`` 1 always works on the
    newest; 2 rides out a hiccup without a loss.

    Args:
        handle: the work; runs on the worker's thread.
        failed: gets whatever ``handle`` raised; the worker lives on.
        depth: how many items may wait.
        name: of the thread.
    """

    def __init__(
        self, handle: Callable[[Any], None], failed: Callable[[Exception], None], depth: int = 1, name: str = "worker"
    ) -> None:
        self._handle, self._failed = handle, failed
        self._waiting: deque[Any] = deque()
        self._depth = depth
        self._condition = threading.Condition()
        self._stopping = False
        self.dropped = 0
        self._began_s: float | None = None  # the item in work
        self._took_s = 0.0  # the previous one
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    @property
    def depth(self) -> int:
        """How many items may wait; can be changed while running."""
        return self._depth

    @depth.setter
    def depth(self, depth: int) -> None:
        self._depth = depth

    @property
    def item_s(self) -> float:
        """How long an item takes [s]: the last one did, or the one in work has been, if that is longer."""
        return max(self._took_s, self.in_work_s)

    @property
    def in_work_s(self) -> float:
        """How long the present item has been in work [s]; 0 where none is."""
        began_s = self._began_s
        return 0.0 if began_s is None else time.monotonic() - began_s

    def put(self, item: Any) -> int:
        """Hands over an item; returns how many older ones it pushed out."""
        with self._condition:
            pushed_out = 0
            while len(self._waiting) >= self._depth:
                self._waiting.popleft()
                pushed_out += 1
            self._waiting.append(item)
            self.dropped += pushed_out
            self._condition.notify()
        return pushed_out

    def stop(self, timeout_s: float = 5.0) -> bool:
        """Finishes the item in work, drops those that wait, ends the thread; False if it did not end."""
        with self._condition:
            self._stopping = True
            self._waiting.clear()
            self._condition.notify()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _work(self) -> None:
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._stopping or self._waiting)
                if self._stopping:
                    return
                item = self._waiting.popleft()
            self._began_s = began_s = time.monotonic()
            try:
                self._handle(item)
            except Exception as error:
                self._failed(error)
            self._took_s, self._began_s = time.monotonic() - began_s, None
