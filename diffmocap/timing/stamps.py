"""Which stamps of a stream are taken as acquisition times, and what replaces the others.

Drivers that do not stamp leave zero (REP-103 and the message definitions know no "unknown"), clocks of two computers
differ by hours, and bags of another year are played without their clock.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from diffmocap.errors import StampError

#: What a driver leaves that does not stamp its images.
NO_STAMP_NS = 0


class ArrivalStamps:
    """Gives the time of arrival to what came without a stamp, and leaves every other stamp as it is.

    Args:
        clock: the time [ns].
        from_first: count from the first arrival without a stamp, not from the clock's zero: the first image of a
            recording whose time begins at zero then keeps its stamp, and only those that repeat the zero do not.
    """

    def __init__(self, clock: Callable[[], int] = time.monotonic_ns, from_first: bool = False) -> None:
        self._clock, self._from_first = clock, from_first
        self._first_ns: int | None = None

    def stamp_ns(self, stamp_ns: int) -> int:
        """The acquisition time to use for what arrives now with this stamp [ns]."""
        if stamp_ns != NO_STAMP_NS:
            self._first_ns = None
            return stamp_ns
        now_ns = self._clock()
        if self._first_ns is None:
            self._first_ns = now_ns
        return now_ns - self._first_ns if self._from_first else now_ns


def require_near(stamp_ns: int, now_ns: int, most_s: float) -> None:
    """Refuses an acquisition time that the clock contradicts; ``most_s`` 0 takes all.

    Raises:
        StampError: the stamp lies farther from ``now_ns`` than ``most_s`` seconds, in the past or in the future.
    """
    ahead_s = (stamp_ns - now_ns) * 1e-9
    if most_s > 0.0 and abs(ahead_s) > most_s:
        side = "ahead of" if ahead_s > 0 else "behind"
        raise StampError(
            f"the stamp lies {duration_text(abs(ahead_s))} {side} the clock, and at most {most_s:g} s are believed "
            "(max_stamp_offset): synchronise the clocks of the computers (NTP, PTP); play a bag with --clock and set "
            "use_sim_time; or set max_stamp_offset to 0, where the stamps are right and the clock is another one"
        )


def duration_text(seconds: float) -> str:
    """A duration as people say it: "12.3 s", "2.0 h", "3.1 years"."""
    for unit, size_s in (("years", 365.25 * 86400.0), ("days", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2.0 * size_s or (unit == "h" and seconds >= size_s):
            return f"{seconds / size_s:.1f} {unit}"
    return f"{seconds:.1f} s"


class SetClock:
    """Stamps of one recording from which the leaps are taken out that they make where their clock was set, or where a
    recording was played again; the time that passed there is that on another clock, or is taken from the caller.

    Args:
        back_s: a stamp that lies farther back than this leaps; one that lies less far back is late.
        ahead_s: likewise one that lies ahead by more than this and by more than has passed on the other clock.
    """

    def __init__(self, back_s: float = 1.0, ahead_s: float = 10.0) -> None:
        self._back_ns, self._ahead_ns = round(1e9 * back_s), round(1e9 * ahead_s)
        self._last_ns: int | None = None
        self._other_ns = self._set_by_ns = 0

    def stamp_ns(self, stamp_ns: int, other_ns: int) -> int:
        """The stamp of an image on one clock for the whole recording, which is that of its first image.

        Args:
            stamp_ns: as recorded. other_ns: the same moment on a clock that is not set, such as the recorder's.
        """
        passed_ns = max(other_ns - self._other_ns, 1)
        found_ns = stamp_ns + self._set_by_ns
        if self._last_ns is not None:
            step_ns = found_ns - self._last_ns
            if step_ns < -self._back_ns or step_ns - passed_ns > self._ahead_ns:
                self._set_by_ns += self._last_ns + passed_ns - found_ns
                found_ns = self._last_ns + passed_ns
        self._last_ns, self._other_ns = max(found_ns, self._last_ns or found_ns), other_ns
        return found_ns
