"""The friction cone: the nearest force in it, and how that changes with the force.

A force is in the cone where its part along the ground's two tangents is at most ``friction`` times that along its
normal; these are the rows of ``axes`` [3, 3], normal first. The drives' simulation has a smooth friction of its own
(:mod:`diffmocap.physics.ground_contact`).
"""

from __future__ import annotations

import math

from diffmocap.compiler import compiled, inlined
from diffmocap.physics.compiled.vectors import dot


@compiled
def project(force, axes, friction, out):
    """Fills ``out`` [3] with the point of the cone nearest to a force [3]; returns its square."""
    along, scale, y1, y2, size = _parts(force, axes, friction)
    for c in range(3):
        out[c] = along * axes[0, c] + scale * (y1 * axes[1, c] + y2 * axes[2, c])
    return along * along + (scale * size) ** 2


@compiled
def derivative(force, axes, friction, out):
    """J [3, 3] of :func:`project` at a force, symmetric."""
    along, scale, y1, y2, size = _parts(force, axes, friction)
    inside = 1.0 if scale >= 1.0 else 0.0
    rim = ((1.0 if along > 0.0 else 0.0) - inside) / math.sqrt(1.0 + friction * friction)
    a, b = inside + rim, rim * friction
    weight = inside - scale + b * b
    for r in range(3):
        u, d = axes[0, r], (y1 * axes[1, r] + y2 * axes[2, r]) / size
        for c in range(3):
            v, e = axes[0, c], (y1 * axes[1, c] + y2 * axes[2, c]) / size
            out[r, c] = a * a * u * v + a * b * (u * e + d * v) + weight * d * e
            out[r, c] += scale * (axes[1, r] * axes[1, c] + axes[2, r] * axes[2, c])


@inlined
def _parts(force, axes, friction):
    """Of the nearest point: its part along the normal and by what tangents are multiplied; the force's parts along the
    tangents, and their length."""
    y0, y1, y2 = dot(axes[0], force), dot(axes[1], force), dot(axes[2], force)
    size = max(math.sqrt(y1 * y1 + y2 * y2), 1e-30)
    along = max(y0, (y0 + friction * size) / (1.0 + friction * friction), 0.0)
    return along, min(friction * along / size, 1.0), y1, y2, size
