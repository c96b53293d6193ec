"""The step controller against a simulated machine."""

from __future__ import annotations

import pytest

from diffmocap.nodes.pose.step_budget import ROOM, StepBudget, refinement_end_ms

FRAME_S = 1 / 30


class Machine:
    """Processing time is fixed + per_step * steps; images that arrive meanwhile are lost."""

    def __init__(self, fixed_ms: float = 3.0, per_step_ms: float = 4.0, upstream_ms: float = 10.0):
        self.fixed_ms, self.per_step_ms, self.upstream_ms = fixed_ms, per_step_ms, upstream_ms
        self.now_s = 0.0
        self.changes = 0

    def run(self, budget: StepBudget, seconds: float, requested: int = 10, budget_ms: float = 50.0) -> list[int]:
        used = []
        for _ in range(int(seconds / FRAME_S)):
            steps = budget.steps(self.now_s, requested, budget_ms)
            processing_ms = self.fixed_ms + self.per_step_ms * steps
            frames = max(1, -int(-processing_ms // (1e3 * FRAME_S)))
            budget.observe(self.upstream_ms + processing_ms, processing_ms, frames - 1)
            self.now_s += frames * FRAME_S
            used.append(steps)
        return used

    def fits(self, steps: int, budget_ms: float = 50.0) -> bool:
        processing_ms = self.fixed_ms + self.per_step_ms * steps
        return self.upstream_ms + processing_ms <= budget_ms and processing_ms <= 1e3 * FRAME_S


def test_all_steps_while_there_is_time():
    assert set(Machine(per_step_ms=1.0).run(StepBudget(), 20)) == {10}


def test_steps_fall_until_poses_are_in_time_and_none_is_lost():
    machine = Machine(per_step_ms=8.0)
    budget = StepBudget()
    machine.run(budget, 30)
    used = machine.run(budget, 30)
    assert sum(machine.fits(steps) for steps in used) > 0.8 * len(used)
    assert min(used) >= 2, "gave up more than needed"


def test_a_gross_overrun_is_answered_within_a_few_poses():
    """At two seconds per pose nobody wants to wait for statistics."""
    machine, budget = Machine(per_step_ms=20.0), StepBudget()
    used = machine.run(budget, 10, requested=100)
    assert sum(steps > 5 for steps in used) <= 5


def test_steps_come_back_when_the_load_goes():
    machine, budget = Machine(per_step_ms=12.0), StepBudget()
    assert machine.run(budget, 10)[-1] < 5
    machine.per_step_ms = 1.0
    assert machine.run(budget, 120)[-1] == 10


def test_it_settles_instead_of_swinging():
    machine, budget = Machine(per_step_ms=5.0), StepBudget()
    machine.run(budget, 60)
    used = machine.run(budget, 240)
    changes = sum(a != b for a, b in zip(used, used[1:]))
    assert changes <= 30
    assert sum(machine.fits(steps) for steps in used) > 0.9 * len(used)


def test_one_step_is_the_floor_and_the_overrun_is_told():
    machine, budget = Machine(fixed_ms=80.0), StepBudget()
    assert machine.run(budget, 10)[-1] == 1
    assert budget.overrun
    machine.fixed_ms = 1.0
    machine.run(budget, 10)
    assert not budget.overrun


@pytest.mark.parametrize("late", [0.98, 1.1])
def test_steps_that_fill_what_time_is_left_cost_no_level(late):
    """The refinement takes all time that there is, and on a busy machine a little more, whatever is given up."""
    budget, used = StepBudget(), []
    for i in range(600):
        used.append(budget.steps(i * FRAME_S, 3, 50.0))
        needed_ms = 16.0 + 2.0 * used[-1]
        processing_ms = late * 35.0
        budget.observe(15.0 + processing_ms, processing_ms, 0, processing_ms - needed_ms)
    assert set(used) == {3}


def test_levels_are_given_up_for_steps_that_lack_time_and_come_back_with_it():
    """The lifting leaves no time for the refinement's best steps, and later does."""
    budget, used = StepBudget(), []
    for i in range(3000):
        used.append(budget.steps(i * FRAME_S, 3, 50.0))
        needed_ms = (30.0 if i < 1500 else 14.0) + 4.0 * used[-1]
        processing_ms = 34.0
        budget.observe(15.0 + processing_ms, processing_ms, 0, processing_ms - needed_ms)
    assert used[1499] == 1 and used[-1] == 3


def test_late_images_do_not_cost_all_accuracy():
    """A camera that takes 80 of 50 ms cannot be helped by taking less than half of the budget."""
    assert Machine(per_step_ms=2.0, upstream_ms=80.0).run(StepBudget(), 10)[-1] >= 4


@pytest.mark.parametrize("upstream_ms", [1e9, -1e9])
def test_stamps_of_another_clock_are_not_mistaken_for_latency(upstream_ms):
    assert Machine(per_step_ms=1.0, upstream_ms=upstream_ms).run(StepBudget(), 10)[-1] == 10


def test_budget_zero_switches_it_off():
    assert set(Machine(per_step_ms=50.0).run(StepBudget(), 10, budget_ms=0.0)) == {10}


def test_asking_for_fewer_steps_takes_effect_at_once():
    machine, budget = Machine(per_step_ms=1.0), StepBudget()
    machine.run(budget, 5, requested=10)
    assert machine.run(budget, 1, requested=3)[0] == 3


def test_physics_is_given_up_last_and_taken_back():
    """One sampler step and the physics are too much; without the physics it is in time."""
    budget, now_s, slow, used = StepBudget(), 0.0, True, []
    for i in range(3000):
        level = budget.steps(now_s, 2, 50.0, floor=0)
        processing_ms = 8.0 + 2.0 * max(level, 1) + (40.0 if slow and level else 5.0 if level else 0.0)
        budget.observe(10.0 + processing_ms, processing_ms, 0)
        now_s += FRAME_S
        used.append(level)
        slow = i < 1500
    assert used[0] == 2 and used[1499] == 0 and used[-1] == 2
    assert sum(level == 0 for level in used[:1500]) > 1200
    assert budget.steps(now_s, 2, 50.0, floor=1) == 2


def test_physics_without_a_step_is_no_reason_to_give_it_up():
    """The refinement's best steps never fit; without them there is time. What is worth less stays given up."""
    budget, used = StepBudget(), []
    for i in range(1500):
        used.append(budget.steps(i * FRAME_S, 3, 50.0, floor=0))
        step_ms, taken = 6.0, i % 2
        processing_ms = 16.0 + 2.0 * used[-1] + taken * step_ms
        budget.observe(22.0 + processing_ms, processing_ms, 0, (taken - 2) * step_ms, taken * step_ms)
    assert used[0] == 3 and set(used[100:]) == {1}


def test_physics_that_takes_too_long_without_a_step_is_given_up():
    budget, used = StepBudget(), []
    for i in range(1500):
        used.append(budget.steps(i * FRAME_S, 1, 50.0, floor=0))
        processing_ms = 32.0 if used[-1] else 12.0
        budget.observe(22.0 + processing_ms, processing_ms, 0, -8.0, 0.0)
    assert sum(level == 0 for level in used) > 1200


def test_without_physics_to_give_up_a_step_is_left():
    budget = StepBudget()
    for i in range(100):
        level = budget.steps(i * FRAME_S, 2, 50.0, floor=0 if i < 60 else 1)
        budget.observe(100.0, 90.0, 0)
        assert level > 0 or 3 < i < 60
    assert level == 1 and budget.overrun


def test_a_refinement_that_ends_in_time_leaves_room_for_a_step():
    """What the refinement may take never keeps the steps from coming back, nor makes them fall."""
    for upstream_ms in (0.0, 15.0, 30.0, 45.0, 1e9):
        known = upstream_ms if upstream_ms < 1e4 else 0.0
        allowed_ms = max(50.0 - known, 25.0)
        assert (refinement_end_ms(upstream_ms, 50.0) + 3.0) / allowed_ms < ROOM
        assert ROOM < (refinement_end_ms(upstream_ms, 50.0, all_steps=True) + 3.0) / allowed_ms < 1.0
    assert refinement_end_ms(15.0, 50.0) > 15.0
