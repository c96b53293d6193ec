"""Small vectors and matrices in place."""

from __future__ import annotations

from diffmocap.compiler import inlined


@inlined
def dot(a, b):
    """Of [3] and [3]."""
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


@inlined
def add_cross(a, b, scale, out):
    """Adds ``scale`` a x b to ``out`` [3]."""
    out[0] += scale * (a[1] * b[2] - a[2] * b[1])
    out[1] += scale * (a[2] * b[0] - a[0] * b[2])
    out[2] += scale * (a[0] * b[1] - a[1] * b[0])


@inlined
def add(a, scale, out):
    """Adds ``scale`` a to ``out`` [3]."""
    out[0] += scale * a[0]
    out[1] += scale * a[1]
    out[2] += scale * a[2]


@inlined
def add_force(force, place, scale, load):
    """Adds ``scale`` times a force [3] at a place [3] to a load [6]: a force, and its moment about the origin."""
    add(force, scale, load[:3])
    add_cross(place, force, scale, load[3:])


@inlined
def add_velocity(twist, place, scale, out):
    """Adds ``scale`` times the velocity of a place [3] to ``out`` [3], for a twist [6] of the origin's velocity and the
    angular one: the transpose of :func:`add_force`."""
    add(twist[:3], scale, out)
    add_cross(twist[3:], place, scale, out)


@inlined
def times(m, a, out):
    """``out`` [3] = M a."""
    for r in range(3):
        out[r] = m[r, 0] * a[0] + m[r, 1] * a[1] + m[r, 2] * a[2]


@inlined
def transposed_times(m, a, out):
    """``out`` [3] = M^T a."""
    for r in range(3):
        out[r] = m[0, r] * a[0] + m[1, r] * a[1] + m[2, r] * a[2]


@inlined
def product(m, n, out):
    """``out`` [3, 3] = M N."""
    for r in range(3):
        for c in range(3):
            out[r, c] = m[r, 0] * n[0, c] + m[r, 1] * n[1, c] + m[r, 2] * n[2, c]


@inlined
def times_transposed(m, n, out):
    """``out`` [3, 3] = M N^T."""
    for r in range(3):
        for c in range(3):
            out[r, c] = m[r, 0] * n[c, 0] + m[r, 1] * n[c, 1] + m[r, 2] * n[c, 2]


@inlined
def turn_of(m, g, scale, out):
    """Adds ``scale`` times the gradient [3] of turning M, for that of its entries, G [3, 3]: the sum of M_c x G_c."""
    for c in range(3):
        add_cross(m[:, c], g[:, c], scale, out)
