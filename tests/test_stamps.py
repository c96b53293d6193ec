"""Which stamps are believed, and how often a stream's images come."""

from __future__ import annotations

import numpy as np
import pytest

from diffmocap.errors import StampError
from diffmocap.timing.stamps import ArrivalStamps, SetClock, duration_text, require_near
from diffmocap.timing.stream_rate import LONGEST_GAP_S, StreamRate

S = 10**9
NOW_NS = 1_800_000_000 * S


class Clock:
    now_ns = NOW_NS

    def __call__(self) -> int:
        return self.now_ns


def test_what_has_no_stamp_gets_the_time_of_its_arrival():
    clock = Clock()
    arrivals = ArrivalStamps(clock)
    assert arrivals.stamp_ns(5 * S) == 5 * S
    assert arrivals.stamp_ns(0) == NOW_NS
    clock.now_ns += 33_000_000
    assert arrivals.stamp_ns(0) == NOW_NS + 33_000_000


def test_a_recording_that_begins_at_zero_keeps_its_stamps():
    clock = Clock()
    arrivals = ArrivalStamps(clock, from_first=True)
    for stamp_ns in (0, 33_000_000, 66_000_000):
        clock.now_ns += 7_000_000
        assert arrivals.stamp_ns(stamp_ns) == stamp_ns
    assert arrivals.stamp_ns(0) == 0, "it starts over"
    clock.now_ns += 40_000_000
    assert arrivals.stamp_ns(0) == 40_000_000, "the second zero in a row is none"


@pytest.mark.parametrize(
    "offset_s, text", [(7200.0, "2.0 h ahead of"), (-90.0, "90.0 s behind"), (-3.2e7, "370.4 days behind")]
)
def test_a_stamp_far_from_the_clock_is_refused_with_the_offset(offset_s, text):
    with pytest.raises(StampError, match=text):
        require_near(NOW_NS + round(offset_s * S), NOW_NS, 60.0)
    require_near(NOW_NS + round(offset_s * S), NOW_NS, 0.0)


@pytest.mark.parametrize("offset_s", [-59.9, 0.0, 59.9])
def test_a_stamp_near_the_clock_is_taken(offset_s):
    require_near(NOW_NS + round(offset_s * S), NOW_NS, 60.0)


def test_durations_read_as_people_say_them():
    assert [duration_text(s) for s in (12.34, 300.0, 9000.0, 4e5, 1e9)] == [
        "12.3 s", "5.0 min", "2.5 h", "4.6 days", "31.7 years",
    ]  # fmt: skip


def observed(*times_s: float) -> StreamRate:
    rate = StreamRate()
    for time_s in times_s:
        rate.observe(round(time_s * S))
    return rate


def test_the_gap_follows_a_slow_stream_and_no_other():
    assert observed().gap_s(0.5) == observed(3.0).gap_s(0.5) == 0.5
    assert observed(*np.arange(20) / 30.0).gap_s(0.5) == 0.5
    assert observed(*np.arange(20) / 2.0).gap_s(0.5) == pytest.approx(1.25)
    assert observed(*np.arange(20) * 5.0).gap_s(0.5) == LONGEST_GAP_S
    assert observed(*np.arange(20) * 5.0).gap_s(8.0) == 8.0, "what the user set is the least"


def test_late_images_repeats_and_a_start_over_do_not_move_the_rate():
    times_s = np.arange(30) / 30.0
    times_s[15:] += 1.0
    assert observed(*times_s, *times_s).interval_s == pytest.approx(1 / 30)
    assert observed(0.0, 1 / 30, 1.1).interval_s == pytest.approx(1 / 30), "one long interval of two is the gap"
    assert observed(1.0, 1.0, 1.0, 0.5).interval_s is None


def test_a_clock_that_is_set_is_told_from_time_that_passed():
    recorder = [NOW_NS + i * S for i in (0, 1, 2, 100, 101, 102)]
    moved = [NOW_NS, NOW_NS + S, NOW_NS + 2 * S + 3600 * S, *(t - 86_400 * S for t in recorder[3:])]
    clock = SetClock()
    assert [clock.stamp_ns(*pair) for pair in zip(moved, recorder, strict=True)] == recorder
    clock = SetClock(back_s=1.0, ahead_s=10.0)
    # Late by less than back_s, and ahead of the recorder by less than ahead_s: as they are.
    steps_s = [0.0, 0.1, 0.05, 0.2, 9.0]
    stamps = [NOW_NS + round(t * S) for t in steps_s]
    assert [clock.stamp_ns(stamp, NOW_NS) for stamp in stamps] == stamps
