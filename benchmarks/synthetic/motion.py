"""Cutting takes together: pieces of captured motion become one that goes on without a jump."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import roma
import torch

from diffmocap.body.mocap import MotionClip


@dataclass(frozen=True)
class Piece:
    """Frames [start, stop) of a clip; over ``overlap`` frames it fades in from the piece before."""

    clip: str
    start: int = 0
    stop: int | None = None
    overlap: int = 12


def assemble(pieces: Sequence[Piece], clips: Mapping[str, MotionClip]) -> MotionClip:
    """One motion from pieces of retargeted clips; a piece starts where the previous one ends, with the same heading."""
    motion = clips[pieces[0].clip].frames(pieces[0].start, pieces[0].stop)
    for piece in pieces[1:]:
        motion = crossfade(motion, clips[piece.clip].frames(piece.start, piece.stop), piece.overlap)
    return replace(motion, name="+".join(dict.fromkeys(p.clip for p in pieces)))


def crossfade(first: MotionClip, second: MotionClip, overlap: int) -> MotionClip:
    """The last ``overlap`` frames of one motion blended into the first ones of another, placed to fit."""
    overlap = min(overlap, len(first), len(second))
    middle = overlap // 2
    meeting = len(first) - overlap + middle
    second = place(second, middle, first.pelvis[meeting], heading(first)[meeting])
    weight = torch.linspace(0, 1, overlap + 2)[1:-1]
    weight = weight * weight * (3 - 2 * weight)
    a, b = first.rotations[-overlap:], second.rotations[:overlap]
    step = roma.rotmat_to_rotvec(a.transpose(-1, -2) @ b)
    rotations = a @ roma.rotvec_to_rotmat(step * weight[:, None, None])
    pelvis = torch.lerp(first.pelvis[-overlap:], second.pelvis[:overlap], weight[:, None])
    return replace(
        first,
        rotations=torch.cat([first.rotations[:-overlap], rotations, second.rotations[overlap:]]),
        pelvis=torch.cat([first.pelvis[:-overlap], pelvis, second.pelvis[overlap:]]),
    )


def heading(clip: MotionClip) -> torch.Tensor:
    """Direction [T] the pelvis faces, radians about the vertical from +z towards +x."""
    forward = clip.rotations[:, 0, :, 2]
    return torch.atan2(forward[:, 0], forward[:, 2])


def place(clip: MotionClip, frame: int, position: torch.Tensor, yaw: float | torch.Tensor) -> MotionClip:
    """The clip turned and moved over the floor so that ``frame`` faces ``yaw`` above ``position``; heights stay."""
    turn = roma.rotvec_to_rotmat(torch.tensor([0.0, float(yaw - heading(clip)[frame]), 0.0]))
    rotations = clip.rotations.clone()
    rotations[:, 0] = turn @ rotations[:, 0]
    pelvis = (clip.pelvis - clip.pelvis[frame]) @ turn.T + position
    pelvis[:, 1] = clip.pelvis[:, 1]
    return replace(clip, rotations=rotations, pelvis=pelvis)


def centred(clip: MotionClip, yaw_deg: float = 0.0) -> MotionClip:
    """The clip turned by ``yaw_deg`` and moved so that the middle of its path is the world's origin."""
    turn = roma.rotvec_to_rotmat(torch.tensor([0.0, math.radians(yaw_deg), 0.0]))
    rotations = clip.rotations.clone()
    rotations[:, 0] = turn @ rotations[:, 0]
    pelvis = clip.pelvis @ turn.T
    middle = (pelvis.amin(dim=0) + pelvis.amax(dim=0)) / 2
    middle[1] = 0.0
    return replace(clip, rotations=rotations, pelvis=pelvis - middle)
