"""Joint angles of rotations as machine code.

The law is the torch code of :mod:`diffmocap.body.joint_angles`, with which the tests hold this one together.
"""

from __future__ import annotations

import math

import numpy as np

from diffmocap.compiler import compiled, compiled_within

_TURN = 2.0 * math.pi


@compiled
def nearest_angles(rotations, last, entries, parity, lock_cos, angles):
    """Angles [N, 69] rad of local rotations [N, 24, 9]: principal ones, or those nearest to ``last`` [N, 69], which has
    no rows where there are none.

    ``entries`` [23, 7] int and ``parity`` [23] of the joints' orders; ``lock_cos``: below this cosine of the middle
    angle the last angle is taken over.
    """
    principal, other = np.empty(3), np.empty(3)
    for n in range(len(rotations)):
        for j in range(len(entries)):
            r, e, sign = rotations[n, j + 1], entries[j], parity[j]
            ac, bc, cc, ab = np.float64(r[e[0]]), np.float64(r[e[1]]), np.float64(r[e[2]]), np.float64(r[e[3]])
            aa, ba, bb = np.float64(r[e[4]]), np.float64(r[e[5]]), np.float64(r[e[6]])
            cos_b = math.hypot(aa, ab)
            principal[0], principal[1], principal[2] = (
                math.atan2(-sign * bc, cc), math.atan2(sign * ac, cos_b), math.atan2(-sign * ab, aa)
            )  # fmt: skip
            if cos_b < lock_cos:
                principal[2] = last[n, 3 * j + 2] if len(last) else 0.0
                principal[0] = _wrapped(sign * np.sign(principal[1]) * (math.atan2(sign * ba, bb) - principal[2]))
            if len(last):
                other[0], other[1], other[2] = principal[0] + math.pi, math.pi - principal[1], principal[2] + math.pi
                nearer = 0.0  # by how much the other solution is, in squares
                for k in range(3):
                    before = np.float64(last[n, 3 * j + k])
                    principal[k], other[k] = _wrapped(principal[k] - before), _wrapped(other[k] - before)
                    nearer += principal[k] * principal[k] - other[k] * other[k]
                nearest = other if nearer > 0.0 else principal
                for k in range(3):
                    angles[n, 3 * j + k] = last[n, 3 * j + k] + nearest[k]
            else:
                for k in range(3):
                    angles[n, 3 * j + k] = principal[k]


@compiled
def joint_turns(angles, axes, rotations):
    """Rotations [N, 23, 3, 3] of angles [N, 69] rad about ``axes`` [23, 3] int, 0 to 2 of the SMPL frame, one after the
    other."""
    turn = np.empty((3, 3))
    for n in range(len(angles)):
        for j in range(len(axes)):
            turn[:] = 0.0
            turn[0, 0] = turn[1, 1] = turn[2, 2] = 1.0
            for k in range(3):
                angle = np.float64(angles[n, 3 * j + k])
                sine, cosine = math.sin(angle), math.cos(angle)
                a, b = (axes[j, k] + 1) % 3, (axes[j, k] + 2) % 3
                for r in range(3):  # a turn about an axis mixes the columns of the other two
                    x, y = turn[r, a], turn[r, b]
                    turn[r, a], turn[r, b] = cosine * x + sine * y, cosine * y - sine * x
            rotations[n, j] = turn


@compiled_within
def _wrapped(angle):
    return angle - _TURN * np.rint(angle / _TURN)
