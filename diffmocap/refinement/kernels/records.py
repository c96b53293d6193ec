"""What the compiled functions take and return, by name: float64 arrays in one piece unless another type is said.

Shapes: T frames, K hypotheses, N = 24 + 96 + P + 25 points of the body, P of them contacts, Q knots. Coordinates stand
before points, as in :mod:`diffmocap.refinement.window.body_points`. An *adjoint* is the gradient of the weighted loss.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from diffmocap.physics.compiled.contact_solver import Contacts


class Body(NamedTuple):
    """Constants of a body.

    Attributes:
        matrix: [72, N] m, see :class:`diffmocap.refinement.window.body_points.BodyPoints`.
        mass: [96] kg of the mass points. mass_segment: [96] int, whose they are.
        contact_segment: [P] int. radius: [P] m from a contact point's centre to the skin.
        strength: [23] N m, strongest torque of joints 1 to 23.
        limit_entries: [5, 23] int, places of the entries ac, bc, cc, ab, aa of a joint's rotation in a pose's 216
            numbers. limit_signs: [3, 23] of the sines. limit_middle, limit_half: [3, 23] rad, the range of each angle.
    """

    matrix: np.ndarray
    mass: np.ndarray
    mass_segment: np.ndarray
    contact_segment: np.ndarray
    radius: np.ndarray
    strength: np.ndarray
    limit_entries: np.ndarray
    limit_signs: np.ndarray
    limit_middle: np.ndarray
    limit_half: np.ndarray


class Given(NamedTuple):
    """What is known of one window, prepared for the terms of its loss.

    Attributes:
        dt_s: time between frames. up: [3]; height: of the ground [m]; axes: [3, 3] its normal and two tangents.
        gravity: [3] m/s^2.
        camera: [3, 4] takes positions to homogeneous pixels times depth. observed: [T, 2, 25] px.
        confidence: [T, 25], shares of the mean. metres_per_pixel: [T].
        target: [T, K, 216] rotations times their precisions. constant: [T]. places: [T, K, 3] m of the pelvis.
        precision: [T, 3, 3] 1/m^2. log_weights: [T, K] nats. lifted: [T] 1 / T where there is a hypothesis, else 0.
        held: [T, P] and held_steps: [T-1, P], shares of the mean over contacts. may_push: [T-2, P] bool.
        activity_rates: [2], see :func:`diffmocap.physics.contact_state.activity_rates`.
    """

    dt_s: float
    up: np.ndarray
    height: float
    axes: np.ndarray
    gravity: np.ndarray
    camera: np.ndarray
    observed: np.ndarray
    confidence: np.ndarray
    metres_per_pixel: np.ndarray
    target: np.ndarray
    constant: np.ndarray
    places: np.ndarray
    precision: np.ndarray
    log_weights: np.ndarray
    lifted: np.ndarray
    held: np.ndarray
    held_steps: np.ndarray
    may_push: np.ndarray
    activity_rates: np.ndarray


class Weights(NamedTuple):
    """Weights of the terms.

    Attributes:
        terms: [terms] in the order of :data:`diffmocap.refinement.window.weights.UNITS`; 0 leaves one out.
        robust_m, robust_force, robust_moment: sizes beyond which errors count less than their square [m, N/kg, N m/kg].
        iterations: most Newton iterations for the contact forces; 0: no forces.
    """

    terms: np.ndarray
    robust_m: float
    robust_force: float
    robust_moment: float
    iterations: int


class Unknowns(NamedTuple):
    """What turns knots into a motion: ``spline`` [T, Q], ``rotations`` [T, 24, 3, 3] and ``pelvis`` [T, 3] m of the
    reference. See :class:`diffmocap.refinement.window.parameters.WindowParameters`."""

    spline: np.ndarray
    rotations: np.ndarray
    pelvis: np.ndarray


class Motion(NamedTuple):
    """A motion and what follows from it alone. An *adjoint* is one of gradients, each by the field of its name.

    Attributes:
        rotations: [T, 24, 3, 3] local. pelvis: [T, 3] m.
        columns: [T, 3, 24, 3] global rotations, rows before joints. points: [T, 3, N] m.
        gap: [T, P] m above the ground. steps: [T-1, 3, P] m/s along it.
    """

    rotations: np.ndarray
    pelvis: np.ndarray
    columns: np.ndarray
    points: np.ndarray
    gap: np.ndarray
    steps: np.ndarray


class Forces(NamedTuple):
    """What acts at the F = T - 2 inner frames.

    Attributes:
        mass_force: [F, 3, 96] N that accelerates the mass points. centre: [F, 3] m of mass.
        load: [F, 6, 24] N, N m that joints carry beside contacts: the force and its moment about the origin.
        places: [F, 3, P] m where contacts act. contacts: of all inner frames. forces: [F, 3, P] N on the body.
        left: [F, 6] N, N m of the wrench about the centre of mass that no contact explains.
        torques: [F, 3, 23] N m of joints 1 to 23 on their children, in the frame's axes.
    """

    mass_force: np.ndarray
    centre: np.ndarray
    load: np.ndarray
    places: np.ndarray
    contacts: Contacts
    forces: np.ndarray
    left: np.ndarray
    torques: np.ndarray


class Evaluation(NamedTuple):
    """What a motion comes to.

    Attributes:
        squares: [terms] before they are weighed.
        of_turns: [T, 24, 3] gradient of their weighted sum by the turn of each local rotation in its parent's axes, and
            of_pelvis: [T, 3] by the pelvis; only where a gradient was asked for.
        gap, steps: of the motion. forces: at its inner frames, empty where none count.
    """

    squares: np.ndarray
    of_turns: np.ndarray
    of_pelvis: np.ndarray
    gap: np.ndarray
    steps: np.ndarray
    forces: Forces
