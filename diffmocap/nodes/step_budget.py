"""How many sampler steps the machine can afford: fewer when poses come late, more again when there is time.

A controller without a model of the machine: it looks at the latencies of a short window, gives up steps in
proportion to the overrun at once, and takes one back at a time, waiting longer after each attempt that failed.
"""

from __future__ import annotations

from collections import deque
from statistics import median

WINDOW = 20
#: So many poses are enough where the time allowed is exceeded this many times over.
GROSS_WINDOW, GROSS = 4, 2.0
#: Below this share of the time allowed there is room for another step.
ROOM = 0.7
#: Share of images that may be lost before it counts as falling behind.
TOLERATED_LOSS = 0.05
FIRST_WAIT_S, LONGEST_WAIT_S = 2.0, 60.0
#: Latencies outside this range mean that the stamps come from another clock.
PLAUSIBLE_LATENCY_MS = (0.0, 10_000.0)


class StepBudget:
    """Sampler steps between 1 and what the user asked for.

    Call :meth:`observe` for every pose and :meth:`steps` before the next one. Not thread-safe.
    """

    def __init__(self) -> None:
        self._samples: deque[tuple[float, float, int]] = deque(maxlen=WINDOW)
        self._steps: int | None = None
        self._wait_s = FIRST_WAIT_S
        self._changed_s = 0.0
        self._attempting = False
        self.overrun = False  #: behind the budget although only one step is left

    def observe(self, latency_ms: float, processing_ms: float, dropped: int) -> None:
        """One pose.

        Args:
            latency_ms: from the acquisition of the image to the publication of its pose.
            processing_ms: the part of it that the steps can change: from keypoints taken to published.
            dropped: images lost since the last pose because this node was busy.
        """
        if not PLAUSIBLE_LATENCY_MS[0] <= latency_ms <= PLAUSIBLE_LATENCY_MS[1]:
            latency_ms = processing_ms
        self._samples.append((latency_ms, processing_ms, dropped))

    def steps(self, now_s: float, requested: int, budget_ms: float) -> int:
        """Steps to use for the next pose; ``budget_ms`` 0 always gives ``requested``.

        Args:
            now_s: monotonic clock.
        """
        if self._steps is None or budget_ms <= 0.0 or requested < self._steps:
            self._steps = requested
        if budget_ms <= 0.0:
            self.overrun = False
            return requested
        if len(self._samples) >= GROSS_WINDOW:
            pressure = self._pressure(budget_ms)
            if len(self._samples) == WINDOW or pressure > GROSS:
                self._adapt(pressure, now_s, requested)
        return self._steps

    def _adapt(self, pressure: float, now_s: float, requested: int) -> None:
        self.overrun = pressure > 1.0 and self._steps == 1
        if pressure > 1.0 and self._steps > 1:
            if self._attempting:
                self._wait_s = min(2.0 * self._wait_s, LONGEST_WAIT_S)
            self._change(max(1, min(self._steps - 1, int(self._steps / pressure))), now_s)
        elif pressure < ROOM and self._steps < requested and now_s - self._changed_s > self._wait_s:
            self._wait_s = max(0.5 * self._wait_s, FIRST_WAIT_S)
            self._change(self._steps + 1, now_s)

    def _pressure(self, budget_ms: float) -> float:
        """Processing time over the time allowed for it; above 1 something has to give."""
        latencies, processing, dropped = zip(*self._samples)
        processing_ms = median(processing)
        upstream_ms = max(0.0, median(latencies) - processing_ms)
        # However late the image came in, giving up accuracy below a quarter of the budget would not save it.
        pressure = processing_ms / max(budget_ms - upstream_ms, 0.25 * budget_ms)
        lost = sum(dropped) / (sum(dropped) + len(dropped))
        return max(pressure, 1.0 + lost) if lost > TOLERATED_LOSS else pressure

    def _change(self, steps: int, now_s: float) -> None:
        self._attempting = steps > self._steps
        self._steps = steps
        self._changed_s = now_s
        self._samples.clear()
