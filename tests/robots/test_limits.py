"""The last word on commands, by differences of what was sent."""

from __future__ import annotations

import numpy as np
import pytest

from tests.robots.conftest import robot_of

EPS = 1e-9


def commands_of(small, targets, steps, moving=None):
    """Positions [T, N] and times between them, of targets that are followed at uneven times."""
    from diffmocap.robots.limits import CommandLimits

    limits = CommandLimits(small)
    sent = [limits.start(small.rest[7:], np.zeros(3), np.array([0.0, 0.0, 0.0, 1.0]))]
    for i, (target, dt) in enumerate(zip(targets, steps, strict=True)):
        velocity = np.zeros(len(target)) if moving is None else moving[i]
        turn = np.array([0.0, 0.0, np.sin(i), np.cos(i)])
        sent.append(limits.follow(target, velocity, np.array([i % 2, 0.0, 1.0]), turn, np.zeros(6), dt))
    return sent


@pytest.mark.parametrize("seed", range(3))
def test_no_stream_breaks_a_limit(small, seed: int) -> None:
    rng = np.random.default_rng(seed)
    count = len(small.joint_names)
    targets = rng.normal(0, 3, (400, count)) * rng.choice([0.01, 1.0, 1e6], (400, 1))
    steps = rng.choice([0.002, 1 / 30, 0.1, 0.4], 400)
    sent = commands_of(small, targets, steps, rng.normal(0, 20, (400, count)))
    p = np.array([c.positions for c in sent])
    v = np.diff(p, axis=0) / steps[:, None]
    a = np.diff(np.vstack([np.zeros(count), v]), axis=0) / steps[:, None]
    assert (p >= small.low - EPS).all() and (p <= small.high + EPS).all()
    assert (np.abs(v) <= small.velocity).all()
    assert (np.abs(a) <= small.acceleration).all()
    assert np.abs(v).max(0) == pytest.approx(small.velocity, rel=0.01), "limits are used"
    np.testing.assert_allclose([c.velocities for c in sent[1:]], v, atol=1e-9)
    base = np.array([c.base_position for c in sent])
    speed = np.abs(np.diff(base, axis=0)) / steps[:, None]
    assert (speed <= small.description.base_velocity[0]).all()


def test_a_resting_target_is_reached_and_not_passed(small) -> None:
    goal = 0.5 * (small.low + small.high)
    sent = commands_of(small, [goal] * 120, [1 / 30] * 120)
    p = np.array([c.positions for c in sent])
    np.testing.assert_allclose(p[-1], goal, atol=1e-9)
    side = np.sign(goal - p[0])
    assert (side * (p - goal) <= 1e-6).all(), "no joint goes beyond where it is to stop"


def test_what_is_inside_the_limits_is_commanded_as_it_is(small) -> None:
    times = np.arange(200) / 30
    wave = small.rest[7:] + 0.05 * np.sin(2 * times)[:, None] * (small.rest[7:] * 0 + 1)
    wave = np.clip(wave, small.low, small.high)
    sent = commands_of(small, wave, [1 / 30] * 200, np.gradient(wave, 1 / 30, axis=0))
    np.testing.assert_allclose([c.positions for c in sent[5:]], wave[4:], atol=1e-9)


def test_rest_comes_as_soon_as_the_limits_allow(small) -> None:
    from diffmocap.robots.limits import CommandLimits

    limits = CommandLimits(small)
    limits.start(small.rest[7:], np.zeros(3), np.array([0.0, 0.0, 0.0, 1.0]))
    for _ in range(4):
        limits.follow(small.high, small.velocity, np.zeros(3), np.array([0.0, 0.0, 0.0, 1.0]), np.zeros(6), 1 / 30)
    fastest = np.abs(limits.velocity).max()
    steps = int(np.ceil(fastest / (small.acceleration.min() / 30))) + 1
    for _ in range(steps):
        limits.rest(1 / 30)
    assert fastest > 2.0 and limits.at_rest


def test_what_is_not_finite_is_refused_and_forgotten(small) -> None:
    from diffmocap.errors import RobotError
    from diffmocap.robots.limits import CommandLimits

    limits, turn, still = CommandLimits(small), np.array([0.0, 0.0, 0.0, 1.0]), np.zeros(len(small.joint_names))
    before = limits.start(small.rest[7:], np.zeros(3), turn)
    wrong = np.where(np.arange(len(still)) == 4, np.nan, small.rest[7:])
    for positions, place in ((wrong, np.zeros(3)), (small.rest[7:], np.full(3, np.inf))):
        with pytest.raises(RobotError, match="not finite"):
            limits.follow(positions, still, place, turn, np.zeros(6), 0.01)
        with pytest.raises(RobotError, match="not finite"):
            limits.keep(positions, place, turn, 0.01)
    with pytest.raises(RobotError, match="not finite"):
        limits.follow(small.rest[7:], still * np.nan, np.zeros(3), turn, np.zeros(6), 0.01)
    np.testing.assert_array_equal(limits.rest(0.01).positions, before.positions)


def test_limits_of_single_joints_hold(small) -> None:
    i = small.joint_names.index("left_elbow")
    assert small.velocity[i] == 4.0 and small.acceleration[i] == 50.0
    assert small.low[i] == pytest.approx(-2.0 + small.description.range_margin)
    assert robot_of("small").velocity.max() == 6.0
