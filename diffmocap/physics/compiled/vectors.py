"""Small vectors and matrices in place."""

from __future__ import annotations

from diffmocap.compiler import compiled


@compiled
def dot(a, b):
    """Of [3] and [3]."""
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


@compiled
def add_cross(a, b, scale, out):
    """Adds ``scale`` a x b to ``out`` [3]."""
    out[0] += scale * (a[1] * b[2] - a[2] * b[1])
    out[1] += scale * (a[2] * b[0] - a[0] * b[2])
    out[2] += scale * (a[0] * b[1] - a[1] * b[0])


@compiled
def add(a, scale, out):
    """Adds ``scale`` a to ``out`` [3]."""
    out[0] += scale * a[0]
    out[1] += scale * a[1]
    out[2] += scale * a[2]


@compiled
def times(m, a, out):
    """``out`` [3] = M a."""
    for r in range(3):
        out[r] = m[r, 0] * a[0] + m[r, 1] * a[1] + m[r, 2] * a[2]


@compiled
def transposed_times(m, a, out):
    """``out`` [3] = M^T a."""
    for r in range(3):
        out[r] = m[0, r] * a[0] + m[1, r] * a[1] + m[2, r] * a[2]


@compiled
def product(m, n, out):
    """``out`` [3, 3] = M N."""
    for r in range(3):
        for c in range(3):
            out[r, c] = m[r, 0] * n[0, c] + m[r, 1] * n[1, c] + m[r, 2] * n[2, c]


@compiled
def times_transposed(m, n, out):
    """``out`` [3, 3] = M N^T."""
    for r in range(3):
        for c in range(3):
            out[r, c] = m[r, 0] * n[c, 0] + m[r, 1] * n[c, 1] + m[r, 2] * n[c, 2]


@compiled
def turn_of(m, g, scale, out):
    """Adds ``scale`` times the gradient [3] of turning M, for that of its entries, G [3, 3]: the sum of M_c x G_c."""
    for k in range(3):
        a, b = (k + 1) % 3, (k + 2) % 3
        total = 0.0
        for c in range(3):
            total += m[a, c] * g[b, c] - m[b, c] * g[a, c]
        out[k] += scale * total
