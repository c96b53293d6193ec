"""Stretches of a video in which a person is seen, and a smooth motion through their poses."""

from __future__ import annotations

import numpy as np
import roma
import torch

from diffmocap.physics.ground import Ground
from diffmocap.refinement.window.reference import reference_motion
from diffmocap.refinement.window.window import Window

#: A stretch with poses in fewer frames is no motion.
MIN_FRAMES = 8
#: Frames that are smoothed at once: their kernel has as many entries, squared.
_AT_ONCE = 512
#: Beyond this the kernel has no weight [s].
_REACH_S = 0.5


def stretches_of(lifted: np.ndarray, most: int) -> list[tuple[int, int]]:
    """[first, last + 1) of stretches that begin and end with a pose and have gaps of at most ``most`` frames.

    Args:
        lifted: [T] bool, frames with a pose.
    """
    known = np.flatnonzero(lifted)
    if not len(known):
        return []
    parts = np.split(known, np.flatnonzero(np.diff(known) > most + 1) + 1)
    return [(int(part[0]), int(part[-1]) + 1) for part in parts if len(part) >= MIN_FRAMES]


def bridged(rotations: torch.Tensor, pelvis: torch.Tensor, lifted: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The motion [T, 24, 3, 3], [T, 3] m with frames that have no pose filled: from the pose before to the one after,
    each joint along the shortest way, the pelvis on a straight line.

    Args:
        lifted: [T] bool, frames with a pose, the first and the last among them.
    """
    known = lifted.nonzero()[:, 0]
    missing = (~lifted).nonzero()[:, 0]
    if not len(missing):
        return rotations, pelvis
    after = torch.searchsorted(known, missing)
    first, last = known[after - 1], known[after]
    share = (missing - first) / (last - first)
    way = roma.rotmat_to_rotvec(rotations[first].mT @ rotations[last])
    turned, moved = rotations.clone(), pelvis.clone()
    turned[missing] = rotations[first] @ roma.rotvec_to_rotmat(share[:, None, None] * way)
    moved[missing] = torch.lerp(pelvis[first], pelvis[last], share[:, None])
    return turned, moved


def smoothed(rotations: torch.Tensor, pelvis: torch.Tensor, dt_s: float) -> tuple[torch.Tensor, torch.Tensor]:
    """The motion that windows begin with, [T, 24, 3, 3] and [T, 3] m: :func:`reference_motion`, of any length."""
    frames, margin = len(pelvis), round(_REACH_S / dt_s)
    turned, moved = torch.empty_like(rotations), torch.empty_like(pelvis)
    for start in range(0, frames, _AT_ONCE):
        first, last = max(start - margin, 0), min(start + _AT_ONCE + margin, frames)
        around = slice(first, last)
        motion = reference_motion(_window(rotations[around], pelvis[around], dt_s))
        inner = slice(start - first, min(start + _AT_ONCE, frames) - first)
        part = slice(start, start + _AT_ONCE)
        turned[part], moved[part] = motion[0][0, inner], motion[1][0, inner]
    return turned, moved


def _window(rotations: torch.Tensor, pelvis: torch.Tensor, dt_s: float) -> Window:
    """Poses alone, as a window of one hypothesis without keypoints."""
    frames = len(pelvis)
    return Window(
        dt_s=dt_s, rotations=rotations[None, None], pelvis=pelvis[None, None],
        log_weights=torch.zeros(1, 1, frames), lifted=torch.ones(1, frames, dtype=torch.bool),
        rotation_spread=torch.ones(1, frames, rotations.shape[1]),
        pelvis_precision=torch.eye(3).expand(1, frames, 3, 3), points_px=torch.zeros(1, frames, 25, 2),
        confidence=torch.zeros(1, frames, 25), K=torch.eye(3)[None], T_camera_motion=torch.eye(3, 4)[None],
        ground=Ground(torch.tensor([[0.0, -1.0, 0.0]]), torch.zeros(1)),
    )  # fmt: skip
