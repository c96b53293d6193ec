"""How often a stream's images come, and what silence therefore ends a track."""

from __future__ import annotations

from collections import deque
from statistics import median_low

#: Intervals that the rate is the median of: single late images, and a few lost ones in a row, do not move it.
_INTERVALS = 15
#: So many intervals without a pose are a gap: one lost image is none.
GAP_INTERVALS = 2.5
#: Silence that always is a gap [s]: nothing is known of somebody who was not looked at for so long.
LONGEST_GAP_S = 3.0


class StreamRate:
    """Median interval of the stamps of a stream, of whatever rate. Stamps that do not advance are left out."""

    def __init__(self) -> None:
        self._intervals_s: deque[float] = deque(maxlen=_INTERVALS)
        self._newest_ns: int | None = None

    def observe(self, stamp_ns: int) -> None:
        """One image; call it for those that brought nothing, too."""
        last_ns, self._newest_ns = self._newest_ns, stamp_ns
        if last_ns is not None and stamp_ns > last_ns:
            self._intervals_s.append((stamp_ns - last_ns) * 1e-9)

    @property
    def interval_s(self) -> float | None:
        """Time between images; None before the second one."""
        return median_low(self._intervals_s) if self._intervals_s else None

    def gap_s(self, least_s: float) -> float:
        """Silence after which a new track begins [s].

        ``least_s``, or more where images come so seldom that it would make each of them a track of its own; never more
        than :data:`LONGEST_GAP_S`, unless ``least_s`` is.
        """
        interval_s = self.interval_s
        if interval_s is None:
            return least_s
        return max(least_s, min(GAP_INTERVALS * interval_s, LONGEST_GAP_S))
