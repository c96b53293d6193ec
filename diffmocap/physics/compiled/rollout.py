"""The simulation, step after step."""

from __future__ import annotations

import numpy as np

from diffmocap.body.skeleton import NUM_JOINTS, PARENTS
from diffmocap.compiler import compiled
from diffmocap.physics.compiled.laws import chord, contact, drive
from diffmocap.physics.compiled.step import (
    bounded,
    loads,
    placed,
    system,
    turned,
    velocities,
)
from diffmocap.physics.compiled.tree_matrix import SIZE, factorise, solve
from diffmocap.physics.compiled.vectors import (
    add,
    add_cross,
    dot,
    product,
    times,
    times_transposed,
)

_PARENTS = np.array(PARENTS)


@compiled
def simulate(rotations, pelvis, u, aims, rates, body, drives, ground, dt, kept_r, kept_p, kept_u, kept_w, torque):
    """One body through all steps of all frames.

    Args:
        rotations, pelvis, u: [24, 3, 3] global, [3] m, [25, 3] to begin with.
        aims: [F, S, 23, 3, 3] local targets at the ends of S steps in each of F frames. rates: [F, 24, 3] rad/s.
        body: offsets [24, 3], segment [P], offset [P, 3], radius [P], moment [24, 3], inertia [24, 3, 3], mass.
        drives: stiffness, damping, strength [24]. ground: up [3], height, gravity [3], stiffness, softening,
            relaxation, friction, slip.
        kept_r, kept_p, kept_u: [F S + 1, ...] the states, the first included; kept_w: [F S, 25, 3] the velocities
            before they were bounded. torque: [F, 24, 3] of the drives at the end of each frame; all filled.
    """
    kept_r[0], kept_p[0], kept_u[0] = rotations, pelvis, u
    n = 0
    for f in range(aims.shape[0]):
        for s in range(aims.shape[1]):
            _step(
                kept_r[n], kept_p[n], kept_u[n], aims[f, s], rates[f], body, drives, ground, dt, kept_w[n],
                kept_r[n + 1], kept_p[n + 1], kept_u[n + 1], torque[f],
            )  # fmt: skip
            n += 1


@compiled
def error_of(rotations, aim, joint, reached, out):
    """What turns a joint to its target: ``out`` [3, 3], and the target's global rotation ``reached`` [3, 3]."""
    product(rotations[_PARENTS[joint]], aim[joint - 1], reached)
    times_transposed(reached, rotations[joint], out)


@compiled
def driven(rotations, u, aim, rate, drives, dt, errors, wanted, relative, torques, resistance):
    """Fills chords, wanted and actual relative rates, torques [24, 3] and resistances [24] of the drives."""
    stiffness, damping, strength = drives
    reached, error = np.empty((3, 3)), np.empty((3, 3))
    errors[0], wanted[0], relative[0], torques[0], resistance[0] = 0.0, 0.0, u[1], 0.0, 0.0
    for j in range(1, NUM_JOINTS):
        up = _PARENTS[j]
        error_of(rotations, aim, j, reached, error)
        chord(error, errors[j])
        times(rotations[up], rate[j], wanted[j])
        for c in range(3):
            relative[j, c] = u[1 + j, c] - u[1 + up, c]
        resistance[j] = drive(
            errors[j], wanted[j], relative[j], stiffness[j], damping[j], strength[j], dt, torques[j]
        )  # fmt: skip


@compiled
def touched(centres, speeds, radius, ground, dt, forces, push, drag):
    """Fills forces [P, 3] on the contact points and their resistances [P]."""
    up, height, _, stiffness, softening, relaxation, friction, slip = ground
    for k in range(len(radius)):
        gap = dot(centres[k], up) - (radius[k] + height)
        push[k], drag[k] = contact(
            gap, speeds[k], up, stiffness, softening, dt + relaxation, friction, slip, forces[k]
        )  # fmt: skip


@compiled
def begun(rotations, pelvis, u, aim, rate, body, drives, ground, dt):
    """What a step and its gradient begin with: places, drives, contacts, and the factorised matrix.

    Returns edges, moments [24, 3], inertias [24, 3, 3], levers, centres [P, 3], errors, wanted, relative, torques
    [24, 3], resistance [24], speeds, forces [P, 3], push, drag [P], H [75, 75].
    """
    segment, radius, up = body[1], body[3], ground[0]
    count = len(segment)
    edges, joints, moments = np.empty((NUM_JOINTS, 3)), np.empty((NUM_JOINTS, 3)), np.empty((NUM_JOINTS, 3))
    inertias, levers, centres = np.empty((NUM_JOINTS, 3, 3)), np.empty((count, 3)), np.empty((count, 3))
    placed(rotations, pelvis, body, edges, joints, levers, centres, moments, inertias)
    errors, wanted, relative = np.empty((NUM_JOINTS, 3)), np.empty((NUM_JOINTS, 3)), np.empty((NUM_JOINTS, 3))
    torques, resistance = np.empty((NUM_JOINTS, 3)), np.empty(NUM_JOINTS)
    driven(rotations, u, aim, rate, drives, dt, errors, wanted, relative, torques, resistance)
    moving, speeds = np.empty((NUM_JOINTS, 3)), np.empty((count, 3))
    velocities(u, edges, levers, segment, moving, speeds)
    forces, push, drag = np.empty((count, 3)), np.empty(count), np.empty(count)
    touched(centres, speeds, radius, ground, dt, forces, push, drag)
    h = np.empty((SIZE, SIZE))
    system(body, edges, moments, inertias, levers, resistance, drag, push, up, dt, h)
    factorise(h)
    return (
        edges, moments, inertias, levers, centres, errors, wanted, relative, torques, resistance, speeds, forces, push,
        drag, h,
    )  # fmt: skip


@compiled
def _step(rotations, pelvis, u, aim, rate, body, drives, ground, dt, w, next_r, next_p, next_u, torque):
    """A step: ``w`` [25, 3] velocities before they are bounded, and the next state; ``torque`` [24, 3] at its end."""
    segment, total, gravity = body[1], body[6], ground[2]
    count = len(segment)
    edges, moments, inertias, levers, _, _, _, _, torques, resistance, _, forces, _, _, h = begun(
        rotations, pelvis, u, aim, rate, body, drives, ground, dt
    )  # fmt: skip
    carried, own = np.empty((NUM_JOINTS, 3)), np.empty((NUM_JOINTS, 3))
    loads(u, edges, moments, inertias, gravity, carried, own)
    gain = np.zeros((NUM_JOINTS + 1, 3))
    for j in range(NUM_JOINTS):
        add(torques[j], 1.0, gain[1 + j])
        if j:
            add(torques[j], -1.0, gain[1 + _PARENTS[j]])
        add(own[j], -1.0, gain[1 + j])
        for c in range(3):
            carried[j, c] = -carried[j, c]
    for k in range(count):
        add(forces[k], 1.0, carried[segment[k]])
        add_cross(levers[k], forces[k], 1.0, gain[1 + segment[k]])
    for j in range(NUM_JOINTS - 1, 0, -1):
        add_cross(edges[j], carried[j], 1.0, gain[1 + _PARENTS[j]])
        add(carried[j], 1.0, carried[_PARENTS[j]])
    add(carried[0], 1.0, gain[0])
    add(gravity, total, gain[0])
    gain *= dt
    solve(h, gain.reshape(SIZE))
    for j in range(NUM_JOINTS + 1):
        for c in range(3):
            w[j, c] = u[j, c] + gain[j, c]
    bounded(w, next_u)
    for j in range(NUM_JOINTS):
        turned(rotations[j], next_u[1 + j], dt, next_r[j])
        torque[j] = torques[j]
        add(gain[1 + j], -resistance[j], torque[j])
        if j:
            add(gain[1 + _PARENTS[j]], resistance[j], torque[j])
    for c in range(3):
        next_p[c] = pelvis[c] + dt * next_u[0, c]
