"""How often something may be done: what comes too soon is left out, never kept for later."""

from __future__ import annotations


class Pace:
    """Lets at most ``rate_hz`` events a second through.

    Events that come at just that rate pass although they jitter, by up to half a period. None passes at a rate of 0.
    """

    def __init__(self, rate_hz: float) -> None:
        self.rate_hz = rate_hz
        self._due_s = float("-inf")

    def due(self, now_s: float) -> bool:
        """Whether the event at ``now_s`` of a monotonic clock may pass; it then counts."""
        if self.rate_hz <= 0.0:
            return False
        period_s = 1.0 / self.rate_hz
        if now_s < self._due_s - 0.5 * period_s:
            return False
        # On the stream's own beat, unless there was a pause.
        self._due_s = (self._due_s if now_s < self._due_s + period_s else now_s) + period_s
        return True
