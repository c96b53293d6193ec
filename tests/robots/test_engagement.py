"""The state machine of a robot that follows, by exhaustion: every state it can be in, every request, all conditions."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from diffmocap.robots.live.engagement import FOLLOWING, Answer, Conditions, Engagement, Request, State

CONDITIONS = [
    Conditions(*("wrong" * w for w in wrong), *facts)
    for wrong in itertools.product((0, 1), repeat=4)
    for facts in itertools.product((False, True), repeat=3)
]
FINE = Conditions(held=True, blended=True)

#: Every way from one state to another, and what may lead there.
WAYS = {
    (State.DISENGAGED, State.CALIBRATING), (State.DISENGAGED, State.READY), (State.CALIBRATING, State.DISENGAGED),
    (State.CALIBRATING, State.READY), (State.READY, State.DISENGAGED), (State.READY, State.CALIBRATING),
    # In one call the person may be found ready and be followed.
    (State.DISENGAGED, State.BLENDING), (State.CALIBRATING, State.BLENDING), (State.READY, State.BLENDING),
    (State.HOLDING, State.BLENDING), (State.BLENDING, State.ENGAGED), (State.BLENDING, State.HOLDING),
    (State.ENGAGED, State.HOLDING), *((state, State.STOPPED) for state in State if state is not State.STOPPED),
    (State.STOPPED, State.HOLDING), (State.STOPPED, State.DISENGAGED), (State.STOPPED, State.CALIBRATING),
    (State.STOPPED, State.READY), (State.HOLDING, State.DISENGAGED), (State.HOLDING, State.CALIBRATING),
    (State.HOLDING, State.READY),
}  # fmt: skip


class Memory(NamedTuple):
    """All that a machine remembers but for words."""

    state: State
    commanding: bool
    by_joy: bool


class Step(NamedTuple):
    """One call: before, what was asked (None: nothing), by the button or not, what held, after, the answer."""

    before: Memory
    request: Request | None
    by_joy: bool
    now: Conditions
    after: Memory
    answer: Answer | None


def taken(before: Memory, request: Request | None, by_joy: bool, now: Conditions) -> Step:
    machine = Engagement()
    machine.state, machine.commanding, machine.by_joy = before
    answer = machine.update(now) if request is None else machine.request(request, now, by_joy)
    after = Memory(machine.state, machine.commanding, machine.by_joy)
    assert machine.reason
    return Step(before, request, by_joy, now, after, answer)


def all_steps() -> Iterator[Step]:
    """From every memory that can be reached, with every call."""
    start = Engagement()
    found = {Memory(start.state, start.commanding, start.by_joy)}
    open_ = list(found)
    while open_:
        before = open_.pop()
        for request, by_joy, now in itertools.product((None, *Request), (False, True), CONDITIONS):
            step = taken(before, request, by_joy, now)
            if step.after not in found:
                found.add(step.after)
                open_.append(step.after)
            yield step


@pytest.fixture(scope="module")
def steps() -> list[Step]:
    return list(all_steps())


def test_the_ways_are_these_and_no_others(steps):
    assert {(s.before.state, s.after.state) for s in steps if s.before.state is not s.after.state} == WAYS
    assert {s.before.state for s in steps} == set(State)


def test_what_is_remembered_fits_the_state(steps):
    for memory in {s.after for s in steps}:
        assert memory.commanding or memory.state not in {*FOLLOWING, State.HOLDING}
        assert not memory.commanding or memory.state in {*FOLLOWING, State.HOLDING, State.STOPPED}
        assert not memory.by_joy or memory.state in FOLLOWING


def test_a_robot_begins_to_move_only_when_asked_with_nothing_against_it(steps):
    for s in steps:
        if s.after.state in FOLLOWING and s.before.state not in FOLLOWING:
            assert s.request is Request.ENGAGE and s.after.state is State.BLENDING
            assert not (s.now.person or s.now.robot or s.now.stand or s.now.start)
            assert s.now.at_rest and (s.now.held or not s.by_joy)
            assert s.before.state is not State.STOPPED and s.answer.granted
            assert s.after.by_joy is s.by_joy


def test_a_robot_follows_only_while_nothing_is_wrong(steps):
    for s in steps:
        if s.after.state in FOLLOWING:
            assert not (s.now.person or s.now.robot)
            assert s.now.held or not s.after.by_joy
        if s.before.state in FOLLOWING and (s.now.person or s.now.robot or (s.before.by_joy and not s.now.held)):
            assert s.after.state is (State.STOPPED if s.request is Request.STOP else State.HOLDING)


def test_what_only_keeps_from_beginning_does_not_end(steps):
    """A robot that follows is not stopped by a calibration or a distance."""
    for s in steps:
        fine = not (s.now.person or s.now.robot) and (s.now.held or not s.before.by_joy)
        if s.before.state in FOLLOWING and s.request is None and fine:
            assert s.after.state in FOLLOWING


def test_the_stop_latches(steps):
    for s in steps:
        if s.request is Request.STOP:
            assert s.after.state is State.STOPPED and s.answer.granted
        elif s.before.state is State.STOPPED:
            left = s.after.state is not State.STOPPED
            assert left == (s.request is Request.RESET and s.now.at_rest)
            assert s.after.state not in FOLLOWING and s.after.commanding is s.before.commanding


def test_a_robot_that_got_commands_gets_them_until_it_is_handed_back_at_rest(steps):
    for s in steps:
        if s.before.commanding and not s.after.commanding:
            assert s.request is Request.DISENGAGE and s.before.state is State.HOLDING and s.now.at_rest
        if s.after.commanding and not s.before.commanding:
            assert s.after.state is State.BLENDING


def test_release_and_stop_are_heard_in_every_state(steps):
    for s in steps:
        if s.request in (Request.RELEASE, Request.STOP):
            assert s.after.state not in FOLLOWING and s.answer.granted


def test_a_refusal_says_why_and_changes_nothing_but_what_waiting_does(steps):
    for s in steps:
        if s.answer is not None and not s.answer.granted:
            assert s.answer.text
            assert s.after == taken(s.before, None, False, s.now).after


def test_what_may_be_asked_is_told_before(steps):
    """`refusal` says of every state what engaging would answer."""
    for s in steps:
        if s.request is Request.ENGAGE and not s.by_joy:
            machine = Engagement()
            machine.state, machine.commanding, machine.by_joy = s.before
            machine.update(s.now)
            if machine.following or s.before.state not in FOLLOWING:  # else it has just begun to hold
                assert bool(machine.refusal(s.now)) is not s.answer.granted


def test_from_every_state_the_robot_can_be_had_again(steps):
    """No dead end: reset, engage and update lead from every memory to ENGAGED."""
    for memory in {s.after for s in steps}:
        machine = Engagement()
        machine.state, machine.commanding, machine.by_joy = memory
        machine.request(Request.RESET, FINE)
        assert machine.request(Request.ENGAGE, FINE).granted
        machine.update(FINE)
        assert machine.state is State.ENGAGED, memory


def test_a_node_that_leaves_sends_nothing_more_and_forgets_no_stop(steps):
    for memory in {s.after for s in steps}:
        machine = Engagement()
        machine.state, machine.commanding, machine.by_joy = memory
        machine.leave("over")
        assert not machine.commanding and not machine.by_joy
        assert machine.state is (State.STOPPED if memory.state is State.STOPPED else State.DISENGAGED)


def test_a_hold_is_for_a_robot_that_follows(steps):
    for memory in {s.after for s in steps}:
        machine = Engagement()
        machine.state, machine.commanding, machine.by_joy = memory
        machine.hold("stalled")
        assert machine.state is (State.HOLDING if memory.state in FOLLOWING else memory.state)
        assert machine.commanding is memory.commanding


def test_who_takes_the_button_of_a_robot_that_was_engaged_by_service_has_to_hold_it():
    machine = Engagement()
    machine.request(Request.ENGAGE, FINE)
    machine.request(Request.ENGAGE, FINE, by_joy=True)
    machine.update(Conditions(held=False))
    assert machine.state is State.HOLDING and "let go" in machine.reason
