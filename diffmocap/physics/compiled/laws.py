"""Drives and contacts of one step, and their vector-Jacobian products (vjp): :mod:`diffmocap.physics.joint_drives` and
:mod:`diffmocap.physics.ground_contact`."""

from __future__ import annotations

import math

from diffmocap.compiler import compiled
from diffmocap.physics.compiled.vectors import dot

#: Below this argument the softened spring is zero in double precision.
NOTHING = -40.0
#: See :func:`diffmocap.physics.joint_drives.chord`.
_LEAST_COSINE = 0.03


@compiled
def chord(m, out):
    """2 sin(angle / 2) about the axis [3] of a rotation [3, 3]."""
    scale = 1.0 / math.sqrt(max(1.0 + m[0, 0] + m[1, 1] + m[2, 2], _LEAST_COSINE))
    out[0], out[1], out[2] = (m[2, 1] - m[1, 2]) * scale, (m[0, 2] - m[2, 0]) * scale, (m[1, 0] - m[0, 1]) * scale


@compiled
def chord_vjp(m, above, out):
    """The gradient ``out`` [3, 3] of the entries of ``m`` for that of its chord [3]."""
    cosine = 1.0 + m[0, 0] + m[1, 1] + m[2, 2]
    scale = 1.0 / math.sqrt(max(cosine, _LEAST_COSINE))
    trace = 0.0
    if cosine > _LEAST_COSINE:
        product = (m[2, 1] - m[1, 2]) * above[0] + (m[0, 2] - m[2, 0]) * above[1] + (m[1, 0] - m[0, 1]) * above[2]
        trace = -0.5 * scale**3 * product
    out[0, 0] = out[1, 1] = out[2, 2] = trace
    out[2, 1], out[1, 2] = scale * above[0], -scale * above[0]
    out[0, 2], out[2, 0] = scale * above[1], -scale * above[1]
    out[1, 0], out[0, 1] = scale * above[2], -scale * above[2]


@compiled
def drive(error, wanted, rate, stiffness, damping, strength, dt, out):
    """Torque ``out`` [3] of a joint on its child, and returns its resistance."""
    square = 0.0
    for c in range(3):
        raw = stiffness * error[c] + damping * (wanted[c] - rate[c])
        square += raw * raw
    softer = 1.0 / math.sqrt(1.0 + square / (strength * strength))
    for c in range(3):
        raw = stiffness * error[c] + damping * (wanted[c] - rate[c])
        out[c] = softer * (raw - dt * stiffness * rate[c])
    return softer * (dt * stiffness + damping)


@compiled
def drive_vjp(error, wanted, rate, stiffness, damping, strength, dt, of_torque, of_resistance, of_error, of_wanted,
               of_rate):  # fmt: skip
    """Fills the gradients of error, wanted and rate [3] for those of torque [3] and resistance."""
    square, along = 0.0, 0.0
    for c in range(3):
        raw = stiffness * error[c] + damping * (wanted[c] - rate[c])
        square += raw * raw
        along += of_torque[c] * (raw - dt * stiffness * rate[c])
    softer = 1.0 / math.sqrt(1.0 + square / (strength * strength))
    of_softer = along + of_resistance * (dt * stiffness + damping)
    scale = -(softer**3) * of_softer / (strength * strength)
    for c in range(3):
        raw = stiffness * error[c] + damping * (wanted[c] - rate[c])
        of_raw = softer * of_torque[c] + scale * raw
        of_error[c], of_wanted[c] = stiffness * of_raw, damping * of_raw
        of_rate[c] = -damping * of_raw - dt * stiffness * softer * of_torque[c]


@compiled
def contact(gap, velocity, up, stiffness, softening, ahead, friction, slip, out):
    """Force ``out`` [3] on a point, and returns its resistance along ``up`` and along the ground; exactly nothing where
    it is far above."""
    rise = dot(velocity, up)
    depth = -(gap + ahead * rise) / softening
    if depth <= NOTHING:
        out[:] = 0.0
        return 0.0, 0.0
    push = stiffness * softening * (math.log1p(math.exp(depth)) if depth < 30.0 else depth)
    square = slip * slip
    for c in range(3):
        square += (velocity[c] - rise * up[c]) ** 2
    drag = friction * push / math.sqrt(square)
    for c in range(3):
        out[c] = push * up[c] - drag * (velocity[c] - rise * up[c])
    return stiffness * ahead / (1.0 + math.exp(-depth)), drag


@compiled
def contact_vjp(gap, velocity, up, stiffness, softening, ahead, friction, slip, of_force, of_resistance, of_drag,
                 of_velocity):  # fmt: skip
    """Fills the gradient of the velocity [3], and returns that of the gap, for those of force [3] and resistances."""
    rise = dot(velocity, up)
    depth = -(gap + ahead * rise) / softening
    push = stiffness * softening * (math.log1p(math.exp(depth)) if depth < 30.0 else depth)
    share = 1.0 / (1.0 + math.exp(-depth))
    square, against = slip * slip, 0.0
    for c in range(3):
        along = velocity[c] - rise * up[c]
        square += along * along
        against += of_force[c] * along
    pace = 1.0 / math.sqrt(square)
    drag = friction * push * pace
    of_drag -= against
    of_push = dot(of_force, up) + friction * pace * of_drag
    of_depth = of_push * stiffness * softening * share
    of_depth += of_resistance * stiffness * ahead * share * (1.0 - share)
    of_rise = -ahead * of_depth / softening
    for c in range(3):
        along = velocity[c] - rise * up[c]
        of_velocity[c] = -drag * of_force[c] - of_drag * friction * push * pace**3 * along
    of_rise -= dot(of_velocity, up)
    for c in range(3):
        of_velocity[c] += of_rise * up[c]
    return -of_depth / softening
