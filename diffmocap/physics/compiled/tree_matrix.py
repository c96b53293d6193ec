"""Symmetric matrices with the pattern of the kinematic tree, [75, 75] over u = (v_pelvis, omega_0 .. omega_23).

Entry (a, b) is zero unless one of the two acts on what carries the other. Factorising from the leaves on,
``H = L^T D L``, keeps that pattern (Featherstone 2008, "Rigid Body Dynamics Algorithms", section 6.4, table 6.3), and
so costs a tenth of a dense Cholesky factorisation. Only entries (a, b) with b an ancestor of a, or a itself, are ever
touched.
"""

from __future__ import annotations

import numpy as np

from diffmocap.body.skeleton import NUM_JOINTS, PARENTS
from diffmocap.compiler import compiled

SIZE = 3 * (1 + NUM_JOINTS)


def _above() -> np.ndarray:
    """Next entry on the way to the root [75], -1 at the end."""
    above = np.arange(-1, SIZE - 1)
    for joint, parent in enumerate(PARENTS):
        above[3 * (joint + 1)] = 3 * (parent + 1) + 2
    return above


_ABOVE = _above()


@compiled
def factorise(h):
    """Replaces H [75, 75] by D on the diagonal and L below it."""
    for k in range(SIZE - 1, -1, -1):
        i = _ABOVE[k]
        while i >= 0:
            share = h[k, i] / h[k, k]
            j = i
            while j >= 0:
                h[i, j] -= share * h[k, j]
                j = _ABOVE[j]
            h[k, i] = share
            i = _ABOVE[i]


@compiled
def solve(h, x):
    """Replaces x [75] by H^-1 x, with what :func:`factorise` made of H."""
    for i in range(SIZE - 1, -1, -1):
        j = _ABOVE[i]
        while j >= 0:
            x[j] -= h[i, j] * x[i]
            j = _ABOVE[j]
    for i in range(SIZE):
        x[i] /= h[i, i]
        j = _ABOVE[i]
        while j >= 0:
            x[i] -= h[i, j] * x[j]
            j = _ABOVE[j]


@compiled
def clear(h):
    """Zeros where the pattern has entries."""
    for i in range(SIZE):
        j = i
        while j >= 0:
            h[i, j] = 0.0
            j = _ABOVE[j]
