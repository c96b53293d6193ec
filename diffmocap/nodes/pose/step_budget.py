"""How many sampler steps the machine can afford: fewer when poses come late, more again when there is time.

Below one step stands the last thing to give up, the physics refinement. As long as it runs it fits its iterations into
what is left of each image's time, by :func:`refinement_end_ms`: so much that, where steps were given up, there is still
room for another one.

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
#: The refinement keeps this share of its room free, and this time for publishing [ms].
KEPT_FREE, PUBLISHING_MS = 0.1, 3.0
#: However late an image comes in, so much of the budget is the pose's: to give up more would not save it.
LEAST_SHARE = 0.5
#: Share of images that may be lost before it counts as falling behind.
TOLERATED_LOSS = 0.05
FIRST_WAIT_S, LONGEST_WAIT_S = 2.0, 60.0
#: Latencies outside this range mean that the stamps come from another clock.
PLAUSIBLE_LATENCY_MS = (0.0, 10_000.0)


def refinement_end_ms(upstream_ms: float, budget_ms: float, all_steps: bool = False) -> float:
    """When the refinement has to be done [ms], from when an image's keypoints were taken up.

    Args:
        upstream_ms: from the acquisition of the image to then.
        budget_ms: from the acquisition to the publication.
        all_steps: the sampler takes all its steps, so that no room need be left for another one.
    """
    if not PLAUSIBLE_LATENCY_MS[0] <= upstream_ms <= PLAUSIBLE_LATENCY_MS[1]:
        upstream_ms = 0.0
    room = 1.0 if all_steps else ROOM
    return (1.0 - KEPT_FREE) * room * _allowed_ms(upstream_ms, budget_ms) - PUBLISHING_MS


def _allowed_ms(upstream_ms: float, budget_ms: float) -> float:
    return max(budget_ms - upstream_ms, LEAST_SHARE * budget_ms)


class StepBudget:
    """Sampler steps between ``floor`` and what the user asked for; 0 is one step without physics.

    Call :meth:`observe` for every pose and :meth:`steps` before the next one. Not thread-safe.
    """

    def __init__(self) -> None:
        self._samples: deque[tuple[float, float, float, float, int]] = deque(maxlen=WINDOW)
        self._steps: int | None = None
        self._floor = 1
        self._wait_s = FIRST_WAIT_S
        self._changed_s = 0.0
        self._attempting = False
        self.overrun = False  #: behind the budget although nothing is left to give up

    def observe(
        self, latency_ms: float, processing_ms: float, dropped: int, spare_ms: float = 0.0, refined_ms: float = 0.0
    ) -> None:
        """One pose.

        Args:
            latency_ms: from the acquisition of the image to the publication of its pose.
            processing_ms: the part of it that the steps can change: from keypoints taken to published.
            dropped: images lost since the last pose because this node was busy.
            spare_ms: the part of the processing that was made because there was time for it, and needs no more levels
                given up; negative where there was too little for what is worth most.
            refined_ms: the part of the processing that the refinement's steps took. Physics goes on without any of
                them, so that it is given up only where the rest of the processing takes too long.
        """
        if not PLAUSIBLE_LATENCY_MS[0] <= latency_ms <= PLAUSIBLE_LATENCY_MS[1]:
            latency_ms = processing_ms
        needed_ms, least_ms = processing_ms - spare_ms, processing_ms - refined_ms
        self._samples.append((latency_ms, processing_ms, needed_ms, least_ms, dropped))

    def steps(self, now_s: float, requested: int, budget_ms: float, floor: int = 1) -> int:
        """Steps to use for the next pose; ``budget_ms`` 0 always gives ``requested``.

        Args:
            now_s: monotonic clock.
            floor: 1, or 0 where there is physics to give up.
        """
        self._floor = floor
        if self._steps is not None and self._steps < floor:
            self._change(floor, now_s)
        if self._steps is None or budget_ms <= 0.0 or requested < self._steps:
            self._steps = requested
        if budget_ms <= 0.0:
            self.overrun = False
            return requested
        if len(self._samples) >= GROSS_WINDOW:
            needed, least = self._pressures(budget_ms)
            if len(self._samples) == WINDOW or needed > GROSS:
                self._adapt(needed, least, now_s, requested)
        return self._steps

    def _adapt(self, needed: float, least: float, now_s: float, requested: int) -> None:
        # The last level is physics: it is worth having without a step, the others only beside those worth most.
        pressure = least if self._steps == 1 and self._floor == 0 else needed
        self.overrun = pressure > 1.0 and self._steps == self._floor
        if pressure > 1.0 and self._steps > self._floor:
            if self._attempting:
                self._wait_s = min(2.0 * self._wait_s, LONGEST_WAIT_S)
            self._change(max(self._floor, min(self._steps - 1, int(self._steps / pressure))), now_s)
        elif needed < ROOM and self._steps < requested and now_s - self._changed_s > self._wait_s:
            self._wait_s = max(0.5 * self._wait_s, FIRST_WAIT_S)
            self._change(self._steps + 1, now_s)

    def _pressures(self, budget_ms: float) -> tuple[float, float]:
        """The time that processing needs, and the least that it takes without a step of the refinement, over the time
        allowed for it; above 1 something has to give."""
        latencies, processing, needed, least, dropped = zip(*self._samples)
        upstream_ms = max(0.0, median(latencies) - median(processing))
        allowed_ms = _allowed_ms(upstream_ms, budget_ms)
        lost = sum(dropped) / (sum(dropped) + len(dropped))
        lowest = 1.0 + lost if lost > TOLERATED_LOSS else 0.0
        return max(median(needed) / allowed_ms, lowest), max(median(least) / allowed_ms, lowest)

    def _change(self, steps: int, now_s: float) -> None:
        self._attempting = steps > self._steps
        self._steps = steps
        self._changed_s = now_s
        self._samples.clear()
