"""The way to rest that ends every trajectory: limits by sampling what a controller makes of its points."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.interpolate import CubicHermiteSpline

from diffmocap.robots.live.braking import braking_points


def drawn(seed: int) -> tuple[np.ndarray, ...]:
    """Commands of 20 joints, any of which can stop inside its range, some barely."""
    g = np.random.default_rng(seed)
    acceleration = g.uniform(10.0, 80.0, 20)
    low, high = -g.uniform(0.5, 3.0, 20), g.uniform(0.5, 3.0, 20)
    velocity = g.uniform(-6.0, 6.0, 20)
    stop = velocity * np.abs(velocity) / (2.0 * acceleration)
    barely = g.random(20) < 0.4
    most, least = np.minimum(high, high - stop), np.maximum(low, low - stop)
    position = np.where(barely, np.where(velocity > 0, most, least), g.uniform(least, most))
    return position, velocity, acceleration, low, high


@pytest.mark.parametrize("seed", range(30))
def test_a_robot_that_hears_nothing_more_rests_inside_its_limits(seed) -> None:
    position, velocity, acceleration, low, high = drawn(seed)
    points = braking_points(position, velocity, acceleration, low, high)
    times = [0.0, *(t for t, _, _ in points)]
    p, v = np.array([position, *(x for _, x, _ in points)]), np.array([velocity, *(x for _, _, x in points)])
    assert not v[-1].any() and times == sorted(set(times))
    assert times[-1] == pytest.approx((np.abs(velocity) / acceleration).max())
    spline = CubicHermiteSpline(times, p, v)
    t = np.linspace(0.0, times[-1], 500)
    assert (spline(t) >= low - 1e-9).all() and (spline(t) <= high + 1e-9).all()
    assert (np.abs(spline(t, 1)) <= np.abs(velocity) + 1e-9).all(), "nothing speeds up"
    assert (np.abs(spline(t, 2)) <= acceleration * (1 + 1e-6)).all()


def test_a_robot_at_rest_has_one_point() -> None:
    still = np.zeros(3)
    points = braking_points(np.ones(3), still, np.ones(3), -2 * np.ones(3), 2 * np.ones(3))
    assert len(points) == 1 and np.array_equal(points[0][1], np.ones(3))
