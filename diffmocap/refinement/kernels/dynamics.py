"""Forces and torques of one frame of a window, and gradients back: :mod:`diffmocap.refinement.window.dynamics`.

Loads are summed over the tree from the leaves: ``load`` [6, 24] is the force on everything beyond a joint and its
moment about the pelvis.
"""

from __future__ import annotations

import numpy as np

from diffmocap.body.skeleton import NUM_JOINTS, PARENTS
from diffmocap.compiler import compiled
from diffmocap.physics.contact_forces import FRICTION, MOMENT_ARM
from diffmocap.refinement.kernels.contact_solver import columns_of, forces_of, pull_forces, solve_forces

_PARENTS = np.array(PARENTS)


@compiled
def add_at(load, joint, force, places, p):
    """Adds a force [3] that acts at column ``p`` of places [3, ...] to the load of its segment."""
    x, y, z = places[0, p], places[1, p], places[2, p]
    load[0, joint] += force[0]
    load[1, joint] += force[1]
    load[2, joint] += force[2]
    load[3, joint] += y * force[2] - z * force[1]
    load[4, joint] += z * force[0] - x * force[2]
    load[5, joint] += x * force[1] - y * force[0]


@compiled
def gathered(load):
    """Each joint's load gets those of all joints that it carries."""
    for j in range(NUM_JOINTS - 1, 0, -1):
        for r in range(6):
            load[r, _PARENTS[j]] += load[r, j]


@compiled
def handed_on(load):
    """The transpose of :func:`gathered`: each joint's row gets that of all joints that carry it."""
    for j in range(1, NUM_JOINTS):
        for r in range(6):
            load[r, j] += load[r, _PARENTS[j]]


@compiled
def frame_forces(
    joints, masses, places, acceleration, activity, mass, mass_segment, contact_segment, axes, gravity, weight,
    iterations, mass_force, centre, whole, load, arms, matrix, z, y, shares, hessian, forces, left, torques,
):  # fmt: skip
    """Everything below ``iterations`` is filled.

    Args:
        joints, masses, places: [3, 24], [3, 96], [3, P] m relative to the pelvis. acceleration: [3, 96] m/s^2.
        activity: [P]. mass: [96] kg; mass_segment, contact_segment: whose they are. axes: [3, 3] of the ground.
        gravity: [3] m/s^2. weight: of the body [N].
        mass_force: [3, 96] N. centre: [3] m of mass. whole: [6] what the pelvis carries. load: [6, 24] beside contacts.
        arms, matrix, z, y, shares, hessian: of the contact solver. forces: [3, P] N. left: [6] over the weight, moments
            over the arm. torques: [3, 23] N m on the children.
    """
    count, total = len(activity), mass.sum()
    load[:] = 0.0
    centre[:] = 0.0
    force = np.empty(3)
    for m in range(len(mass)):
        for c in range(3):
            force[c] = mass[m] * (acceleration[c, m] - gravity[c])
            mass_force[c, m] = force[c]
            centre[c] += masses[c, m] * mass[m] / total
        add_at(load, mass_segment[m], force, masses, m)
    gathered(load)
    wrench = np.empty(6)
    for r in range(6):
        whole[r] = load[r, 0]
    for c in range(3):
        d, e = (c + 1) % 3, (c + 2) % 3
        wrench[c] = whole[c] / weight
        moment = whole[3 + c] - (centre[d] * whole[e] - centre[e] * whole[d])
        wrench[3 + c] = moment / (weight * MOMENT_ARM)
        for p in range(count):
            arms[c, p] = (places[c, p] - centre[c]) / MOMENT_ARM
    columns_of(arms, activity, axes, matrix)
    solve_forces(matrix, wrench, FRICTION, iterations, z, hessian)
    forces_of(matrix, wrench, activity, axes, FRICTION, z, y, shares, forces, left)
    taken = np.zeros((6, NUM_JOINTS))
    for p in range(count):
        if activity[p] == 0.0:
            continue
        for c in range(3):
            forces[c, p] *= weight
            force[c] = forces[c, p]
        add_at(taken, contact_segment[p], force, places, p)
    gathered(taken)
    load -= taken
    for j in range(1, NUM_JOINTS):
        for c in range(3):
            d, e = (c + 1) % 3, (c + 2) % 3
            torques[c, j - 1] = load[3 + c, j] - (joints[d, j] * load[e, j] - joints[e, j] * load[d, j])


@compiled
def pull_frame_forces(
    joints, masses, places, activity, mass, mass_segment, contact_segment, axes, weight, mass_force, centre, whole,
    load, arms, matrix, z, y, shares, hessian, forces, of_torques, of_left, of_joints, of_masses, of_acceleration,
    of_places, of_activity,
):  # fmt: skip
    """Adds to ``of_joints`` [3, 24], ``of_masses`` [3, 96] and ``of_places`` [3, P], all relative to the pelvis, and
    fills ``of_acceleration`` [3, 96] and ``of_activity`` [P], for the gradient of torques [3, 23] and of what is left
    [6]."""
    count, total = len(activity), mass.sum()
    of_load = np.zeros((6, NUM_JOINTS))
    for j in range(1, NUM_JOINTS):
        for c in range(3):
            d, e = (c + 1) % 3, (c + 2) % 3
            of_load[3 + c, j] = of_torques[c, j - 1]
            of_load[c, j] = joints[d, j] * of_torques[e, j - 1] - joints[e, j] * of_torques[d, j - 1]
            of_joints[c, j] += of_torques[d, j - 1] * load[e, j] - of_torques[e, j - 1] * load[d, j]
    handed = of_load.copy()
    handed_on(handed)
    of_forces, of_wrench, of_arms = np.empty((3, count)), np.empty(6), np.empty((3, count))
    for p in range(count):
        j = contact_segment[p]
        for c in range(3):
            d, e = (c + 1) % 3, (c + 2) % 3
            turned = handed[3 + d, j] * places[e, p] - handed[3 + e, j] * places[d, p]
            of_forces[c, p] = -(handed[c, j] + turned) * weight
    pull_forces(
        matrix, arms, activity, axes, FRICTION, z, y, shares, hessian, of_forces, of_left, of_wrench, of_arms,
        of_activity,
    )  # fmt: skip
    of_centre = np.zeros(3)
    for p in range(count):
        j = contact_segment[p]
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
    handed_on(of_load)
    for m in range(len(mass)):
        j = mass_segment[m]
        for c in range(3):
            d, e = (c + 1) % 3, (c + 2) % 3
            turned = mass_force[d, m] * of_load[3 + e, j] - mass_force[e, m] * of_load[3 + d, j]
            of_masses[c, m] += turned + of_centre[c] * mass[m] / total
            turned = of_load[3 + d, j] * masses[e, m] - of_load[3 + e, j] * masses[d, m]
            of_acceleration[c, m] = (of_load[c, j] + turned) * mass[m]
