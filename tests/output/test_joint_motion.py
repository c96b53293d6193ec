"""Joints between limits: every limit at every sample, whatever is asked for and whenever."""

from __future__ import annotations

import numpy as np
import pytest

from diffmocap.body.joint_angles import angle_limits
from diffmocap.output.joint_motion import JointMotion, Limits, stopping_distance

LOW, HIGH = angle_limits().double().numpy().T
FAST, ROBOT, SOFT = (24.0, 1000.0, 1e9), (8.0, 200.0, 1e4), (3.0, 20.0, 150.0)
PROFILES = (FAST, ROBOT, SOFT)
#: Rounding.
BIT = 1e-9


def jumps(rng: np.random.Generator, n: int):
    """Steps to the limits and back, and velocities that have nothing to do with them."""
    target = np.zeros(69)
    for _ in range(n):
        new = rng.random(69) < 0.1
        target = np.where(new, rng.choice([LOW, 0.5 * (LOW + HIGH), HIGH]), target)
        yield target, rng.normal(0.0, 30.0, 69) * (rng.random(69) < 0.3)


def noise(rng: np.random.Generator, n: int):
    """Reversals in every image."""
    for _ in range(n):
        yield LOW + (HIGH - LOW) * rng.random(69), rng.normal(0.0, 50.0, 69)


def swings(rng: np.random.Generator, n: int):
    """Sines through the whole range, at the limits slow and in the middle far too fast."""
    phase, middle, half = rng.random(69) * 6.0, 0.5 * (LOW + HIGH), 0.5 * (HIGH - LOW)
    for k in range(n):
        yield middle + half * np.sin(0.9 * k + phase), 27.0 * half * np.cos(0.9 * k + phase)


def intervals(rng: np.random.Generator, kind: str) -> float:
    """Of an even stream, and of stamps between 1 and 100 ms, its extremes often."""
    if kind == "even":
        return 1 / 30
    return float(rng.choice([0.001, 0.1])) if rng.random() < 0.5 else float(rng.uniform(0.001, 0.1))


@pytest.mark.parametrize("limits", PROFILES)
@pytest.mark.parametrize("targets", [jumps, noise, swings])
@pytest.mark.parametrize("stamps", ["even", "irregular"])
def test_every_limit_holds_at_every_sample(limits, targets, stamps):
    rng = np.random.default_rng(1)
    motion = JointMotion(LOW, HIGH)
    motion.start(np.zeros(69))
    moved = 0.0
    for target, velocity in targets(rng, 250):
        dt = intervals(rng, stamps)
        p, v, a = motion.position, motion.velocity, motion.acceleration
        motion.follow(target, velocity, dt, max(dt, 0.04), limits)
        assert (motion.position >= LOW).all() and (motion.position <= HIGH).all()
        assert np.abs(motion.velocity).max() <= limits[0] + BIT
        assert np.abs(motion.position - p).max() <= limits[0] * dt + BIT, "nor is the way between two samples longer"
        assert np.abs(motion.acceleration).max() <= limits[1] + BIT
        assert np.abs(motion.acceleration - a).max() <= limits[2] * dt + 1e-6
        np.testing.assert_allclose(motion.position - p, 0.5 * dt * (v + motion.velocity), rtol=0, atol=1e-12)
        np.testing.assert_allclose(motion.velocity - v, dt * motion.acceleration, rtol=0, atol=BIT)
        moved = max(moved, np.abs(motion.velocity).max())
    assert moved > 0.9 * min(limits[0], 3.0), "nothing is kept by standing still"


@pytest.mark.parametrize("limits", PROFILES)
@pytest.mark.parametrize("dt", [0.004, 1 / 30, 0.1])
def test_a_constant_target_is_reached_and_kept(limits, dt):
    """From one end of the range, in the time that the limits need and little more, and without going far beyond."""
    rng = np.random.default_rng(2)
    motion = JointMotion(LOW, HIGH)
    motion.start(LOW)
    target = LOW + (HIGH - LOW) * rng.uniform(0.1, 0.9, 69)
    velocity, acceleration, jerk = limits
    way = (target - LOW).max()
    needed_s = way / velocity + velocity / acceleration + acceleration / jerk
    for _ in range(int((1.5 * needed_s + 0.3) / dt) + 8):
        motion.follow(target, np.zeros(69), dt, dt, limits)
    np.testing.assert_allclose(motion.position, target, rtol=0, atol=2e-3)
    assert np.abs(motion.velocity).max() < 0.1


def test_what_no_limit_touches_follows_without_lag():
    """The law that the module states: of the last three targets (3, 2, -1) / 4."""
    motion = JointMotion(LOW, HIGH)
    t = np.arange(60) / 30
    targets = 0.1 * np.sin(2 * np.pi * 1.5 * t)
    motion.start(np.full(69, targets[0]))
    reached = [targets[0]]
    for last, target in zip(targets, targets[1:]):
        motion.follow(np.full(69, target), np.full(69, (target - last) * 30), 1 / 30, 1 / 30, FAST)
        reached.append(motion.position[0])
    expected = (3 * targets[2:] + 2 * targets[1:-1] - targets[:-2]) / 4
    np.testing.assert_allclose(reached[8:], expected[6:], atol=2e-4)
    assert np.abs(np.array(reached) - targets)[8:].max() < 0.004


def test_limits_that_change_are_reached_by_braking():
    """Fast, then robot, again and again: the old limits hold until a joint is inside of the new ones, soon."""
    rng = np.random.default_rng(3)
    motion = JointMotion(LOW, HIGH)
    motion.start(np.zeros(69))
    for k, (target, velocity) in enumerate(noise(rng, 600)):
        limits, since = (FAST, ROBOT)[(k // 30) % 2], k % 30
        dt = intervals(rng, "irregular")
        p, v = motion.position, motion.velocity
        motion.follow(target, velocity, dt, max(dt, 0.05), limits)
        assert (motion.position >= LOW).all() and (motion.position <= HIGH).all()
        assert np.abs(motion.acceleration).max() <= FAST[1] + BIT and np.abs(motion.velocity).max() <= FAST[0] + BIT
        np.testing.assert_allclose(motion.position - p, 0.5 * dt * (v + motion.velocity), rtol=0, atol=1e-12)
        if since >= 15:
            assert np.abs(motion.velocity).max() <= limits[0] + BIT
        if k % 60 == 30:
            slower = np.abs(v) > ROBOT[0]
            assert (np.abs(motion.velocity)[slower] < np.abs(v)[slower]).all(), "it brakes at once"


def test_rest_is_reached_in_time():
    motion = JointMotion(LOW, HIGH)
    motion.start(np.zeros(69))
    for _ in range(3):
        motion.follow(HIGH, np.zeros(69), 1 / 30, 1 / 30, FAST)
    left = 0.3
    speeds = [np.abs(motion.velocity).max()]
    while left > 1e-9:
        motion.rest(1 / 30, left, FAST)
        left -= 1 / 30
        speeds.append(np.abs(motion.velocity).max())
    assert speeds[0] > 5.0 and np.all(np.diff(speeds) < 1e-9) and speeds[-1] < 1e-6
    assert (motion.position <= HIGH).all()


def test_stopping_distance_is_that_of_the_brake_in_time():
    """Against integration in small steps."""
    rng = np.random.default_rng(4)
    n = 200
    limits = Limits(np.full(n, 20.0), rng.uniform(15.0, 300.0, n), rng.uniform(1e3, 1e4, n))
    v, a = rng.uniform(-5.0, 12.0, n), rng.uniform(-1.0, 1.0, n) * limits.acceleration
    p, most, speed, rate, dt = np.zeros(n), np.zeros(n), v.copy(), a.copy(), 2e-4
    for _ in range(8_000):
        rate = np.maximum(rate - limits.jerk * dt, -limits.acceleration)
        p += speed * dt + 0.5 * rate * dt**2
        speed += rate * dt
        most = np.maximum(most, p)
    np.testing.assert_allclose(stopping_distance(v, a, limits), most, rtol=0.01, atol=5e-3)
