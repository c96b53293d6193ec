"""Poses for the prior: clips as one tensor, mirrored, turned about the vertical, and with limbs mixed.

Frames are local rotations with the root in the y-up world; toes and hands are as captured (identity in CMU).
"""

from __future__ import annotations

import math
from pathlib import Path

import torch

from diffmocap.body.mocap import MotionClip, load_split
from diffmocap.body.model import BodyModel
from diffmocap.body.skeleton import JOINT_MIRROR

#: Joints that move as one when limbs of different frames are mixed.
LEFT_ARM, RIGHT_ARM = (13, 16, 18, 20, 22), (14, 17, 19, 21, 23)
LEGS = (1, 2, 4, 5, 7, 8, 10, 11)
#: Trunk and thigh capsules that an arm must stay out of: (joint, joint, radius m).
CAPSULES = (
    (0, 3, 0.10), (3, 6, 0.10), (6, 9, 0.10), (9, 12, 0.08), (12, 15, 0.06), (1, 4, 0.06), (2, 5, 0.06),
)  # fmt: skip


def load_rotations(paths: list[str | Path], exclude: str | Path | tuple = (), fps: float = 30.0) -> torch.Tensor:
    """All frames of the clips in the given files or AMASS folders, [N, 24, 3, 3] float32."""
    clips: list[MotionClip] = [clip for path in paths for clip in load_split(path, exclude, fps)]
    return torch.cat([torch.as_tensor(clip.rotations, dtype=torch.float32) for clip in clips])


def every_nth_of_each_clip(clips: list[MotionClip], n: int) -> torch.Tensor:
    """Every n-th frame of every clip, [N, 24, 3, 3]."""
    return torch.cat([torch.as_tensor(clip.rotations[::n], dtype=torch.float32) for clip in clips])


def mirror(rotations: torch.Tensor) -> torch.Tensor:
    """Poses [B, 24, 3, 3] seen in a mirror: sides swapped, rotations reflected through the x = 0 plane."""
    flip = torch.tensor([-1.0, 1.0, 1.0], device=rotations.device)
    return rotations[:, list(JOINT_MIRROR)] * flip[:, None] * flip


def turn(rotations: torch.Tensor, yaw: torch.Tensor) -> torch.Tensor:
    """Poses turned about the vertical by ``yaw`` [B] rad."""
    c, s, zero, one = yaw.cos(), yaw.sin(), torch.zeros_like(yaw), torch.ones_like(yaw)
    R = torch.stack([c, zero, s, zero, one, zero, -s, zero, c], -1).view(-1, 3, 3)
    return torch.cat([(R @ rotations[:, 0])[:, None], rotations[:, 1:]], 1)


def self_intersects(body: BodyModel, rotations: torch.Tensor) -> torch.Tensor:
    """[B] bool: forearm or hand lies inside the trunk, head or a thigh (capsules about the bones).

    Joint limits need no check of their own when limbs are mixed: each joint keeps a rotation that was captured.
    """
    pelvis = torch.zeros(len(rotations), 3, device=rotations.device)
    _, joints = body.forward_kinematics(rotations, pelvis)
    # Elbow excluded: it rests against the ribs in everyday poses.
    probes = torch.cat(
        [torch.lerp(joints[:, [a]], joints[:, [b]], w) for a, b, w in
         ((18, 20, 0.5), (18, 20, 1.0), (20, 22, 1.0), (19, 21, 0.5), (19, 21, 1.0), (21, 23, 1.0))], 1,
    )  # fmt: skip
    hit = torch.zeros(len(rotations), dtype=torch.bool, device=rotations.device)
    for a, b, radius in CAPSULES:
        start, axis = joints[:, [a]], joints[:, [b]] - joints[:, [a]]
        along = ((probes - start) * axis).sum(-1) / (axis * axis).sum(-1).clamp_min(1e-9)
        nearest = start + along.clamp(0, 1)[..., None] * axis
        hit |= ((probes - nearest).norm(dim=-1) < radius).any(1)
    return hit


def mix_limbs(body: BodyModel, rotations: torch.Tensor, share: float, g: torch.Generator) -> torch.Tensor:
    """Gives a share of the poses an arm, both arms or the legs of another frame, where no limb then enters the body."""
    n, device = len(rotations), rotations.device
    donor = rotations[torch.randperm(n, generator=g, device=device)]
    kind = torch.rand(n, 1, generator=g, device=device)
    swap = torch.zeros(n, 24, dtype=torch.bool, device=device)
    third = share / 3
    swap[:, list(LEFT_ARM)] = kind < 2 * third
    swap[:, list(RIGHT_ARM)] = (kind >= third) & (kind < 2 * third)
    swap[:, list(LEGS)] = (kind >= 2 * third) & (kind < share)
    mixed = torch.where(swap[..., None, None], donor, rotations)
    return torch.where(self_intersects(body, mixed)[:, None, None, None], rotations, mixed)


class PoseSampler:
    """Draws augmented poses for training.

    Args:
        rotations: [N, 24, 3, 3] frames; ``mirror_share``, ``mix_share``: probabilities of the augmentations.
    """

    def __init__(
        self, body: BodyModel, rotations: torch.Tensor, generator: torch.Generator,
        mirror_share: float = 0.5, mix_share: float = 0.2, captured_heading_share: float = 0.15,
    ) -> None:  # fmt: skip
        self.body, self.rotations, self.generator = body, rotations, generator
        self.mirror_share, self.mix_share = mirror_share, mix_share
        self.captured_heading_share = captured_heading_share

    def __call__(self, batch: int) -> torch.Tensor:
        """[batch, 24, 3, 3] poses, root in the y-up world."""
        g, device = self.generator, self.rotations.device
        poses = self.rotations[torch.randint(len(self.rotations), (batch,), generator=g, device=device)]
        flipped = torch.rand(batch, generator=g, device=device) < self.mirror_share
        poses = torch.where(flipped[:, None, None, None], mirror(poses), poses)
        poses = mix_limbs(self.body, poses, self.mix_share, g)
        turned = torch.rand(batch, generator=g, device=device) >= self.captured_heading_share
        yaw = (torch.rand(batch, generator=g, device=device) * 2 - 1) * math.pi * turned
        return turn(poses, yaw)
