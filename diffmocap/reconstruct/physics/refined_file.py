"""Any motion refined by physics, and simulated: what was observed is the motion itself, and its keypoints.

It is done in the frame of a level camera that looks at the motion, since windows know the way along the view less well
than across it: for a motion that has its floor, from four metres away, with the floor where it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from diffmocap.body.feet import TOES
from diffmocap.body.model import BodyModel
from diffmocap.errors import MotionFileError
from diffmocap.motion.dynamics import MotionDynamics
from diffmocap.motion.motion import Motion
from diffmocap.physics.ground import Ground
from diffmocap.physics.tree import global_poses
from diffmocap.reconstruct.floor import Floor, floor_of
from diffmocap.reconstruct.foot_lock import lock_feet
from diffmocap.reconstruct.ground_forces import points_of_motion
from diffmocap.reconstruct.physics.simulated_motion import SimulatedBody, contacts_of, dynamics_of, simulated_motion
from diffmocap.reconstruct.refining import MotionRefiner
from diffmocap.reconstruct.settings import ReconstructSettings
from diffmocap.reconstruct.stances import standing_feet
from diffmocap.reconstruct.stretches import MIN_FRAMES, bridged, smoothed
from diffmocap.refinement.diffphy.observation import SeenKeypoints
from diffmocap.refinement.stream.known_ground import KnownGround
from diffmocap.refinement.window.body_points import BodyPoints

#: From so far away the motion is looked at [m], its nearest pelvis.
_VIEW_M = 4.0
#: Feet that rest this near to the height 0 rest on a floor there [m].
_ON_FLOOR_M = 0.05
_UP = (0.0, -1.0, 0.0)


@dataclass(frozen=True)
class RefinedFile:
    """A motion, refined.

    Attributes:
        motion: in the frame that it came in. floor: in that of the view.
        refining, simulation: mean loss of the windows before and after; nan where there are none.
    """

    motion: Motion
    floor: Floor
    refining: tuple[float, float]
    simulation: tuple[float, float]


def refine_motion(
    motion: Motion, body: BodyModel, settings: ReconstructSettings, kept: Path | None = None,
    told: Callable[[str, float], None] = lambda stage, share: None,
) -> RefinedFile:  # fmt: skip
    """A motion by windows, and simulated where the settings say so and its floor is known.

    Frames that were not tracked are bridged anew. Keypoints count where their camera's matrix is known.

    Args:
        body: that the motion's betas belong to. settings: those of the refinement and of the simulation count.
        kept: file of the simulation's progress. told: hears the stage, ``refining`` or ``simulating``, and its share.

    Raises:
        MotionFileError: fewer than eight frames that were tracked.
    """
    seen = torch.ones(len(motion), dtype=torch.bool) if motion.tracked is None else motion.tracked
    if int(seen.sum()) < MIN_FRAMES:
        raise MotionFileError(
            f"the motion has {int(seen.sum())} frames in which the person was seen; refining takes {MIN_FRAMES}"
        )
    view = motion.in_frame("optical")
    away = torch.zeros(3)
    if motion.frame != "optical":
        away = torch.stack([-view.pelvis[:, 0].mean(), torch.zeros(()), _VIEW_M - view.pelvis[:, 2].min()])
    view = replace(view, pelvis=view.pelvis + away)
    points, dt_s = points_of_motion(motion, body).to(dtype=torch.float32), 1.0 / motion.fps
    whole = bridged_to_the_ends(view.rotations, view.pelvis, seen)
    smooth = smoothed(*whole, dt_s)
    floor = _floor(motion, smooth, seen, points, dt_s, settings.ground)
    points_px, confidence, K = _observed(motion)
    refiner = MotionRefiner(points, settings)
    refined = refiner.refine(
        *whole, seen, points_px, confidence, smooth, K, floor, dt_s, lambda share: told("refining", share)
    )
    turned, moved = refined.rotations, refined.pelvis
    if settings.lock_feet:
        toes = global_poses(turned, moved, points.bones)[1][:, TOES]
        standing = standing_feet(toes.numpy(), points_px.numpy(), confidence.numpy(), float(K[0, 0]), dt_s)
        turned, moved = lock_feet(turned, moved, standing, points, floor, dt_s)
    contacts = refiner.contacts(turned, moved, floor, dt_s)
    dynamics, losses = None, (math.nan, math.nan)
    if settings.diffphy:
        dynamics = MotionDynamics.none(*contacts.shape)
    if settings.diffphy and floor.trusted:
        found = simulated_motion(
            turned, moved, contacts, dt_s, floor.ground, SimulatedBody.of(body, motion.betas), settings.simulation,
            SeenKeypoints.of_one(points_px, confidence, K) if bool(confidence.any()) else None, kept,
            lambda share: told("simulating", share),
        )  # fmt: skip
        turned, moved, losses = found.rotations.float(), found.pelvis.float(), found.losses
        contacts = contacts_of(found, contacts, floor.ground)
        dynamics = dynamics_of(found).moved(torch.eye(3), -away)
    back = replace(
        view, rotations=turned, pelvis=moved - away, contacts=contacts, dynamics=dynamics, recipe=""
    ).in_frame(motion.frame)  # fmt: skip
    return RefinedFile(back, floor, refined.losses, losses)


def bridged_to_the_ends(
    rotations: torch.Tensor, pelvis: torch.Tensor, seen: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The motion [T, 24, 3, 3], [T, 3] m with frames between those that were ``seen`` [T] bridged; before the first and
    after the last it stays as it is."""
    known = seen.nonzero()[:, 0]
    inner = slice(int(known[0]), int(known[-1]) + 1)
    turned, moved = rotations.clone(), pelvis.clone()
    turned[inner], moved[inner] = bridged(rotations[inner], pelvis[inner], seen[inner])
    return turned, moved


def _observed(motion: Motion) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Keypoints [T, 25, 2] px, confidence [T, 25] and the camera [3, 3]; without confidence where none can be used."""
    if motion.keypoints is None or motion.K is None:
        return torch.zeros(len(motion), 25, 2), torch.zeros(len(motion), 25), torch.eye(3)
    return motion.keypoints[..., :2].float(), motion.keypoints[..., 2].float().clamp(0.0, 1.0), motion.K.float()


def _floor(
    motion: Motion, smooth: tuple[torch.Tensor, torch.Tensor], seen: torch.Tensor, points: BodyPoints, dt_s: float,
    known: KnownGround,
) -> Floor:  # fmt: skip
    """Where the floor is. A motion with a world frame has it at 0, unless its feet rest elsewhere."""
    if motion.frame == "optical":
        return floor_of(points, *smooth, seen, dt_s, known)
    given = Ground(torch.tensor(_UP), torch.zeros(()), "at 0, as the motion's frame says")
    if motion.contacts is not None and not bool(motion.contacts.any()):
        return Floor(given, False)  # what made it did not know its floor
    shown = floor_of(points, *smooth, seen, dt_s, KnownGround(_UP, None))
    near = abs(float(shown.ground.height)) < _ON_FLOOR_M
    return shown if shown.trusted and not near else Floor(given, near)
