"""How many iterations fit into a frame's time budget, from the durations of recent ones."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from statistics import median

from diffmocap.errors import SettingsError

#: Iterations and frames that the estimates look back on.
_MEMORY = 15
#: After so many frames without an iteration one is tried again, so that a machine that was busy is not given up on.
_RETRY_AFTER = 30


class TimeBudget:
    """Gives iterations to frames and measures what they take.

    Before each iteration the time that the frame has taken so far, and the medians of what an iteration and what comes
    after the last one took lately, say whether it fits. So a slow part of a frame costs that frame iterations, and a
    slow machine all frames. A median, since single ones are held up by the system.

    Args:
        clock: seconds, never going back; tests give their own.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._after: deque[float] = deque(maxlen=_MEMORY)
        self._each: deque[float] = deque(maxlen=_MEMORY)
        self._idle_frames = 0
        self._budget_s = self._begin_s = self._mark_s = 0.0
        self._most = self._done = 0

    def begin(self, budget_ms: float, most: int) -> None:
        """A frame begins; 0 ms is no limit but ``most`` iterations.

        Raises:
            SettingsError: a negative budget or number.
        """
        if not budget_ms >= 0 or most < 0:
            raise SettingsError(f"a budget needs at least 0 ms and 0 iterations, got {budget_ms} ms and {most}")
        self._budget_s, self._most, self._done = 1e-3 * budget_ms, most, 0
        self._begin_s = self._clock()

    def start_iterations(self) -> None:
        """What comes before the iterations is done."""
        self._mark_s = self._clock()

    def another(self) -> bool:
        """Whether one more iteration fits, and what comes after it."""
        if self._done >= self._most:
            return False
        if not self._budget_s:
            return True
        if not self._each:  # nothing is known yet: one, to learn what it takes
            return self._done == 0
        if self._done == 0 and self._idle_frames >= _RETRY_AFTER:
            return True
        after = median(self._after) if self._after else 0.0
        return self._clock() - self._begin_s + median(self._each) + after <= self._budget_s

    @property
    def step_ms(self) -> float:
        """What an iteration took lately [ms]; 0 where there was none."""
        return 1e3 * median(self._each) if self._each else 0.0

    def left_s(self) -> float | None:
        """Seconds left for iterations, at least a little; None without a limit."""
        if not self._budget_s:
            return None
        after = median(self._after) if self._after else 0.0
        return max(self._budget_s - after - (self._clock() - self._begin_s), 1e-6)

    def iterated(self, count: int = 1) -> None:
        """``count`` more iterations are done, which took equal parts of the time since the last ones."""
        now = self._clock()
        self._each.append((now - self._mark_s) / count)
        self._mark_s = now
        self._done += count

    def end(self) -> float:
        """The frame is done; returns what it took in ms."""
        now = self._clock()
        self._after.append(now - self._mark_s)
        self._idle_frames = self._idle_frames + 1 if self._done == 0 else 0
        return 1e3 * (now - self._begin_s)
