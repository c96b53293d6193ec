"""Poses for the prior: frames of clips, mirrored, turned, with parts of other frames and small noise in the joints.

Frames are local rotations with the root in the y-up world; toes and hands are as captured (identity in CMU).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import roma
import torch

from diffmocap.body.mocap import MotionClip, load_split
from diffmocap.body.model import BodyModel
from diffmocap.body.skeleton import JOINT_MIRROR
from training.lifting.plausibility import self_intersects, within_limits

#: Joints that move as one when parts of different frames are mixed.
LEFT_ARM, RIGHT_ARM = (13, 16, 18, 20, 22), (14, 17, 19, 21, 23)
LEFT_LEG, RIGHT_LEG = (1, 4, 7, 10), (2, 5, 8, 11)
TRUNK, HEAD = (3, 6, 9), (12, 15)


@dataclass(frozen=True)
class PoseAugmentation:
    """What is done to captured frames; shares are probabilities a pose.

    Attributes:
        mirror_share: seen in a mirror.
        mix_share: the left arm, the right, both or both legs from another frame, a quarter each.
        leg_mix_share: one leg from another frame.
        trunk_mix_share: the spine or the neck and head from another frame, half each.
        joint_noise_share: every joint but the root is disturbed.
        joint_noise: standard deviation of that over the joint's own over the frames, in each direction of its tangent
            space: a knee is disturbed in flexion more than sideways, and what never moves stays still.
        captured_heading_share: keeps its heading; the others are turned about the vertical by any angle.
    """

    mirror_share: float = 0.5
    mix_share: float = 0.2
    leg_mix_share: float = 0.1
    trunk_mix_share: float = 0.1
    joint_noise_share: float = 0.5
    joint_noise: float = 0.1
    captured_heading_share: float = 0.15


def load_frames(
    paths: list[str | Path], exclude: str | Path | tuple = (), fps: float = 30.0
) -> tuple[torch.Tensor, torch.Tensor]:
    """All frames of the clips in the given files or AMASS folders, [N, 24, 3, 3] float32, and their clips' numbers."""
    clips: list[MotionClip] = [clip for path in paths for clip in load_split(path, exclude, fps)]
    rotations = torch.cat([torch.as_tensor(clip.rotations, dtype=torch.float32) for clip in clips])
    lengths = torch.tensor([len(clip.rotations) for clip in clips])
    return rotations, torch.arange(len(clips)).repeat_interleave(lengths)


def load_rotations(paths: list[str | Path], exclude: str | Path | tuple = (), fps: float = 30.0) -> torch.Tensor:
    """The frames of :func:`load_frames` alone."""
    return load_frames(paths, exclude, fps)[0]


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


def keep_plausible(body: BodyModel, before: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
    """``after`` where each joint that was changed is within its limits and no limb enters the body, else ``before``."""
    changed = (after != before).flatten(2).any(-1)
    rows = changed.any(1).nonzero()[:, 0]
    poses = after[rows]
    refused = (changed[rows] & ~within_limits(poses)).any(1) | self_intersects(body, poses)
    rows = rows[refused]
    return after.index_copy(0, rows, before[rows])


def mix_parts(
    rotations: torch.Tensor, parts: tuple[tuple[int, ...], ...], share: float, g: torch.Generator
) -> torch.Tensor:
    """Gives a share of the poses one of the parts, each as likely, of another pose in the batch."""
    n, device = len(rotations), rotations.device
    donor = rotations[torch.randperm(n, generator=g, device=device)]
    kind = torch.rand(n, generator=g, device=device) * len(parts) / max(share, 1e-9)
    table = torch.zeros(len(parts) + 1, 24, dtype=torch.bool, device=device)  # the last row mixes nothing
    for i, part in enumerate(parts):
        table[i, list(part)] = True
    swap = table[kind.clamp_max(len(parts)).long()]
    return torch.where(swap[..., None, None], donor, rotations)


def joint_spread(rotations: torch.Tensor) -> torch.Tensor:
    """[24, 3, 3] factors L of the covariance L L^T of each joint about its mean rotation, in the tangent space [rad].

    The root's is zero: its heading is drawn elsewhere, and its tilt belongs to the whole pose.
    """
    mean = roma.special_procrustes(rotations.mean(0))
    tangent = roma.rotmat_to_rotvec(mean.transpose(-1, -2) @ rotations)
    covariance = torch.einsum("nja,njb->jab", tangent, tangent) / len(rotations)
    values, vectors = torch.linalg.eigh(covariance.double())
    spread = (vectors * values.clamp_min(0).sqrt()[:, None]).to(rotations)
    spread[0] = 0.0
    return spread


def disturb(
    rotations: torch.Tensor, spread: torch.Tensor, noise: float, share: float, g: torch.Generator
) -> torch.Tensor:
    """Turns the joints of a share of the poses by ``noise`` times normal vectors of the given spread [24, 3, 3]."""
    n, device = len(rotations), rotations.device
    rows = (torch.rand(n, generator=g, device=device) < share).nonzero()[:, 0]
    vectors = noise * torch.einsum("jab,njb->nja", spread, torch.randn(len(rows), 24, 3, generator=g, device=device))
    return rotations.index_copy(0, rows, rotations[rows] @ roma.rotvec_to_rotmat(vectors))


class PoseSampler:
    """Draws augmented poses from frames [N, 24, 3, 3]; a change that no body could make is not made.

    ``clips`` [N] numbers each frame's clip, for :meth:`pairs`; None: one clip.
    """

    def __init__(
        self, body: BodyModel, rotations: torch.Tensor, generator: torch.Generator,
        augmentation: PoseAugmentation = PoseAugmentation(), clips: torch.Tensor | None = None,
    ) -> None:  # fmt: skip
        self.body, self.rotations, self.generator, self.clips = body, rotations, generator, clips
        self.augmentation = augmentation
        self.spread = joint_spread(rotations[:: max(len(rotations) // 10_000, 1)])

    def __call__(self, batch: int) -> torch.Tensor:
        """[batch, 24, 3, 3] poses, root in the y-up world."""
        index, flipped = self._choose(batch)
        return self._augment(self._frames(index, flipped))

    def pairs(self, batch: int, lag: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Poses as from a call, and the poses ``lag`` frames before them (the same ones at a clip's beginning).

        The augmented pose moves as the captured one did: each joint's rotation between the two frames is kept.
        """
        index, flipped = self._choose(batch)
        earlier = (index - lag).clamp_min(0)
        if self.clips is not None:
            earlier = torch.where(self.clips[earlier] == self.clips[index], earlier, index)
        captured = self._frames(index, flipped)
        motion = captured.transpose(-1, -2) @ self._frames(earlier, flipped)
        poses = self._augment(captured)
        return poses, poses @ motion

    def windows(self, batch: int, lags: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor]:
        """Poses as from a call with the poses ``lags`` frames before them: [batch, 1 + L, 24, 3, 3], the poses first,
        and which of the earlier frames are in the clip [batch, L] bool. As in :meth:`pairs`, the motion is kept."""
        captured, motion, known = self.motions(batch, lags)
        poses = self._augment(captured)
        return torch.cat([poses[:, None], poses[:, None] @ motion], 1), known

    def motions(self, batch: int, lags: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Captured frames [batch, 24, 3, 3], each joint's rotation from there to ``lags`` frames earlier
        [batch, L, 24, 3, 3], and which of these are in the clip [batch, L] bool."""
        index, flipped = self._choose(batch)
        earlier = index[:, None] - torch.tensor(lags, device=index.device)
        known = earlier >= 0
        earlier = earlier.clamp_min(0)
        if self.clips is not None:
            known &= self.clips[earlier] == self.clips[index][:, None]
        earlier = torch.where(known, earlier, index[:, None])
        captured = self._frames(index, flipped)
        before = self._frames(earlier.flatten(), flipped.repeat_interleave(len(lags)))
        before = before.unflatten(0, earlier.shape)
        return captured, captured[:, None].transpose(-1, -2) @ before, known

    def _choose(self, batch: int) -> tuple[torch.Tensor, torch.Tensor]:
        g, device = self.generator, self.rotations.device
        index = torch.randint(len(self.rotations), (batch,), generator=g, device=device)
        return index, torch.rand(batch, generator=g, device=device) < self.augmentation.mirror_share

    def _frames(self, index: torch.Tensor, flipped: torch.Tensor) -> torch.Tensor:
        poses = self.rotations[index]
        return torch.where(flipped[:, None, None, None], mirror(poses), poses)

    def _augment(self, poses: torch.Tensor) -> torch.Tensor:
        a, g, device, batch = self.augmentation, self.generator, poses.device, len(poses)
        for share, parts in (
            (a.mix_share, (LEFT_ARM, RIGHT_ARM, LEFT_ARM + RIGHT_ARM, LEFT_LEG + RIGHT_LEG)),
            (a.leg_mix_share, (LEFT_LEG, RIGHT_LEG)),
            (a.trunk_mix_share, (TRUNK, HEAD)),
        ):
            if share:
                poses = keep_plausible(self.body, poses, mix_parts(poses, parts, share, g))
        if a.joint_noise_share and a.joint_noise:
            disturbed = disturb(poses, self.spread, a.joint_noise, a.joint_noise_share, g)
            poses = keep_plausible(self.body, poses, disturbed)
        turned = torch.rand(batch, generator=g, device=device) >= a.captured_heading_share
        yaw = (torch.rand(batch, generator=g, device=device) * 2 - 1) * math.pi * turned
        return turn(poses, yaw)
