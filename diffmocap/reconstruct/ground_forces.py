"""Forces of the ground on the feet of a motion: those at its contacts that explain how the body moves.

Inverse dynamics of the body's rigid segments give the wrench that the motion needs at every frame; contact points that
touch the floor share it out inside their friction cones (:mod:`diffmocap.physics.contact_forces`). They are as good as
the motion: accelerations come from differences of three frames. Frames that were simulated have the simulation's own.
"""

from __future__ import annotations

import numpy as np
import torch

from diffmocap.body.model import BodyModel
from diffmocap.errors import MotionFileError
from diffmocap.motion.export.opensim import GroundForces
from diffmocap.motion.motion import Motion
from diffmocap.physics.contact_points import ContactPoints
from diffmocap.physics.ground import Ground
from diffmocap.physics.segments import BodySegments
from diffmocap.physics.tree import global_poses
from diffmocap.physics.wrench import STANDARD_GRAVITY
from diffmocap.refinement.physics_refiner import points_of
from diffmocap.refinement.window.body_points import BodyPoints
from diffmocap.refinement.window.loss import WindowLoss
from diffmocap.refinement.window.window import Window

#: A foot with less force has no centre of pressure [N].
LEAST_N = 5.0
#: Feet carry at least this share of the weight over a motion, else they are not what it stands on.
LEAST_CARRIED = 0.5
_UP = (0.0, 1.0, 0.0)


def ground_forces(motion: Motion, body: BodyModel) -> GroundForces:
    """Of a motion with y up that stands on its floor; the first and the last frame have their neighbours' forces.

    Raises:
        MotionFileError: fewer than three frames, another frame, a motion whose floor is not known (its contacts are
            there, and none of them ever touches), or feet that carry less than half of the weight.
    """
    if motion.frame != "y_up":
        raise MotionFileError(f"ground forces need a motion with y up, got the frame {motion.frame!r}")
    if len(motion) < 3:
        raise MotionFileError(f"ground forces need at least 3 frames, got {len(motion)}")
    if motion.contacts is not None and not bool(motion.contacts.any()):
        raise MotionFileError(
            "the motion touches no floor, or its floor is not known: reconstruct it with --camera-height and "
            "--camera-pitch, which tell it"
        )
    points = points_of_motion(motion, body)
    whole = motion.rotations[None].double(), motion.pelvis[None].double()
    ground = Ground(torch.tensor([_UP], dtype=torch.float64), torch.zeros(1, dtype=torch.float64))
    # What was seen does not matter to forces.
    loss = WindowLoss(Window.of_motions(*whole, 1.0 / motion.fps, ground), points, *whole)
    found = loss.dynamics(*whole).contacts.force[0]
    found = torch.cat([found[:1], found, found[-1:]])[:, points.feet].unflatten(1, (2, -1)).numpy()
    turned, _ = global_poses(motion.rotations.double(), motion.pelvis.double(), points.bones)
    soles = points.soles(turned, motion.pelvis.double()).unflatten(1, (2, -1)).numpy()
    if motion.dynamics is not None:
        own = motion.dynamics.simulated.numpy()
        found[own] = motion.dynamics.contact_forces[:, points.feet].unflatten(1, (2, -1)).double().numpy()[own]
    force = found.sum(2)
    carried = float(force[..., 1].sum(1).mean() / (STANDARD_GRAVITY * float(points.total_mass)))
    if carried < LEAST_CARRIED:
        raise MotionFileError(
            f"feet on a floor at height 0 carry {100 * carried:.0f} % of the person over this motion: the floor is not "
            "where the feet are, or the person hangs, sits or lies"
        )
    share = np.clip(found[..., 1:2], 0.0, None)
    total = share.sum(2)
    centre = np.where(total > LEAST_N, (share * soles).sum(2) / np.maximum(total, LEAST_N), soles.mean(2))
    centre[..., 1] = 0.0
    arm = soles - centre[:, :, None]
    moment = (arm[..., 2] * found[..., 0] - arm[..., 0] * found[..., 2]).sum(2)
    return GroundForces(force, centre, moment, float(points.total_mass))


def points_of_motion(motion: Motion, body: BodyModel) -> BodyPoints:
    """What the physics looks at of the body in the motion's shape, float64; shapes other than the mean take seconds."""
    if not bool(motion.betas.any()):
        return points_of(body).to(dtype=torch.float64)
    betas = motion.betas[None]
    return BodyPoints.from_body(body, BodySegments.from_body(body, betas), ContactPoints.from_body(body, betas), betas)
