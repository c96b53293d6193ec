"""How a robot comes to rest from a command: the points of a trajectory that ends there, inside the limits."""

from __future__ import annotations

import numpy as np


def braking_points(
    position: np.ndarray, velocity: np.ndarray, acceleration: np.ndarray, low: np.ndarray, high: np.ndarray
) -> list[tuple[float, np.ndarray, np.ndarray]]:
    """Points after a command, the last of them at rest.

    All joints brake evenly and end together, as the one does that needs the longest; those that would leave their range
    on the way brake as hard as they can, and have a point where they end. Cubic interpolation of the points is the
    trajectory.

    Args:
        position, velocity: [N] of the command. A joint must be able to stop inside its range.
        acceleration: [N] limits.
        low, high: [N] the range of each joint.

    Returns:
        Times after the command [s], positions [N] and velocities [N]; one point at the command's place where it rests.
    """
    shortest_s = np.abs(velocity) / acceleration
    last_s = float(shortest_s.max(initial=0.0))
    if last_s <= 0.0:
        return [(0.0, position, np.zeros_like(position))]
    end = position + 0.5 * last_s * velocity
    hard = (end < low) | (end > high)
    until_s = np.where(hard, np.maximum(shortest_s, 1e-9), last_s)
    points = []
    for time_s in sorted({*until_s[hard].tolist(), last_s}):
        t = np.minimum(time_s, until_s)
        share = t / until_s
        points.append((time_s, position + velocity * t * (1.0 - 0.5 * share), velocity * (1.0 - share)))
    return points
