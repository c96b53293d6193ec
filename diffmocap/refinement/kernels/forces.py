"""Forces and torques of a window's motion, from the accelerations of the body's mass points, and the gradient back.

Newton's law summed over the tree from the leaves: ``load`` [6, 24] is the force on everything beyond a joint and its
moment about the pelvis. Angular accelerations are not differences of logarithms, as in the tests' Newton-Euler
equations: the second differences of points are chords for arcs. Both are of second order in the frames' distance, and
this one takes a fraction of the operations.
"""

from __future__ import annotations

import math

import numpy as np

from diffmocap.body.skeleton import NUM_JOINTS, PARENTS
from diffmocap.compiler import compiled, compiled_within, inlined
from diffmocap.physics.compiled.contact_solver import Contacts, contacts_vjp, solve_contacts
from diffmocap.physics.compiled.contact_state import speed_square
from diffmocap.physics.compiled.vectors import add, add_cross, add_force, add_velocity, dot
from diffmocap.physics.contact_forces import FRICTION, MOMENT_ARM
from diffmocap.refinement.kernels.records import Forces

_PARENTS = np.array(PARENTS)


@compiled
def forces_in(motion, body, given, iterations):
    """:class:`Forces` of a motion; of fewer than 3 frames, or without iterations, empty."""
    inner, masses, count = max(len(motion.gap) - 2, 0), len(body.mass), len(body.radius)
    if iterations == 0:
        inner = 0
    found = Forces(
        np.empty((inner, 3, count)), np.empty((inner, count)), np.empty((inner, 3, masses)), np.zeros((inner, 3)),
        np.empty((inner, 6)), np.zeros((inner, 6, NUM_JOINTS)), np.empty((inner, 3, count)), np.empty((inner, 6)),
        np.empty((inner, 6, 6)), np.empty((inner, 3, count)), np.empty((inner, 3, count)), np.empty((inner, 6)),
        np.zeros((inner, 3, NUM_JOINTS - 1)),
    )  # fmt: skip
    for t in range(inner):
        _touch(motion, body, given, t, found)
        _carry(motion, body, given, t, found)
        _push(motion, body, given, iterations, t, found)
    return found


@compiled_within
def forces_in_vjp(motion, body, given, found, of_torques, of_left, adjoint):
    """Adds to the adjoint what comes of the gradient of torques [F, 3, 23] and of what is left [F, 6]."""
    for t in range(len(found.left)):
        of_load, of_centre = np.zeros((6, NUM_JOINTS)), np.zeros(3)
        _pull_push(motion, body, given, t, found, of_torques[t], of_left[t], adjoint, of_load, of_centre)
        _pull_carry(motion, body, given, t, found, of_load, of_centre, adjoint)


@inlined
def _units(body, given):
    """[6] N and N m: the body's weight, and that at the moments' arm."""
    units = np.full(6, body.mass.sum() * math.sqrt(dot(given.gravity, given.gravity)))
    units[3:] *= MOMENT_ARM
    return units


@inlined
def _touch(motion, body, given, t, found):
    """Where contacts act at inner frame t, and how readily: smooth, and nothing where the reference does not touch.
    See :func:`diffmocap.physics.contact_state.activity_rates`."""
    first, rates = NUM_JOINTS + len(body.mass), given.activity_rates
    for p in range(len(body.radius)):
        for c in range(3):
            found.places[t, c, p] = motion.relative[t + 1, c, first + p] - body.radius[p] * given.up[c]
        high, square = max(motion.gap[t + 1, p], 0.0), speed_square(motion.steps, t, t + 1, p)
        found.activity[t, p] = given.may_push[t, p] * math.exp(-(rates[0] * high * high + rates[1] * square))


@inlined
def _pull_touch(motion, given, t, found, of_activity, adjoint):
    steps, rates = motion.steps, given.activity_rates
    for p in range(len(of_activity)):
        along = -2.0 * of_activity[p] * found.activity[t, p]
        adjoint.gap[t + 1, p] += rates[0] * along * max(motion.gap[t + 1, p], 0.0)
        for c in range(3):
            slope = 0.25 * rates[1] * along * (steps[t, c, p] + steps[t + 1, c, p])
            adjoint.steps[t, c, p] += slope
            adjoint.steps[t + 1, c, p] += slope


@inlined
def _carry(motion, body, given, t, found):
    """What the joints carry at inner frame t before any contact is counted, and the centre of mass."""
    absolute, load, total = motion.absolute, found.load[t], body.mass.sum()
    for m in range(len(body.mass)):
        n = NUM_JOINTS + m
        place, force = motion.relative[t + 1, :, n], found.mass_force[t, :, m]
        for c in range(3):
            bend = absolute[t + 2, c, n] - 2.0 * absolute[t + 1, c, n] + absolute[t, c, n]
            force[c] = body.mass[m] * (bend / given.dt_s**2 - given.gravity[c])
        add(place, body.mass[m] / total, found.centre[t])
        add_force(force, place, 1.0, load[:, body.mass_segment[m]])
    _gather(load)
    found.whole[t] = load[:, 0]


@inlined
def _pull_carry(motion, body, given, t, found, of_load, of_centre, adjoint):
    """Adds to the adjoint of the mass points what comes of the gradients of load [6, 24] and centre of mass [3]."""
    total, of_force = body.mass.sum(), np.empty(3)
    _hand_on(of_load)
    for m in range(len(body.mass)):
        n, above = NUM_JOINTS + m, of_load[:, body.mass_segment[m]]
        place, of_place = motion.relative[t + 1, :, n], adjoint.relative[t + 1, :, n]
        add(of_centre, body.mass[m] / total, of_place)
        add_cross(found.mass_force[t, :, m], above[3:], 1.0, of_place)
        of_force[:] = 0.0
        add_velocity(above, place, body.mass[m] / given.dt_s**2, of_force)
        add(of_force, 1.0, adjoint.absolute[t, :, n])
        add(of_force, -2.0, adjoint.absolute[t + 1, :, n])
        add(of_force, 1.0, adjoint.absolute[t + 2, :, n])


@inlined
def _push(motion, body, given, iterations, t, found):
    """Contact forces of inner frame t, and the torques that are left to the joints."""
    centre, load, left, units = found.centre[t], found.load[t], found.left[t], _units(body, given)
    wrench, taken = found.whole[t].copy(), np.zeros((6, NUM_JOINTS))
    add_cross(centre, wrench[:3], -1.0, wrench[3:])
    for r in range(6):
        wrench[r] /= units[r]
    for c in range(3):
        for p in range(len(body.radius)):
            found.arms[t, c, p] = (found.places[t, c, p] - centre[c]) / MOMENT_ARM
    solve_contacts(_contacts(given, found, t), wrench, iterations, left)
    for r in range(6):
        left[r] *= units[r]
    for p in range(len(body.radius)):
        force = found.forces[t, :, p]
        for c in range(3):
            force[c] = units[0] * found.activity[t, p] * found.shares[t, c, p]
        add_force(force, found.places[t, :, p], -1.0, taken[:, body.contact_segment[p]])
    _gather(taken)
    load += taken
    for j in range(1, NUM_JOINTS):
        add(load[3:, j], 1.0, found.torques[t, :, j - 1])
        add_cross(motion.relative[t + 1, :, j], load[:3, j], -1.0, found.torques[t, :, j - 1])


@inlined
def _pull_push(motion, body, given, t, found, of_torques, of_left, adjoint, of_load, of_centre):
    """Adds to the adjoint, and to the gradients of the load [6, 24] before contacts and of the centre of mass [3]."""
    count, load, units, of_points = len(body.radius), found.load[t], _units(body, given), adjoint.relative[t + 1]
    for j in range(1, NUM_JOINTS):
        add(of_torques[:, j - 1], 1.0, of_load[3:, j])
        add_cross(of_torques[:, j - 1], motion.relative[t + 1, :, j], -1.0, of_load[:3, j])
        add_cross(load[:3, j], of_torques[:, j - 1], -1.0, of_points[:, j])
    taken = of_load.copy()
    _hand_on(taken)
    first, of_forces = NUM_JOINTS + len(body.mass), np.zeros((3, count))
    of_wrench, of_arms, of_activity = of_left.copy(), np.empty((3, count)), np.empty(count)
    for r in range(6):
        of_wrench[r] *= units[r]
    for p in range(count):
        above = taken[:, body.contact_segment[p]]
        add_velocity(above, found.places[t, :, p], -units[0], of_forces[:, p])
        add_cross(found.forces[t, :, p], above[3:], -1.0, of_points[:, first + p])
    contacts_vjp(_contacts(given, found, t), of_forces, of_wrench, of_arms, of_activity)
    _pull_touch(motion, given, t, found, of_activity, adjoint)
    for p in range(count):
        add(of_arms[:, p], 1.0 / MOMENT_ARM, of_points[:, first + p])
        add(of_arms[:, p], -1.0 / MOMENT_ARM, of_centre)
    # The wrench is what the pelvis carries, about the centre of mass.
    for r in range(6):
        of_load[r, 0] = of_wrench[r] / units[r]
    add_cross(of_load[3:, 0], found.centre[t], -1.0, of_load[:3, 0])
    add_cross(found.whole[t, :3], of_load[3:, 0], -1.0, of_centre)


@inlined
def _contacts(given, found, t):
    return Contacts(
        found.arms[t], found.activity[t], given.axes, FRICTION, found.multiplier[t], found.factor[t], found.shares[t]
    )


@inlined
def _gather(load):
    """Each joint's load gets those of all joints that it carries."""
    for j in range(NUM_JOINTS - 1, 0, -1):
        for r in range(6):
            load[r, _PARENTS[j]] += load[r, j]


@inlined
def _hand_on(load):
    """The transpose of :func:`_gather`: each joint's row gets that of all joints that carry it."""
    for j in range(1, NUM_JOINTS):
        for r in range(6):
            load[r, j] += load[r, _PARENTS[j]]
