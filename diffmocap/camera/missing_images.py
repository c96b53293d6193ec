"""How many images of a stream never came, by the gaps between the stamps of those that did."""

from __future__ import annotations

from collections import deque

import numpy as np

#: Gaps that the period is estimated from, and how many it takes; after so many images it is estimated again.
WINDOW, FEWEST, ESTIMATE_EVERY = 120, 24, 15
#: How periods are tried: the step from one to the next, and how many at most.
STEP, MOST_PERIODS = 0.01, 600
#: Mean cosine of the gaps' phases from which a stream counts as periodic: 1 without jitter; gaps without a period give
#: 0, give or take the root of their number, of which so many times are chance in none of the periods that are tried.
SURELY, CHANCE = 0.4, 4.3
#: A longer period is taken for a shorter one that explains this share of it: half the period explains as much.
LONGER = 0.6
#: Gaps that are farther from a multiple of the period, in periods, are not used to estimate it.
OFF = 0.25
#: A late image is followed by early ones; one that is missing leaves all that follow late. So many decide.
FOLLOWING = 6
#: Share of the lateness within a period that is forgotten with each image, since the period is an estimate.
FORGOTTEN = 0.03
#: A longer silence counts as a pause of the source, in which nothing was lost [s]; or so many periods.
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
        self._period_s: float | None = None
        self._until_estimate = FEWEST
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
        self._until_estimate -= 1
        if self._until_estimate <= 0:
            self._until_estimate, self._period_s = ESTIMATE_EVERY, self._estimate_period_s()
        missing = self._found_missing(gap_s, self._period_s) if self._period_s is not None else 0
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

    def _estimate_period_s(self) -> float | None:
        """The longest period that explains the gaps, None where none does."""
        gaps_s = np.array(self._gaps_s)
        shortest_s, middle_s = 0.7 * np.quantile(gaps_s, 0.1), 1.3 * np.median(gaps_s)
        periods_s = np.geomspace(shortest_s, middle_s, 2 + min(int(np.log(middle_s / shortest_s) / STEP), MOST_PERIODS))
        agreement = np.cos(2 * np.pi * gaps_s / periods_s[:, None]).mean(axis=1)
        inner = agreement[1:-1]
        peaks = (inner >= agreement[:-2]) & (inner >= agreement[2:])
        if not peaks.any() or inner[peaks].max() < max(SURELY, CHANCE / len(gaps_s) ** 0.5):
            return None
        peaks &= inner >= LONGER * inner[peaks].max()
        period_s = periods_s[1:-1][peaks][-1]
        multiples = np.round(gaps_s / period_s)
        multiples[np.abs(gaps_s / period_s - multiples) > OFF] = 0.0
        return float(gaps_s @ multiples / (multiples @ multiples)) if multiples.any() else None
