"""Iterations by the clock: a clock that tests move."""

from __future__ import annotations

import pytest

from diffmocap.errors import SettingsError
from diffmocap.refinement.stream.time_budget import TimeBudget


class Clock:
    """Seconds that pass only when told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def frame(budget: TimeBudget, clock: Clock, allowed_ms: float, most: int, each_ms: float, rest_ms: float = 1.0):
    """Iterations and milliseconds of a frame on a machine that needs so long."""
    budget.begin(allowed_ms, most)
    clock.now += 1e-3 * rest_ms
    budget.start_iterations()
    count = 0
    while budget.another():
        clock.now += 1e-3 * each_ms
        budget.iterated()
        count += 1
    clock.now += 1e-3 * rest_ms
    return count, budget.end()


def test_as_many_iterations_as_fit():
    clock = Clock()
    budget = TimeBudget(clock)
    frame(budget, clock, 10.5, 8, 2.0)
    for _ in range(5):
        count, took = frame(budget, clock, 10.5, 8, 2.0)
        assert count == 4 and took == pytest.approx(10.0)
    assert frame(budget, clock, 10.5, 3, 2.0)[0] == 3
    assert frame(budget, clock, 0.0, 7, 2.0)[0] == 7  # no limit but the number


def test_a_slower_machine_gets_fewer_and_a_faster_one_more_again():
    clock = Clock()
    budget = TimeBudget(clock)
    for _ in range(20):
        fast, _ = frame(budget, clock, 10.5, 8, 2.0)
    for _ in range(40):
        slow, took = frame(budget, clock, 10.5, 8, 5.0)
    assert slow == 1 and took <= 10.5
    for _ in range(40):
        again, _ = frame(budget, clock, 10.5, 8, 2.0)
    assert again == fast == 4


def test_without_time_there_is_no_iteration_but_a_rare_try():
    clock = Clock()
    budget = TimeBudget(clock)
    counts = [frame(budget, clock, 10.5, 8, 50.0)[0] for _ in range(100)]
    assert counts[0] == 1 and 1 <= sum(counts[1:]) <= 4
    assert frame(budget, clock, 10.5, 8, 50.0, rest_ms=8.0)[1] == pytest.approx(16.0)


def test_a_part_that_was_held_up_costs_its_own_frame_iterations():
    clock = Clock()
    budget = TimeBudget(clock)
    for _ in range(5):
        frame(budget, clock, 10.5, 8, 2.0)
    budget.begin(10.5, 8)
    clock.now += 9e-3
    budget.start_iterations()
    assert not budget.another()
    budget.end()
    assert frame(budget, clock, 10.5, 8, 2.0)[0] == 4


def test_iterations_that_are_done_at_once_take_their_parts_of_the_time():
    """Six in 12 ms are 2 ms each: the next frame of 10.5 ms has time for one."""
    clock = Clock()
    budget = TimeBudget(clock)
    budget.begin(0.0, 8)
    budget.start_iterations()
    clock.now += 12e-3
    budget.iterated(6)
    assert budget.another()
    budget.iterated(2)
    assert not budget.another(), "eight are the most"
    budget.end()
    assert frame(budget, clock, 10.5, 8, 2.0)[0] == 4


@pytest.mark.parametrize("allowed, most", [(-1.0, 3), (float("nan"), 3), (5.0, -1)])
def test_budgets_that_are_none_are_refused(allowed, most):
    with pytest.raises(SettingsError):
        TimeBudget().begin(allowed, most)
