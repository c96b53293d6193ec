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
from diffmocap.compiler import compiled
from diffmocap.physics.compiled.contact_solver import (
    ContactProblem,
    ContactSolution,
    forces_of,
    forces_vjp,
    solve_contacts,
)
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
        np.empty((inner, 3, count)), np.empty((inner, count)), np.empty((inner, count)), np.empty((inner, 3, masses)),
        np.zeros((inner, 3)), np.empty((inner, 6)), np.zeros((inner, 6, NUM_JOINTS)), np.empty((inner, 3, count)),
        np.empty((inner, 6, 3, count)), np.empty((inner, 6)), np.empty((inner, 3, count)), np.empty((inner, 3, count)),
        np.empty((inner, 6, 6)), np.empty((inner, 3, count)), np.empty((inner, 6)),
        np.empty((inner, 3, NUM_JOINTS - 1)),
    )  # fmt: skip
    for t in range(inner):
        _touch(motion, body, given, t, found)
        _carry(motion, body, given, t, found)
        _push(motion, body, given, iterations, t, found)
    return found


@compiled
def forces_in_vjp(motion, body, given, found, of_torques, of_left, adjoint):
    """Adds to the adjoint what comes of the gradient of torques [F, 3, 23] and of what is left [F, 6]."""
    of_acceleration, of_activity = np.empty((3, len(body.mass))), np.empty(len(body.radius))
    for t in range(len(found.left)):
        _pull_frame(motion, body, given, t, found, of_torques[t], of_left[t], adjoint, of_acceleration, of_activity)
        _pull_acceleration(given.dt_s, t, of_acceleration, adjoint)
        _pull_activity(motion, given, t, found, of_activity, adjoint)


@compiled
def body_weight(body, given):
    """N."""
    g = given.gravity
    return body.mass.sum() * math.sqrt(g[0] ** 2 + g[1] ** 2 + g[2] ** 2)


@compiled
def _touch(motion, body, given, t, found):
    """Where contacts act at inner frame t, and how readily: smooth, and nothing where the reference does not touch.
    See :func:`diffmocap.physics.contact_state.activity_rates`."""
    first = NUM_JOINTS + len(body.mass)
    steps, rates = motion.steps, given.activity_rates
    for p in range(len(body.radius)):
        square = 1e-12
        for c in range(3):
            found.places[t, c, p] = motion.relative[t + 1, c, first + p] - body.radius[p] * given.up[c]
            square += (0.5 * (steps[t, c, p] + steps[t + 1, c, p])) ** 2
        high = max(motion.gap[t + 1, p], 0.0)
        found.free[t, p] = math.exp(-(rates[0] * high * high + rates[1] * square))
        found.activity[t, p] = found.free[t, p] * given.may_push[t, p]


@compiled
def _pull_activity(motion, given, t, found, of_activity, adjoint):
    steps, rates = motion.steps, given.activity_rates
    for p in range(len(of_activity)):
        along = -2.0 * of_activity[p] * given.may_push[t, p] * found.free[t, p]
        adjoint.gap[t + 1, p] += rates[0] * along * max(motion.gap[t + 1, p], 0.0)
        for c in range(3):
            slope = 0.25 * rates[1] * along * (steps[t, c, p] + steps[t + 1, c, p])
            adjoint.steps[t, c, p] += slope
            adjoint.steps[t + 1, c, p] += slope


@compiled
def _carry(motion, body, given, t, found):
    """What the joints carry at inner frame t before any contact is counted, and the centre of mass."""
    mass, total, load, centre = body.mass, body.mass.sum(), found.load[t], found.centre[t]
    masses = motion.relative[t + 1, :, NUM_JOINTS : NUM_JOINTS + len(mass)]
    force = np.empty(3)
    for m in range(len(mass)):
        for c in range(3):
            n = NUM_JOINTS + m
            acceleration = (
                motion.absolute[t + 2, c, n] - 2.0 * motion.absolute[t + 1, c, n] + motion.absolute[t, c, n]
            ) / (given.dt_s * given.dt_s)
            force[c] = mass[m] * (acceleration - given.gravity[c])
            found.mass_force[t, c, m] = force[c]
            centre[c] += masses[c, m] * mass[m] / total
        _add_at(load, body.mass_segment[m], force, masses, m)
    _gather(load)
    found.whole[t] = load[:, 0]


@compiled
def _pull_acceleration(dt_s, t, of_acceleration, adjoint):
    for c in range(3):
        for m in range(of_acceleration.shape[1]):
            slope = of_acceleration[c, m] / (dt_s * dt_s)
            adjoint.absolute[t, c, NUM_JOINTS + m] += slope
            adjoint.absolute[t + 1, c, NUM_JOINTS + m] -= 2.0 * slope
            adjoint.absolute[t + 2, c, NUM_JOINTS + m] += slope


@compiled
def _push(motion, body, given, iterations, t, found):
    """Contact forces of inner frame t, and the torques that are left to the joints."""
    count, weight = len(body.radius), body_weight(body, given)
    whole, centre, places, forces, load = (
        found.whole[t],
        found.centre[t],
        found.places[t],
        found.forces[t],
        found.load[t],
    )
    wrench, force = np.empty(6), np.empty(3)
    for c in range(3):
        d, e = (c + 1) % 3, (c + 2) % 3
        wrench[c] = whole[c] / weight
        moment = whole[3 + c] - (centre[d] * whole[e] - centre[e] * whole[d])
        wrench[3 + c] = moment / (weight * MOMENT_ARM)
        for p in range(count):
            found.arms[t, c, p] = (places[c, p] - centre[c]) / MOMENT_ARM
    problem, solution = _contact_problem(given, found, t)
    solve_contacts(problem, wrench, iterations, solution)
    forces_of(problem, wrench, solution, forces, found.left[t])
    taken = np.zeros((6, NUM_JOINTS))
    for p in range(count):
        if found.activity[t, p] == 0.0:
            continue
        for c in range(3):
            forces[c, p] *= weight
            force[c] = forces[c, p]
        _add_at(taken, body.contact_segment[p], force, places, p)
    _gather(taken)
    load -= taken
    joints = motion.relative[t + 1, :, :NUM_JOINTS]
    for j in range(1, NUM_JOINTS):
        for c in range(3):
            d, e = (c + 1) % 3, (c + 2) % 3
            found.torques[t, c, j - 1] = load[3 + c, j] - (joints[d, j] * load[e, j] - joints[e, j] * load[d, j])


@compiled
def _contact_problem(given, found, t):
    problem = ContactProblem(found.arms[t], found.activity[t], given.axes, FRICTION, found.matrix[t])
    return problem, ContactSolution(found.multiplier[t], found.unprojected[t], found.shares[t], found.hessian[t])


@compiled
def _pull_frame(motion, body, given, t, found, of_torques, of_left, adjoint, of_acceleration, of_activity):
    """Adds to the adjoint of the relative points, and fills ``of_acceleration`` [3, 96] and ``of_activity`` [P]."""
    mass, total, count, weight = body.mass, body.mass.sum(), len(body.radius), body_weight(body, given)
    joints = motion.relative[t + 1, :, :NUM_JOINTS]
    masses = motion.relative[t + 1, :, NUM_JOINTS : NUM_JOINTS + len(mass)]
    places, forces, load, centre, whole = (
        found.places[t],
        found.forces[t],
        found.load[t],
        found.centre[t],
        found.whole[t],
    )
    of_joints = adjoint.relative[t + 1, :, :NUM_JOINTS]
    of_masses = adjoint.relative[t + 1, :, NUM_JOINTS : NUM_JOINTS + len(mass)]
    of_places = adjoint.relative[t + 1, :, NUM_JOINTS + len(mass) : NUM_JOINTS + len(mass) + count]
    of_load = np.zeros((6, NUM_JOINTS))
    for j in range(1, NUM_JOINTS):
        for c in range(3):
            d, e = (c + 1) % 3, (c + 2) % 3
            of_load[3 + c, j] = of_torques[c, j - 1]
            of_load[c, j] = joints[d, j] * of_torques[e, j - 1] - joints[e, j] * of_torques[d, j - 1]
            of_joints[c, j] += of_torques[d, j - 1] * load[e, j] - of_torques[e, j - 1] * load[d, j]
    handed = of_load.copy()
    _hand_on(handed)
    of_forces, of_wrench, of_arms = np.empty((3, count)), np.empty(6), np.empty((3, count))
    for p in range(count):
        j = body.contact_segment[p]
        for c in range(3):
            d, e = (c + 1) % 3, (c + 2) % 3
            turned = handed[3 + d, j] * places[e, p] - handed[3 + e, j] * places[d, p]
            of_forces[c, p] = -(handed[c, j] + turned) * weight
    problem, solution = _contact_problem(given, found, t)
    forces_vjp(problem, solution, of_forces, of_left, of_wrench, of_arms, of_activity)
    of_centre = np.zeros(3)
    for p in range(count):
        j = body.contact_segment[p]
        for c in range(3):
            d, e = (c + 1) % 3, (c + 2) % 3
            arm = of_arms[c, p] / MOMENT_ARM
            of_places[c, p] += arm - (forces[d, p] * handed[3 + e, j] - forces[e, p] * handed[3 + d, j])
            of_centre[c] -= arm
    # The wrench is what the pelvis carries, about the centre of mass.
    for c in range(3):
        of_wrench[c] /= weight
        of_wrench[3 + c] /= weight * MOMENT_ARM
    for c in range(3):
        d, e = (c + 1) % 3, (c + 2) % 3
        of_load[c, 0] = of_wrench[c] + centre[d] * of_wrench[3 + e] - centre[e] * of_wrench[3 + d]
        of_load[3 + c, 0] = of_wrench[3 + c]
        of_centre[c] += of_wrench[3 + d] * whole[e] - of_wrench[3 + e] * whole[d]
    _hand_on(of_load)
    for m in range(len(mass)):
        j = body.mass_segment[m]
        for c in range(3):
            d, e = (c + 1) % 3, (c + 2) % 3
            turned = found.mass_force[t, d, m] * of_load[3 + e, j] - found.mass_force[t, e, m] * of_load[3 + d, j]
            of_masses[c, m] += turned + of_centre[c] * mass[m] / total
            turned = of_load[3 + d, j] * masses[e, m] - of_load[3 + e, j] * masses[d, m]
            of_acceleration[c, m] = (of_load[c, j] + turned) * mass[m]


@compiled
def _add_at(load, joint, force, places, p):
    """Adds a force [3] that acts at column ``p`` of places [3, ...] to the load of its segment."""
    x, y, z = places[0, p], places[1, p], places[2, p]
    load[0, joint] += force[0]
    load[1, joint] += force[1]
    load[2, joint] += force[2]
    load[3, joint] += y * force[2] - z * force[1]
    load[4, joint] += z * force[0] - x * force[2]
    load[5, joint] += x * force[1] - y * force[0]


@compiled
def _gather(load):
    """Each joint's load gets those of all joints that it carries."""
    for j in range(NUM_JOINTS - 1, 0, -1):
        for r in range(6):
            load[r, _PARENTS[j]] += load[r, j]


@compiled
def _hand_on(load):
    """The transpose of :func:`_gather`: each joint's row gets that of all joints that carry it."""
    for j in range(1, NUM_JOINTS):
        for r in range(6):
            load[r, j] += load[r, _PARENTS[j]]
