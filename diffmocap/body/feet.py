"""Feet on the floor: which frames a foot rests in, how its sole lies there, how high the floor is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import roma
import torch

from diffmocap.body.skeleton import PARENTS

if TYPE_CHECKING:
    from diffmocap.body.model import BodyModel
    from diffmocap.body.motion_clip import MotionClip

ANKLES, TOES = (7, 8), (10, 11)
_LEG_CHAIN = (0, 1, 2, 4, 5, 7, 8, 10, 11)
_BODY_UP = torch.tensor([0.0, 1.0, 0.0])

#: A foot rests when ankle and toe both move slower than this [m/s].
RESTING_SPEED = 0.12
#: Standing frames of a subject: the ankle at most this far above the subject's lowest resting heights [m] ...
STANDING_BAND = 0.02
#: ... and the shank at most this far from the vertical [rad], which leaves lunges and wide stances out.
STANDING_SHANK_TILT = math.radians(20.0)
#: Fewer standing frames than this tell nothing about the foot's constant offset.
MIN_STANDING_FRAMES = 15
#: A larger tilt is a pose (tiptoe, a slope), not an offset [rad].
MAX_OFFSET = math.radians(30.0)


def leg_length(offsets: torch.Tensor) -> float:
    """Hip to knee to ankle [m], mean of both sides, from rest offsets [24, 3]."""
    return float(offsets[[4, 5, 7, 8]].norm(dim=-1).sum() / 2)


def leg_kinematics(clip: MotionClip) -> tuple[torch.Tensor, torch.Tensor]:
    """Global rotations [T, 24, 3, 3] and positions [T, 24, 3] of the leg chain; other joints stay zero."""
    rotations = torch.zeros_like(clip.rotations)
    joints = torch.zeros_like(clip.rotations[..., 0])
    rotations[:, 0], joints[:, 0] = clip.rotations[:, 0], clip.pelvis
    for j in _LEG_CHAIN[1:]:
        p = PARENTS[j]
        rotations[:, j] = rotations[:, p] @ clip.rotations[:, j]
        joints[:, j] = joints[:, p] + rotations[:, p] @ clip.offsets[j]
    return rotations, joints


def speed(positions: torch.Tensor, fps: float) -> torch.Tensor:
    """Speed [T, ...] in m/s of positions [T, ..., 3] by central differences; a single frame is at rest."""
    if positions.shape[0] < 2:
        return torch.zeros_like(positions[..., 0])
    return torch.gradient(positions, spacing=1.0 / fps, dim=0)[0].norm(dim=-1)


def foot_corrections(clips: Sequence[MotionClip]) -> torch.Tensor:
    """Rotations C [2, 3, 3] (left, right) that level a subject's soles: the corrected ankle is ``R_ankle @ C``.

    The up direction seen from the foot, averaged over the standing frames of all clips (geometric median on the
    sphere, so that a quarter of odd frames does no harm), is turned onto the body's up axis by the shortest
    rotation: pitch and roll go, heading stays. Identity where too few frames stand, or where the tilt is too
    large to be an offset.
    """
    kinematics = [leg_kinematics(clip) for clip in clips]
    corrections = torch.eye(3).repeat(2, 1, 1)
    for side, (ankle, toe) in enumerate(zip(ANKLES, TOES, strict=True)):
        ups, heights, tilts = [], [], []
        for clip, (rotations, joints) in zip(clips, kinematics, strict=True):
            resting = speed(joints[:, [ankle, toe]], clip.fps).amax(dim=1) < RESTING_SPEED
            shank = torch.nn.functional.normalize(joints[:, ankle - 3] - joints[:, ankle], dim=-1)
            ups.append(rotations[resting, ankle, 1])  # R^T e_y: the second row of R
            heights.append(joints[resting, ankle, 1])
            tilts.append(torch.acos(shank[resting, 1].clamp(-1.0, 1.0)))
        up, height, tilt = torch.cat(ups), torch.cat(heights), torch.cat(tilts)
        if len(up) < MIN_STANDING_FRAMES:
            continue
        standing = (height < torch.quantile(height, 0.1) + STANDING_BAND) & (tilt < STANDING_SHANK_TILT)
        if int(standing.sum()) < MIN_STANDING_FRAMES:
            continue
        mean_up = _geometric_median(up[standing])
        axis = torch.linalg.cross(mean_up, _BODY_UP)
        angle = torch.atan2(axis.norm(), mean_up @ _BODY_UP)
        if not 1e-6 < float(angle) < MAX_OFFSET:
            continue
        turn = roma.rotvec_to_rotmat(torch.nn.functional.normalize(axis, dim=0) * angle)  # mean_up -> body up
        corrections[side] = turn.T  # (R C)^T e_y = C^T mean_up = turn mean_up
    return corrections


def _geometric_median(directions: torch.Tensor, iterations: int = 20) -> torch.Tensor:
    """Unit vector with the least summed distance to unit vectors [N, 3] (Weiszfeld)."""
    mean = directions.mean(dim=0)
    for _ in range(iterations):
        weight = 1.0 / (directions - mean).norm(dim=-1).clamp(min=1e-3)
        mean = (directions * weight[:, None]).sum(dim=0) / weight.sum()
    return torch.nn.functional.normalize(mean, dim=0)


def sole_points(body: BodyModel, betas: torch.Tensor | None = None, directions: int = 16) -> torch.Tensor:
    """Outline of each sole [2, directions, 3], relative to the ankle joint in the rest pose [m].

    Of the foot's vertices near the floor those that lie outermost in evenly spaced directions. They ride on the
    ankle alone: toes do not bend in the motion this is used for.
    """
    shape = torch.zeros(1, body.shape_dirs.shape[-1]) if betas is None else betas.reshape(1, -1)
    shape_dirs = body.shape_dirs.detach().cpu().float()
    vertices = body.template.detach().cpu().float() + torch.einsum("vck,k->vc", shape_dirs, shape[0].cpu().float())
    rest = body.rest_joints(betas)[0].detach().cpu().float()
    weights = body.skin_weights.detach().cpu()
    angles = torch.arange(directions) * (2 * math.pi / directions)
    outward = torch.stack([angles.sin(), torch.zeros(directions), angles.cos()], dim=-1)
    soles = []
    for ankle, toe in zip(ANKLES, TOES, strict=True):
        foot = vertices[weights[:, ankle] + weights[:, toe] > 0.5]
        low = foot[foot[:, 1] < foot[:, 1].min() + 0.01]
        soles.append(low[(low @ outward.T).argmax(dim=0)] - rest[ankle])
    return torch.stack(soles)


def sole_positions(clip: MotionClip, soles: torch.Tensor) -> torch.Tensor:
    """World positions [T, 2, P, 3] of sole points [2, P, 3] that ride on the ankles."""
    rotations, joints = leg_kinematics(clip)
    ankles = list(ANKLES)
    return torch.einsum("tsij,spj->tspi", rotations[:, ankles], soles) + joints[:, ankles, None]


def contact_frames(positions: torch.Tensor, fps: float, band: float = 0.05) -> torch.Tensor:
    """Boolean [T, 2]: the lowest point of the sole is slow and near the lowest such height of the clip.

    ``positions`` [T, 2, P, 3] as from :func:`sole_positions`.
    """
    lowest = positions[..., 1].argmin(dim=-1, keepdim=True)  # [T, 2, 1]
    height = positions[..., 1].gather(-1, lowest)[..., 0]
    slow = speed(positions, fps).gather(-1, lowest)[..., 0] < 2 * RESTING_SPEED
    if not bool(slow.any()):
        return torch.zeros_like(slow)
    return slow & (height < torch.quantile(height[slow], 0.1) + band)


def ground_height(clip: MotionClip, soles: torch.Tensor) -> float:
    """Height [m] at which the clip's feet find the floor: the median over contact frames.

    A clip without contacts (a take of pure running may have none) gives the height that its lowest sole point
    stays above in 95 % of the frames.
    """
    positions = sole_positions(clip, soles)
    lowest = positions[..., 1].amin(dim=-1)  # [T, 2]
    contact = contact_frames(positions, clip.fps)
    if int(contact.sum()) >= 5:
        return float(lowest[contact].median())
    return float(torch.quantile(lowest.amin(dim=1), 0.05))
