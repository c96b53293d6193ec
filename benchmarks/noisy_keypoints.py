"""Motion capture before a camera, as a noisy detector sees it: the data of the benchmarks of live use.

Noise is Gaussian, correlated from frame to frame. What goes wrong with real detectors can be added: a limb is hidden
for a while, left and right are exchanged, the picture cuts to somebody else.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from diffmocap.body.mocap import MotionClip
from diffmocap.body.model import BodyModel
from diffmocap.body.skeleton import KEYPOINT_MIRROR, KEYPOINT_NAMES
from diffmocap.camera.projection import project
from diffmocap.keypoints.side_exchange import reordered
from diffmocap.lifting.condition import FACING
from diffmocap.types import CameraIntrinsics, Keypoints2D

CAMERA = CameraIntrinsics.from_fov(640, 480)
FRAME_S = 1 / 30
#: Detector: standard deviation over the box's half-size, and correlation from one frame to the next.
NOISE, CORRELATION = 0.02, 0.7
#: MediaPipe has no small toes.
NEVER_SEEN = [KEYPOINT_NAMES.index(name) for name in ("LSmallToe", "RSmallToe")]
_LEG = ("Knee", "Ankle", "BigToe", "SmallToe", "Heel")
#: What hides together, as names of keypoints: an arm, a hand, a leg ...
LIMBS = tuple(tuple(side + name for name in names) for side in "LR" for names in (("Elbow", "Wrist"), ("Wrist",), _LEG))
#: ... the head, half of the body where the image ends.
HALVES = (
    ("Nose", "LEye", "REye", "LEar", "REar"),
    ("MidHip", *(side + name for side in "LR" for name in ("Hip", *_LEG))),
    ("Nose", "LEye", "REye", "LEar", "REar", "Neck", *(s + n for s in "LR" for n in ("Shoulder", "Elbow", "Wrist"))),
)


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
    clip: MotionClip, yaw: float, body: BodyModel, frames: int, seed: int = 0, at_m: tuple = (0.1, 0.1, 4.5)
) -> Observed:
    """The first ``frames`` of a clip, turned by ``yaw`` [rad] and centred ``at_m`` in the optical frame."""
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
    noise = white.clone()
    for t in range(1, T):
        noise[t] = CORRELATION * noise[t - 1] + (1 - CORRELATION**2) ** 0.5 * white[t]
    points = (points + NOISE * half[:, None, None] * noise).numpy()
    confidence = np.full(25, 0.95, np.float32)
    confidence[NEVER_SEEN] = 0.0
    seen = [Keypoints2D(points[t], confidence, CAMERA.width, CAMERA.height, _stamp_ns(t)) for t in range(T)]
    return Observed(rotations, pelvis, joints, seen)


def hide_parts(
    observed: Observed, every: int, frames: int, seed: int = 0, parts: tuple[tuple[str, ...], ...] = LIMBS
) -> Observed:
    """Every ``every`` frames one of the parts at random has no keypoints for ``frames`` frames."""
    g = np.random.default_rng(seed)
    keypoints = list(observed.keypoints)
    for start in range(every // 2, len(keypoints), every):
        hidden = [KEYPOINT_NAMES.index(name) for name in parts[g.integers(len(parts))]]
        for t in range(start, min(start + frames, len(keypoints))):
            confidence = keypoints[t].confidence.copy()
            confidence[hidden] = 0.0
            keypoints[t] = replace(keypoints[t], confidence=confidence)
    return replace(observed, keypoints=keypoints)


def exchange_sides(observed: Observed, every: int, frames: int) -> Observed:
    """Every ``every`` frames left and right keypoints are exchanged for ``frames`` frames."""
    keypoints = list(observed.keypoints)
    mirror = np.array(KEYPOINT_MIRROR)
    for start in range(every, len(keypoints), every):
        for t in range(start, min(start + frames, len(keypoints))):
            keypoints[t] = reordered(keypoints[t], mirror)
    return replace(observed, keypoints=keypoints)


def cut_together(parts: list[Observed]) -> Observed:
    """One sequence without a gap in time."""
    keypoints = [k for part in parts for k in part.keypoints]
    return Observed(
        *(torch.cat([getattr(part, name) for part in parts]) for name in ("rotations", "pelvis", "joints")),
        [replace(k, stamp_ns=_stamp_ns(t)) for t, k in enumerate(keypoints)],
        tuple(np.cumsum([len(part) for part in parts])[:-1].tolist()),
    )


def _stamp_ns(frame: int) -> int:
    return round(frame * FRAME_S * 1e9)
