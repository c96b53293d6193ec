"""Forces and torques of a window's motion, from the accelerations of the body's mass points, and the gradient back.

Newton's law summed over the tree from the leaves: ``load`` [6, 24] is the force on everything beyond a joint and its
moment about the origin. Angular accelerations are not differences of logarithms, as in the tests' Newton-Euler
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
from diffmocap.refinement.kernels.motion import at_contacts
from diffmocap.refinement.kernels.records import Forces

_PARENTS = np.array(PARENTS)


@compiled
def forces_in(motion, body, given, iterations):
    """:class:`Forces` of a motion; of fewer than 3 frames, or without iterations, empty."""
    inner, count = max(len(motion.gap) - 2, 0) if iterations else 0, len(body.radius)
    contacts = Contacts(
        np.empty((inner, 3, count)), np.empty((inner, count)), np.empty((inner, 6)), given.axes, FRICTION,
        np.empty((inner, 6)), np.empty((inner, 6, 6)), np.empty((inner, 3, count)),
    )  # fmt: skip
    found = Forces(
        np.empty((inner, 3, len(body.mass))), np.zeros((inner, 3)), np.zeros((inner, 6, NUM_JOINTS)),
        np.empty((inner, 3, count)), contacts, np.zeros((inner, 3, count)), np.empty((inner, 6)),
        np.zeros((inner, 3, NUM_JOINTS - 1)),
    )  # fmt: skip
    for t in range(inner):
        _accelerate(motion, body, given, t, found)
        _push(motion, body, given, iterations, t, found)
    return found


@compiled_within
def forces_in_vjp(motion, body, given, found, of_torques, of_left, adjoint):
    """Adds to the adjoint what comes of the gradient of torques [F, 3, 23] and of what is left [F, 6]."""
    for t in range(len(found.left)):
        of_load, of_centre = np.zeros((6, NUM_JOINTS)), np.zeros(3)
        _push_vjp(motion, body, given, t, found, of_torques[t], of_left[t], adjoint, of_load, of_centre)
        _accelerate_vjp(motion, body, given, t, found, of_load, of_centre, adjoint)


@inlined
def _accelerate(motion, body, given, t, found):
    """What accelerates the mass points at inner frame t, as loads of the segments that they ride on; their centre."""
    points, total = motion.points, body.mass.sum()
    for m in range(len(body.mass)):
        n = NUM_JOINTS + m
        place, force = points[t + 1, :, n], found.mass_force[t, :, m]
        for c in range(3):
            bend = points[t + 2, c, n] - 2.0 * points[t + 1, c, n] + points[t, c, n]
            force[c] = body.mass[m] * (bend / given.dt_s**2 - given.gravity[c])
        add(place, body.mass[m] / total, found.centre[t])
        add_force(force, place, 1.0, found.load[t, :, body.mass_segment[m]])


@inlined
def _accelerate_vjp(motion, body, given, t, found, of_load, of_centre, adjoint):
    """Adds to the adjoint of the mass points for the gradients of the segments' loads [6, 24] and of the centre [3]."""
    total, of_force = body.mass.sum(), np.empty(3)
    for m in range(len(body.mass)):
        n, above = NUM_JOINTS + m, of_load[:, body.mass_segment[m]]
        place, of_place = motion.points[t + 1, :, n], adjoint.points[t + 1, :, n]
        add(of_centre, body.mass[m] / total, of_place)
        add_cross(found.mass_force[t, :, m], above[3:], 1.0, of_place)
        of_force[:] = 0.0
        add_velocity(above, place, body.mass[m] / given.dt_s**2, of_force)
        add(of_force, 1.0, adjoint.points[t, :, n])
        add(of_force, -2.0, of_place)
        add(of_force, 1.0, adjoint.points[t + 2, :, n])


@inlined
def _push(motion, body, given, iterations, t, found):
    """Contact forces of inner frame t, the wrench that they leave unexplained, and the torques.

    How readily a contact takes force is smooth, and nothing where the reference does not touch:
    :func:`diffmocap.physics.contact_state.activity_rates`.
    """
    contacts, centre, load, units = _at(found.contacts, t), found.centre[t], found.load[t], _units(body, given)
    centres, places, rates = at_contacts(motion.points, body)[t + 1], found.places[t], given.activity_rates
    for p in range(len(body.radius)):
        for c in range(3):
            places[c, p] = centres[c, p] - body.radius[p] * given.up[c]
            contacts.arms[c, p] = (places[c, p] - centre[c]) / MOMENT_ARM
        high, square = max(motion.gap[t + 1, p], 0.0), speed_square(motion.steps, t, t + 1, p)
        contacts.activity[p] = given.may_push[t, p] * math.exp(-(rates[0] * high * high + rates[1] * square))
    for r in range(6):
        contacts.wrench[r] = load[r].sum() / units[r]
    add_cross(centre, contacts.wrench[:3], -1.0 / MOMENT_ARM, contacts.wrench[3:])
    solve_contacts(contacts, iterations)
    found.left[t] = contacts.multiplier * units
    for p in range(len(body.radius)):
        force = found.forces[t, :, p]
        add(contacts.shares[:, p], units[0] * contacts.activity[p], force)
        add_force(force, places[:, p], -1.0, load[:, body.contact_segment[p]])
    for j in range(NUM_JOINTS - 1, 0, -1):
        for r in range(6):
            load[r, _PARENTS[j]] += load[r, j]
        add(load[3:, j], 1.0, found.torques[t, :, j - 1])
        add_cross(motion.points[t + 1, :, j], load[:3, j], -1.0, found.torques[t, :, j - 1])


@inlined
def _push_vjp(motion, body, given, t, found, of_torques, of_left, adjoint, of_load, of_centre):
    """Adds to the adjoint, and to the gradients of the segments' loads [6, 24] and of the centre of mass."""
    contacts, load, units, count = _at(found.contacts, t), found.load[t], _units(body, given), len(body.radius)
    steps, rates, of_points = motion.steps, given.activity_rates, adjoint.points[t + 1]
    of_centres, of_forces = at_contacts(of_points, body), np.zeros((3, count))
    of_wrench, of_arms, of_activity = of_left * units, np.empty((3, count)), np.empty(count)
    for j in range(1, NUM_JOINTS):
        add(of_torques[:, j - 1], 1.0, of_load[3:, j])
        add_cross(of_torques[:, j - 1], motion.points[t + 1, :, j], -1.0, of_load[:3, j])
        add_cross(load[:3, j], of_torques[:, j - 1], -1.0, of_points[:, j])
        for r in range(6):
            of_load[r, j] += of_load[r, _PARENTS[j]]
    for p in range(count):
        above = of_load[:, body.contact_segment[p]]
        add_velocity(above, found.places[t, :, p], -units[0], of_forces[:, p])
        add_cross(found.forces[t, :, p], above[3:], -1.0, of_centres[:, p])
    contacts_vjp(contacts, of_forces, of_wrench, of_arms, of_activity)
    of_wrench /= units
    add_cross(of_wrench[3:], found.centre[t], -1.0, of_wrench[:3])
    add_cross(contacts.wrench[:3], of_wrench[3:], -units[0], of_centre)
    for r in range(6):
        of_load[r] += of_wrench[r]
    for p in range(count):
        add(of_arms[:, p], 1.0 / MOMENT_ARM, of_centres[:, p])
        add(of_arms[:, p], -1.0 / MOMENT_ARM, of_centre)
        along = -2.0 * of_activity[p] * contacts.activity[p]
        adjoint.gap[t + 1, p] += rates[0] * along * max(motion.gap[t + 1, p], 0.0)
        for c in range(3):
            slope = 0.25 * rates[1] * along * (steps[t, c, p] + steps[t + 1, c, p])
            adjoint.steps[t, c, p] += slope
            adjoint.steps[t + 1, c, p] += slope


@inlined
def _units(body, given):
    """[6] N and N m: the body's weight, and that at the moments' arm."""
    units = np.full(6, body.mass.sum() * math.sqrt(dot(given.gravity, given.gravity)))
    units[3:] *= MOMENT_ARM
    return units


@inlined
def _at(contacts, t):
    """Those of inner frame t."""
    return Contacts(
        contacts.arms[t], contacts.activity[t], contacts.wrench[t], contacts.axes, contacts.friction,
        contacts.multiplier[t], contacts.factor[t], contacts.shares[t],
    )  # fmt: skip
