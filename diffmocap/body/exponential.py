"""The exponential map of rotations with its right Jacobian (Sola et al. 2018, eq. 132 and 143), as machine code."""

from __future__ import annotations

import math

from diffmocap.compiler import compiled_within

#: Below this angle [rad] the three quotients are those of this angle, to nine digits.
_SMALLEST = 1e-4


@compiled_within
def exponential(delta, turn, jacobian):
    """``exp(delta)`` and its right Jacobian, [3, 3] each, for a tangent vector [3].

    The Jacobian J says that ``exp(delta + e)`` is ``exp(delta) exp(J e)`` to first order. (roma has no Jacobian.)
    """
    x, y, z = delta[0], delta[1], delta[2]
    length = x * x + y * y + z * z
    square, sine, versine = quotients(length)
    series(x, y, z, length, sine, versine, turn)
    series(x, y, z, length, -versine, (1.0 - sine) / square, jacobian)


@compiled_within
def quotients(length):
    """Of an angle by its square: the square, at least the smallest one's, sin(a) / a, and (1 - cos(a)) / a^2."""
    square = max(length, _SMALLEST * _SMALLEST)
    angle = math.sqrt(square)
    half = math.sin(0.5 * angle)
    return square, math.sin(angle) / angle, 2.0 * half * half / square


@compiled_within
def series(x, y, z, length, first, second, out):
    """``I + first [v] + second [v]^2`` for v = (x, y, z) of squared ``length``."""
    rest = 1.0 - second * length
    out[0, 0], out[1, 1], out[2, 2] = rest + second * x * x, rest + second * y * y, rest + second * z * z
    out[0, 1], out[1, 0] = second * x * y - first * z, second * x * y + first * z
    out[0, 2], out[2, 0] = second * x * z + first * y, second * x * z - first * y
    out[1, 2], out[2, 1] = second * y * z - first * x, second * y * z + first * x
