"""The friction cone: the nearest force in it, and how that changes with the force.

A force is its part y0 along the ground's normal [N] and y1, y2 along two tangents; it is in the cone where the
tangential part is at most ``friction`` times y0. The drives' simulation has a smooth friction of its own
(:mod:`diffmocap.physics.ground_contact`).
"""

from __future__ import annotations

import math

from diffmocap.compiler import compiled


@compiled
def projected(y0, y1, y2, friction):
    """Nearest point of the cone: its part along the axis and by what tangents are multiplied; and their length."""
    size = max(math.sqrt(y1 * y1 + y2 * y2), 1e-30)
    along = max(y0, (y0 + friction * size) / (1.0 + friction * friction), 0.0)
    return along, min(friction * along / size, 1.0), size


@compiled
def derivative(y0, y1, y2, friction, out):
    """J [3, 3] at y, symmetric."""
    along, scale, size = projected(y0, y1, y2, friction)
    d1, d2 = y1 / size, y2 / size
    inside = 1.0 if scale >= 1.0 else 0.0
    rim = ((1.0 if along > 0.0 else 0.0) - inside) / math.sqrt(1.0 + friction * friction)
    a, b = inside + rim, rim * friction
    weight = inside - scale + b * b
    out[0, 0] = a * a
    out[0, 1] = out[1, 0] = a * b * d1
    out[0, 2] = out[2, 0] = a * b * d2
    out[1, 1], out[2, 2] = weight * d1 * d1 + scale, weight * d2 * d2 + scale
    out[1, 2] = out[2, 1] = weight * d1 * d2
