"""How many images of a stream never came, by the gaps between the stamps of those that did."""

from __future__ import annotations

import statistics
from collections import deque

#: Gaps that the period is estimated from, and how many it takes.
WINDOW, FEWEST = 90, 12
#: Which of the gaps may be the period, and how many must then be multiples of it, give or take a share of the period.
CANDIDATES, TOLERANCE = ((0.5, 0.8), (0.25, 0.9), (0.1, 0.9)), 0.25
#: A late image is followed by early ones; one that is missing leaves all that follow late. So many decide.
FOLLOWING = 6
#: Share of the lateness within a period that is forgotten with each image, since the period is an estimate.
FORGOTTEN = 0.03
#: A source that says nothing for longer was paused; nothing was lost then [s], or that many periods.
PAUSE_S, PAUSE_PERIODS = 2.0, 10
#: The time over which :attr:`MissingImages.recent` looks back [s].
RECENT_S = 10.0


class MissingImages:
    """Counts the images that are missing in a periodic stream.

    A stream without a period (stamped on arrival, read from a file as fast as it can be, of a variable rate) is not
    judged.

    Attributes:
        total: missing since the start.
    """

    def __init__(self) -> None:
        self.total = 0
        self._last_ns: int | None = None
        self._gaps_s: deque[float] = deque(maxlen=WINDOW)
        self._late: deque[float] = deque(maxlen=FOLLOWING)  # of the last images, in periods
        self._recent: deque[tuple[int, int]] = deque()

    def see(self, stamp_ns: int) -> int:
        """Takes the stamp of an image [ns]; returns how many are found missing, a few images after their time."""
        last_ns, self._last_ns = self._last_ns, stamp_ns
        gap_s = (stamp_ns - last_ns) / 1e9 if last_ns is not None else 0.0
        if gap_s <= 0.0:  # the first one; or the source began anew, or stamps nothing
            self._late.clear()
            self._recent.clear()
            return 0
        self._gaps_s.append(gap_s)
        period_s = self._period_s()
        missing = self._found_missing(gap_s, period_s) if period_s is not None else 0
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

    def _found_missing(self, gap_s: float, period_s: float) -> int:
        """How many images are missing for sure, now that one has come after this gap."""
        late = self._late[-1] if self._late else 0.0
        if gap_s <= max(PAUSE_S, PAUSE_PERIODS * period_s):
            late += gap_s / period_s - 1.0
        late -= FORGOTTEN * (late - round(late))
        self._late.append(max(0.0, late))  # the earliest image is the one on time
        missing = round(min(self._late)) if len(self._late) == FOLLOWING else 0
        if missing:
            self._late = deque((value - missing for value in self._late), maxlen=FOLLOWING)
        return missing

    def _period_s(self) -> float | None:
        """The longest period that explains the gaps: of many missing images only the shortest gaps show it."""
        if len(self._gaps_s) < FEWEST:
            return None
        gaps_s = sorted(self._gaps_s)
        for share, enough in CANDIDATES:
            candidate_s = gaps_s[int(share * len(gaps_s))]
            # A mean, since what one jittering stamp adds to its gap the next one lacks.
            period_s = statistics.fmean(g for g in gaps_s if abs(g / candidate_s - 1.0) <= TOLERANCE)
            near = sum(abs(g / period_s - round(g / period_s)) <= TOLERANCE for g in gaps_s)
            if near >= enough * len(gaps_s):
                return period_s
        return None
