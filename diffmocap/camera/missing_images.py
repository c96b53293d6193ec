"""How many images of a stream never came, by the gaps between the stamps of those that did."""

from __future__ import annotations

import statistics
from collections import deque

#: Gaps that the period is estimated from, and how many it takes.
WINDOW, FEWEST = 90, 12
#: A stream is periodic where so many of its gaps lie so near to a multiple of the period (a share of it).
PERIODIC_SHARE, TOLERANCE = 0.8, 0.25
#: A source that says nothing for longer was paused; nothing was lost then [s], or that many periods.
PAUSE_S, PAUSE_PERIODS = 2.0, 10
#: The time over which :attr:`MissingImages.recent` looks back [s].
RECENT_S = 10.0


class MissingImages:
    """Counts the images that are missing in a periodic stream.

    The period is estimated from the shortest gaps, since most images of a stream may be missing. A stream without a
    period (stamped on arrival, as fast as a file can be read, a variable rate) is not judged.

    Attributes:
        total: missing since the start.
    """

    def __init__(self) -> None:
        self.total = 0
        self._last_ns: int | None = None
        self._gaps_s: deque[float] = deque(maxlen=WINDOW)
        self._recent: deque[tuple[int, int]] = deque()

    def see(self, stamp_ns: int) -> int:
        """Takes the stamp of an image [ns]; returns how many are missing since the one before."""
        last_ns, self._last_ns = self._last_ns, stamp_ns
        gap_s = (stamp_ns - last_ns) / 1e9 if last_ns is not None else 0.0
        if gap_s <= 0.0:  # the first one; or the source began anew, or stamps nothing
            self._recent.clear()
            return 0
        self._gaps_s.append(gap_s)
        period_s = self._period_s()
        missing = 0
        if period_s is not None and gap_s <= max(PAUSE_S, PAUSE_PERIODS * period_s):
            missing = max(0, round(gap_s / period_s) - 1)
        self.total += missing
        self._recent.append((stamp_ns, missing))
        while stamp_ns - self._recent[0][0] > RECENT_S * 1e9:
            self._recent.popleft()
        return missing

    @property
    def recent(self) -> tuple[int, int]:
        """(missing, missing and received) over the last ten seconds of stamps."""
        missing = sum(count for _, count in self._recent)
        return missing, missing + len(self._recent)

    def _period_s(self) -> float | None:
        if len(self._gaps_s) < FEWEST:
            return None
        gaps_s = sorted(self._gaps_s)
        shortest_s = gaps_s[len(gaps_s) // 10]  # not the very shortest, which is jitter
        period_s = statistics.median(gap_s for gap_s in gaps_s if gap_s < 1.5 * shortest_s)
        near = sum(abs(gap_s / period_s - round(gap_s / period_s)) <= TOLERANCE for gap_s in gaps_s)
        return period_s if near >= PERIODIC_SHARE * len(gaps_s) else None
