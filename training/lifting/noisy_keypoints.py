"""Motion capture before a camera, as a noisy detector sees it: the data of live use, for training and benchmarks.

Noise is Gaussian, correlated from frame to frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from diffmocap.body.model import BodyModel
from diffmocap.body.motion_clip import MotionClip
from diffmocap.body.skeleton import KEYPOINT_NAMES
from diffmocap.camera.projection import project
from diffmocap.lifting.network.condition import FACING
from diffmocap.types import CameraIntrinsics, Keypoints2D

CAMERA = CameraIntrinsics.from_fov(640, 480)
FRAME_S = 1 / 30
#: Detector: standard deviation over the box's half-size, and correlation from one frame to the next.
NOISE, CORRELATION = 0.02, 0.7
#: MediaPipe has no small toes.
NEVER_SEEN = [KEYPOINT_NAMES.index(name) for name in ("LSmallToe", "RSmallToe")]


@dataclass(frozen=True)
class Observed:
    """T frames: the truth in the optical frame and the keypoints.

    Attributes:
        rotations: [T, 24, 3, 3] local, the root's in the optical frame; pelvis: [T, 3] m; joints: [T, 24, 3] m.
        keypoints: T of them, 1/30 s apart.
        cuts: frames at which somebody else is seen.
    """

    rotations: torch.Tensor
    pelvis: torch.Tensor
    joints: torch.Tensor
    keypoints: list[Keypoints2D]
    cuts: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.keypoints)


def observe(
    clip: MotionClip, yaw: float, body: BodyModel, frames: int, seed: int = 0, at_m: tuple = (0.1, 0.1, 4.5),
    noise: float = NOISE,
) -> Observed:  # fmt: skip
    """The first ``frames`` of a clip, turned by ``yaw`` [rad] and centred ``at_m`` in the optical frame.

    ``noise``: standard deviation of the keypoints over half the size of their box.
    """
    T = min(len(clip), frames)
    c, s = np.cos(yaw), np.sin(yaw)
    turn = torch.tensor([[c, 0, s], [0, 1, 0], [-s, 0, c]], dtype=torch.float32)
    level = torch.tensor(FACING).diag()
    rotations, pelvis = clip.rotations[:T].clone(), clip.pelvis[:T].clone()
    rotations[:, 0] = level @ turn @ rotations[:, 0]
    pelvis = (pelvis - pelvis.mean(0)) @ turn.T @ level.T + torch.tensor(at_m)
    joints, keypoints = body.joints_and_keypoints(rotations, pelvis)
    points = project(keypoints, torch.tensor(CAMERA.matrix, dtype=torch.float32))
    half = 0.5 * (points.amax(1) - points.amin(1)).amax(-1)
    white = torch.randn(points.shape, generator=torch.Generator().manual_seed(seed))
    errors = white.clone()
    for t in range(1, T):
        errors[t] = CORRELATION * errors[t - 1] + (1 - CORRELATION**2) ** 0.5 * white[t]
    points = (points + noise * half[:, None, None] * errors).numpy()
    confidence = np.full(25, 0.95, np.float32)
    confidence[NEVER_SEEN] = 0.0
    seen = [Keypoints2D(points[t], confidence, CAMERA.width, CAMERA.height, stamp_ns(t)) for t in range(T)]
    return Observed(rotations, pelvis, joints, seen)


def stamp_ns(frame: int) -> int:
    """Acquisition time of a frame."""
    return round(frame * FRAME_S * 1e9)
