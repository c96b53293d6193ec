"""The gradient of the simulation, from its last step to its first.

With the virtual velocities lambda = A^-1 of_gain and g = gain, the gradient of a solved step ``A g = b`` is that of
``lambda b - lambda A g`` with both held. All its terms are sums over edges of the tree, so they follow from running the
velocities of lambda and g along it, and their gradients back.
"""

from __future__ import annotations

import numpy as np

from diffmocap.body.skeleton import NUM_JOINTS, PARENTS
from diffmocap.compiler import compiled
from diffmocap.physics.compiled.laws import chord_vjp, contact_vjp, drive_vjp
from diffmocap.physics.compiled.rollout import begun, error_of
from diffmocap.physics.compiled.step import (
    bounded_vjp,
    loads,
    turned_vjp,
    velocities,
    velocities_vjp,
)
from diffmocap.physics.compiled.tree_matrix import SIZE, solve
from diffmocap.physics.compiled.vectors import add, add_cross, dot, product, times, transposed_times, turn_of

_PARENTS = np.array(PARENTS)


@compiled
def simulate_vjp(aims, rates, body, drives, ground, dt, kept_r, kept_p, kept_u, kept_w, of_r, of_p, of_u, of_torque,
                  of_aims, of_rates, of_turns, of_pelvis, of_velocity):  # fmt: skip
    """The gradients of aims [F, S, 23, 3, 3], rates [F, 24, 3] and the first state, for those of the frames.

    Args:
        of_r: [F + 1, 24, 3] of the frames' turns. of_p: [F + 1, 3]. of_u: [F + 1, 25, 3]. of_torque: [F, 24, 3].
        of_turns, of_pelvis, of_velocity: [24, 3], [3] and [25, 3] of the first state; all ``of_`` from of_aims on are
            filled.
    """
    frames, steps = aims.shape[:2]
    of_turns[:], of_pelvis[:], of_velocity[:], of_rates[:] = of_r[frames], of_p[frames], of_u[frames], 0.0
    none = np.zeros((NUM_JOINTS, 3))
    n = frames * steps
    for f in range(frames - 1, -1, -1):
        for s in range(steps - 1, -1, -1):
            n -= 1
            _pull_step(
                kept_r[n], kept_p[n], kept_u[n], aims[f, s], rates[f], body, drives, ground, dt, kept_w[n],
                kept_u[n + 1], of_torque[f] if s == steps - 1 else none, of_turns, of_pelvis, of_velocity,
                of_aims[f, s], of_rates[f],
            )  # fmt: skip
        of_turns += of_r[f]
        of_pelvis += of_p[f]
        of_velocity += of_u[f]


@compiled
def _pull_step(rotations, pelvis, u, aim, rate, body, drives, ground, dt, w, next_u, of_end, of_turns, of_pelvis,
               of_velocity, of_aim, of_rate):  # fmt: skip
    """Replaces the gradient of the state after a step by that of the previous state, fills that of the targets and adds
    to that of the rates."""
    segment, radius = body[1], body[3]
    stiffness, damping, strength = drives
    up, height, gravity, spring, softening, relaxation, friction, slip = ground
    count = len(segment)
    # What the step computed.
    (edges, moments, inertias, levers, centres, errors, wanted, relative, _, resistance, speeds, forces, push, drag,
     h) = begun(rotations, pelvis, u, aim, rate, body, drives, ground, dt)  # fmt: skip
    carried, own = np.empty((NUM_JOINTS, 3)), np.empty((NUM_JOINTS, 3))
    reached = loads(u, edges, moments, inertias, gravity, carried, own)
    gain = w - u
    # Positions, turns, bounds.
    add(of_pelvis, dt, of_velocity[0])
    for j in range(NUM_JOINTS):
        turned_vjp(next_u[1 + j], dt, of_turns[j], of_velocity[1 + j])
    adjoint, of_u = np.empty((NUM_JOINTS + 1, 3)), np.empty((NUM_JOINTS + 1, 3))
    bounded_vjp(w, of_velocity, of_u)
    adjoint[:] = of_u
    of_torques, of_resistance, slack = of_end.copy(), np.zeros(NUM_JOINTS), np.empty(3)
    for j in range(1, NUM_JOINTS):  # the torque at the end is that at the beginning, less what the gain takes
        up_j = _PARENTS[j]
        add(of_end[j], -resistance[j], adjoint[1 + j])
        add(of_end[j], resistance[j], adjoint[1 + up_j])
        for c in range(3):
            of_resistance[j] -= of_end[j, c] * (gain[1 + j, c] - gain[1 + up_j, c])
    solve(h, adjoint.reshape(SIZE))
    # Velocities of what follows from both.
    of_edges, of_moments = np.zeros((NUM_JOINTS, 3)), np.zeros((NUM_JOINTS, 3))
    of_levers, of_places = np.zeros((count, 3)), np.zeros((NUM_JOINTS, 3))
    run, run_points = np.empty((NUM_JOINTS, 3)), np.empty((count, 3))
    ran, ran_points = np.empty((NUM_JOINTS, 3)), np.empty((count, 3))
    velocities(adjoint, edges, levers, segment, run, run_points)
    velocities(gain, edges, levers, segment, ran, ran_points)
    of_run, of_run_points = np.zeros((NUM_JOINTS, 3)), np.zeros((count, 3))
    of_ran, of_ran_points = np.zeros((NUM_JOINTS, 3)), np.zeros((count, 3))
    of_speeds = np.zeros((count, 3))
    of_force = np.empty(3)
    for k in range(count):
        if push[k] == 0.0 and drag[k] == 0.0:
            continue
        one, other = run_points[k], ran_points[k]
        rise, risen = dot(one, up), dot(other, up)
        rest = push[k] - drag[k]
        for c in range(3):
            of_force[c] = dt * one[c]
            of_run_points[k, c] = dt * (forces[k, c] - drag[k] * other[c] - rest * risen * up[c])
            of_ran_points[k, c] = -dt * (drag[k] * one[c] + rest * rise * up[c])
        of_drag, of_push = -dt * (dot(one, other) - rise * risen), -dt * rise * risen
        gap = dot(centres[k], up) - (radius[k] + height)
        of_gap = contact_vjp(
            gap, speeds[k], up, spring, softening, dt + relaxation, friction, slip, of_force, of_push, of_drag,
            of_speeds[k],
        )  # fmt: skip
        add(up, of_gap, of_places[segment[k]])
        add(up, of_gap, of_levers[k])
    _pull_inertia(u, adjoint, gain, moments, inertias, edges, carried, reached, run, ran, dt, of_run, of_ran,
                  of_moments, of_edges, of_u, of_turns)  # fmt: skip
    idle = np.zeros((NUM_JOINTS + 1, 3))
    velocities_vjp(adjoint, edges, levers, segment, of_run, of_run_points, of_edges, of_levers, idle)
    velocities_vjp(gain, edges, levers, segment, of_ran, of_ran_points, of_edges, of_levers, idle)
    of_moving = np.zeros((NUM_JOINTS, 3))
    velocities_vjp(u, edges, levers, segment, of_moving, of_speeds, of_edges, of_levers, of_u)
    # Drives.
    reach, error, of_error = np.empty((3, 3)), np.empty((3, 3)), np.empty((3, 3))
    of_chord, of_wanted, of_relative, turn = np.empty(3), np.empty(3), np.empty(3), np.empty(3)
    between = np.empty((3, 3))
    for j in range(1, NUM_JOINTS):
        up_j = _PARENTS[j]
        for c in range(3):
            lag = adjoint[1 + j, c] - adjoint[1 + up_j, c]
            of_torques[j, c] += dt * lag
            of_resistance[j] -= dt * lag * (gain[1 + j, c] - gain[1 + up_j, c])
        drive_vjp(
            errors[j], wanted[j], relative[j], stiffness[j], damping[j], strength[j], dt, of_torques[j],
            of_resistance[j], of_chord, of_wanted, of_relative,
        )  # fmt: skip
        add(of_relative, 1.0, of_u[1 + j])
        add(of_relative, -1.0, of_u[1 + up_j])
        add_cross(wanted[j], of_wanted, 1.0, of_turns[up_j])
        transposed_times(rotations[up_j], of_wanted, turn)
        add(turn, 1.0, of_rate[j])
        error_of(rotations, aim, j, reach, error)
        chord_vjp(error, of_chord, of_error)
        turn[:] = 0.0
        turn_of(error, of_error, 1.0, turn)
        add(turn, 1.0, of_turns[up_j])
        transposed_times(error, turn, slack)
        add(slack, -1.0, of_turns[j])
        product(of_error, rotations[j], between)
        for r in range(3):
            for c in range(3):
                of_aim[j - 1, r, c] = (
                    rotations[up_j, 0, r] * between[0, c]
                    + rotations[up_j, 1, r] * between[1, c]
                    + rotations[up_j, 2, r] * between[2, c]
                )
    # Everything that turns with its segment, and places that hang on edges.
    for j in range(NUM_JOINTS - 1, 0, -1):
        add(of_places[j], 1.0, of_edges[j])
        add(of_places[j], 1.0, of_places[_PARENTS[j]])
        add_cross(edges[j], of_edges[j], 1.0, of_turns[_PARENTS[j]])
    add(of_places[0], 1.0, of_pelvis)
    for j in range(NUM_JOINTS):
        add_cross(moments[j], of_moments[j], 1.0, of_turns[j])
    for k in range(count):
        add_cross(levers[k], of_levers[k], 1.0, of_turns[segment[k]])
    of_velocity[:] = of_u


@compiled
def _pull_inertia(u, adjoint, gain, moments, inertias, edges, carried, reached, run, ran, dt, of_run, of_ran,
                  of_moments, of_edges, of_u, of_turns):  # fmt: skip
    """What the mass matrix and the loads of moving add to the gradients."""
    of_reached, heavy, other, spin = np.zeros((NUM_JOINTS, 3)), np.empty(3), np.empty(3), np.empty(3)
    of_own, of_carried = np.empty(3), np.empty(3)
    for j in range(NUM_JOINTS):
        s, w, one, two = moments[j], u[1 + j], adjoint[1 + j], gain[1 + j]
        # - lambda M g: velocities of joints against moments, and inertia.
        add_cross(two, s, -1.0, of_run[j])
        add_cross(one, s, -1.0, of_ran[j])
        add_cross(run[j], two, -1.0, of_moments[j])
        add_cross(ran[j], one, -1.0, of_moments[j])
        times(inertias[j], two, heavy)
        add_cross(heavy, one, -1.0, of_turns[j])
        times(inertias[j], one, heavy)
        add_cross(two, heavy, 1.0, of_turns[j])
        # - dt lambda bias: forces at the joints, and own moments.
        add(carried[j], -dt, of_run[j])
        for c in range(3):
            of_carried[c], of_own[c] = -dt * run[j, c], -dt * one[c]
        along, against, square = dot(w, s), dot(of_carried, w), dot(w, w)
        inner = dot(of_carried, s)
        for c in range(3):
            of_moments[j, c] += w[c] * against - of_carried[c] * square
            of_u[1 + j, c] += of_carried[c] * along + s[c] * against - 2.0 * w[c] * inner
        add_cross(reached[j], of_own, 1.0, of_moments[j])
        add_cross(of_own, s, 1.0, of_reached[j])
        times(inertias[j], w, heavy)
        spin[:] = 0.0
        add_cross(of_own, w, 1.0, spin)
        add_cross(heavy, of_own, 1.0, of_u[1 + j])
        times(inertias[j], spin, other)
        add(other, 1.0, of_u[1 + j])
        add_cross(heavy, spin, 1.0, of_turns[j])
        add_cross(w, other, -1.0, of_turns[j])
    for j in range(NUM_JOINTS - 1, 0, -1):
        up, d, above = _PARENTS[j], edges[j], of_reached[j]
        w = u[1 + up]
        along, against, square, inner = dot(w, d), dot(above, w), dot(w, w), dot(above, d)
        for c in range(3):
            of_edges[j, c] += w[c] * against - above[c] * square
            of_u[1 + up, c] += above[c] * along + d[c] * against - 2.0 * w[c] * inner
        add(above, 1.0, of_reached[up])
