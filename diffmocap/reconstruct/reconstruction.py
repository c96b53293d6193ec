"""From the keypoints of a video to motions: lifting, path, floor, refinement, one motion for each stretch seen."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from diffmocap.body.feet import TOES
from diffmocap.body.model import BodyModel
from diffmocap.errors import CameraError, DiffmocapError
from diffmocap.lifting.lifter import Lifter
from diffmocap.motion.dynamics import MotionDynamics
from diffmocap.physics.tree import global_poses
from diffmocap.reconstruct.body_size import betas_of_height, distance_ratio, sole_drop
from diffmocap.reconstruct.floor import Floor, floor_of
from diffmocap.reconstruct.foot_lock import lock_feet
from diffmocap.reconstruct.footage import Footage
from diffmocap.reconstruct.lifted import combined, lift_frames, likeliest_path
from diffmocap.reconstruct.persons import person_seen
from diffmocap.reconstruct.physics.simulated_motion import SimulatedBody, contacts_of, dynamics_of, simulated_motion
from diffmocap.reconstruct.refining import MotionRefiner
from diffmocap.reconstruct.settings import ReconstructSettings
from diffmocap.reconstruct.stances import standing_feet
from diffmocap.reconstruct.stretches import MIN_FRAMES, bridged, smoothed, stretches_of
from diffmocap.refinement.diffphy.observation import SeenKeypoints
from diffmocap.refinement.diffphy.settings import SimulationSettings
from diffmocap.refinement.physics_refiner import points_of
from diffmocap.refinement.stream.known_ground import KnownGround

_DEFAULTS = ReconstructSettings()


class NobodySeenError(DiffmocapError):
    """No stretch of a video shows a person long enough for a motion."""


@dataclass(frozen=True)
class ReconstructedMotion:
    """One stretch of a video in which the person is seen, in the camera's optical frame.

    Attributes:
        first: number of its first frame in the footage. fps: frames a second.
        rotations: [T, 24, 3, 3] local; entry 0 turns the body into the frame. pelvis: [T, 3] m.
        tracked: [T] bool: there was a pose; elsewhere the motion is bridged.
        keypoints: [T, 25, 3] px and confidence, as detected.
        contacts: [T, P] bool of the body's contact points. floor: where it is. betas: [10] shape of the body.
        K: [3, 3] matrix of the camera [px], None where that is no pinhole's.
        seen: the keypoints that count, of an ideal pinhole camera; None: none are known.
        dynamics: of the simulation, None where none was asked for; no frame of it is simulated where the floor is not
            trusted.
        refining_losses, simulation_losses: mean over windows before and after; nan where there are none.
    """

    first: int
    fps: float
    rotations: torch.Tensor
    pelvis: torch.Tensor
    tracked: torch.Tensor
    keypoints: torch.Tensor
    contacts: torch.Tensor
    floor: Floor
    betas: torch.Tensor
    K: torch.Tensor | None = None
    seen: SeenKeypoints | None = None
    dynamics: MotionDynamics | None = None
    refining_losses: tuple[float, float] = (math.nan, math.nan)
    simulation_losses: tuple[float, float] = (math.nan, math.nan)


def reconstruct(
    footage: Footage, lifter: Lifter, body: BodyModel, settings: ReconstructSettings = _DEFAULTS,
    told: Callable[[str, float], None] = lambda stage, share: None, kept: Callable[[int], Path] | None = None,
) -> list[ReconstructedMotion]:  # fmt: skip
    """Motions of one person; several where the person is out of sight for longer than ``longest_bridge_s``.

    Args:
        body: on the CPU, as the result is. told: hears the stage, ``lifting``, ``refining`` or ``simulating``, and
            which share of it is done. kept: names the file in which the simulation of a motion, by its number, keeps
            its progress.

    Raises:
        NobodySeenError: there is no motion. CameraError: the footage is too short for one.
    """
    if len(footage) < MIN_FRAMES:
        raise CameraError(
            f"{len(footage)} frames at {footage.fps:g} Hz are no motion; at least {MIN_FRAMES} are needed: give a "
            "longer video, or a higher rate"
        )
    seen = footage.as_lifted(settings.lifting.min_confidence, settings.sides)
    frames, dt_s = len(seen), 1.0 / footage.fps
    lifted = lift_frames(
        lifter, seen, footage.intrinsics, settings.lifting, settings.ground.up, settings.samples,
        settings.sample_steps, lambda n: told("lifting", n / (2 * frames)),
    )  # fmt: skip
    path = likeliest_path(lifted, body, dt_s)
    rotations, pelvis = combined(lifted, path, body)
    score = lifted.score[path, torch.arange(frames)]
    tracked_frames = person_seen(rotations, pelvis, score, lifted.lifted, seen, body, settings.gate)
    stretches = stretches_of(tracked_frames.numpy(), max(round(settings.longest_bridge_s * footage.fps), 1))
    if not stretches:
        raise NobodySeenError(
            f"no motion: something was found in {int(lifted.lifted.sum())} of {frames} frames, a person in "
            f"{int(tracked_frames.sum())}, and never in {MIN_FRAMES} that are at most {settings.longest_bridge_s:g} s "
            "apart; the whole body should be in view, lit, and larger than an eighth of the image"
        )
    points = points_of(body).to(dtype=torch.float32)
    points_px, confidence = (torch.from_numpy(np.stack(x)) for x in zip(*((k.points_px, k.confidence) for k in seen)))
    raw = torch.from_numpy(
        np.stack([np.concatenate([k.points_px, k.confidence[:, None]], 1) for k in footage.keypoints])
    ).float()
    K = torch.tensor(footage.intrinsics.matrix).float()
    pinhole = torch.cat([points_px, confidence[..., None]], -1).float()
    refiner = MotionRefiner(points, settings)
    motions = []
    for number, (start, stop) in enumerate(stretches):
        part = slice(start, stop)
        tracked = tracked_frames[part]
        whole = bridged(rotations[part], pelvis[part], tracked)
        smooth = smoothed(*whole, dt_s)
        known = _as_of_the_mean_body(settings, smooth[0], part, body, pinhole, K)
        floor = floor_of(points, *smooth, tracked, dt_s, known)
        refined = refiner.refine(
            *whole, tracked, points_px[part], confidence[part], smooth, K, floor, dt_s,
            lambda share, n=number: told("refining", (n + share) / len(stretches)),
        )  # fmt: skip
        turned, moved = refined.rotations, refined.pelvis
        if settings.lock_feet:
            toes = global_poses(turned, moved, points.bones)[1][:, TOES]
            standing = standing_feet(
                toes.numpy(), points_px[part].numpy(), confidence[part].numpy(), float(K[0, 0]), dt_s
            )
            turned, moved = lock_feet(turned, moved, standing, points, floor, dt_s)
        contacts = refiner.contacts(turned, moved, floor, dt_s)
        betas = torch.zeros(body.shape_dirs.shape[-1])
        motion = ReconstructedMotion(
            start, footage.fps, turned, moved, tracked, raw[part], contacts, floor, betas,
            K=None if footage.intrinsics.distortion else K,
            seen=SeenKeypoints.of_one(points_px[part], confidence[part], K), refining_losses=refined.losses,
        )  # fmt: skip
        if settings.height_m:
            motion = of_height(motion, settings.height_m, body, pinhole[part], K)
            if settings.ground.height_m is not None:  # that is true already
                ground = replace(motion.floor.ground, height=torch.tensor(settings.ground.height_m))
                motion = replace(motion, floor=replace(motion.floor, ground=ground))
        motions.append(motion)
    if settings.diffphy:
        for number, motion in enumerate(motions):
            motions[number] = simulated(
                motion, body, settings.simulation, None if kept is None else kept(number),
                lambda share, n=number: told("simulating", (n + share) / len(motions)),
            )  # fmt: skip
    return motions


def simulated(
    motion: ReconstructedMotion, body: BodyModel, settings: SimulationSettings, kept: Path | None = None,
    told: Callable[[float], None] = lambda share: None,
) -> ReconstructedMotion:  # fmt: skip
    """The motion with what a simulation makes of it; as it was where its floor is not trusted.

    Args: as those of :func:`~diffmocap.reconstruct.physics.simulated_motion.simulated_motion`.
    """
    if not motion.floor.trusted:
        return replace(motion, dynamics=MotionDynamics.none(*motion.contacts.shape))
    found = simulated_motion(
        motion.rotations, motion.pelvis, motion.contacts, 1.0 / motion.fps, motion.floor.ground,
        SimulatedBody.of(body, motion.betas), settings, motion.seen, kept, told,
    )  # fmt: skip
    return replace(
        motion, rotations=found.rotations.float(), pelvis=found.pelvis.float(), dynamics=dynamics_of(found),
        contacts=contacts_of(found, motion.contacts, motion.floor.ground), simulation_losses=found.losses,
    )  # fmt: skip


def _as_of_the_mean_body(
    settings: ReconstructSettings, rotations: torch.Tensor, part: slice, body: BodyModel, keypoints: torch.Tensor,
    K: torch.Tensor,
) -> KnownGround:  # fmt: skip
    """What is known of the ground, in the metres of a world in which the person has the mean body's height."""
    known = settings.ground
    if not settings.height_m or known.height_m is None:
        return known
    ratio = distance_ratio(body, rotations, betas_of_height(body, settings.height_m), keypoints[part], K)
    return replace(known, height_m=known.height_m / ratio)


def of_height(
    motion: ReconstructedMotion, height_m: float, body: BodyModel, keypoints: torch.Tensor, K: torch.Tensor
) -> ReconstructedMotion:
    """The motion of a person who is so high: the same image shows them larger and farther away, on the same floor.

    Args:
        keypoints: [T, 25, 3] px and confidence of an ideal pinhole camera K [3, 3].
    """
    betas = betas_of_height(body, height_m)
    ratio = distance_ratio(body, motion.rotations, betas, keypoints, K)
    ground = motion.floor.ground
    lower = sole_drop(body, motion.rotations, betas, ground.up)
    # The soles stand at the pelvis's height less the legs; both have changed.
    along = float((motion.pelvis @ ground.up.to(motion.pelvis)).median())
    floor = replace(motion.floor, ground=replace(ground, height=ground.height + (ratio - 1.0) * along - lower))
    return replace(motion, pelvis=ratio * motion.pelvis, betas=betas, floor=floor)
