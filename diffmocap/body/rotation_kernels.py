"""Conversions of rotations as machine code, where no gradient is asked for.

The laws are the torch code of :mod:`diffmocap.body.rotations`, with which the tests hold these together.
"""

from __future__ import annotations

import math

import numpy as np

from diffmocap.body.exponential import quotients, series
from diffmocap.compiler import compiled


@compiled
def exponentials(vectors, turns):
    """Rotation matrices of ``vectors`` [N, 3] into ``turns`` [N, 3, 3]."""
    for n in range(len(vectors)):
        x, y, z = np.float64(vectors[n, 0]), np.float64(vectors[n, 1]), np.float64(vectors[n, 2])
        length = x * x + y * y + z * z
        _, sine, versine = quotients(length)
        series(x, y, z, length, sine, versine, turns[n])


@compiled
def logarithms(matrices, vectors):
    """Rotation vectors of ``matrices`` [N, 3, 3] into ``vectors`` [N, 3]."""
    for n in range(len(matrices)):
        m = matrices[n]
        x, y, z = np.float64(m[2, 1] - m[1, 2]), np.float64(m[0, 2] - m[2, 0]), np.float64(m[1, 0] - m[0, 1])
        sine = math.sqrt(x * x + y * y + z * z + 1e-20)
        scale = math.atan2(sine, np.float64(m[0, 0] + m[1, 1] + m[2, 2]) - 1.0) / sine
        vectors[n, 0], vectors[n, 1], vectors[n, 2] = scale * x, scale * y, scale * z


@compiled
def quaternions(matrices, xyzw):
    """Unit quaternions of ``matrices`` [N, 3, 3] into ``xyzw`` [N, 4]: by the largest component, so that no
    difference of nearly equal numbers is divided by (Shepperd 1978)."""
    for n in range(len(matrices)):
        m, q = matrices[n], xyzw[n]
        trace = m[0, 0] + m[1, 1] + m[2, 2]
        largest = 3
        for k in range(3):
            if m[k, k] > (trace if largest == 3 else m[largest, largest]):
                largest = k
        if largest == 3:
            q[3] = 1.0 + trace
            for a in range(3):
                b, c = (a + 1) % 3, (a + 2) % 3
                q[a] = m[c, b] - m[b, c]
        else:
            a, b, c = largest, (largest + 1) % 3, (largest + 2) % 3
            q[a] = 1.0 + 2.0 * m[a, a] - trace
            q[b], q[c], q[3] = m[a, b] + m[b, a], m[a, c] + m[c, a], m[c, b] - m[b, c]
        length = math.sqrt(q[0] * q[0] + q[1] * q[1] + q[2] * q[2] + q[3] * q[3])
        scale = (-1.0 if q[3] < 0.0 else 1.0) / length
        for k in range(4):
            q[k] *= scale


@compiled
def gram_schmidt(sixd, matrices):
    """Rotation matrices of 6D vectors [N, 6] into ``matrices`` [N, 3, 3]."""
    x, y = np.empty(3), np.empty(3)
    for n in range(len(sixd)):
        length = 0.0
        for c in range(3):
            x[c] = sixd[n, c]
            length += x[c] * x[c]
        x /= max(math.sqrt(length), 1e-12)
        along = 0.0
        for c in range(3):
            y[c] = sixd[n, 3 + c]
            along += x[c] * y[c]
        y -= along * x
        y /= max(math.sqrt(y[0] * y[0] + y[1] * y[1] + y[2] * y[2]), 1e-12)
        for c in range(3):
            d, e = (c + 1) % 3, (c + 2) % 3
            matrices[n, c, 0], matrices[n, c, 1], matrices[n, c, 2] = x[c], y[c], x[d] * y[e] - x[e] * y[d]
