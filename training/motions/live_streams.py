"""Streams of lifted poses whose true motion is known, as the pose node hands them to its refinement.

``lifting``: motion capture before a camera with a detector's noise, lifted frame by frame as the node does.
``synthetic``: the true poses with errors of a chosen size that drift, which is quicker and has no bias of a model's.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import roma
import torch

from diffmocap.body.mocap import retarget
from diffmocap.body.model import BodyModel
from diffmocap.body.motion_clip import MotionClip
from diffmocap.pipeline.pose_pipeline import PosePipeline
from diffmocap.pipeline.settings import PipelineSettings
from diffmocap.refinement.stream.window_buffer import LiveFrame
from diffmocap.timing.track_clock import ClockSettings, TrackClock
from training.lifting.noisy_keypoints import CAMERA, NOISE, observe

#: Against gravity, in the optical frame of a level camera.
UP = (0.0, -1.0, 0.0)
FPS = 30.0
#: Standard deviations on each axis of synthetic errors [rad, m]: drifting, and anew in every frame. Depth drifts more.
_TURN, _SHAKE_RAD, _ACROSS_M, _ALONG_M, _SHAKE_M = 0.1, 0.03, 0.01, 0.06, 0.01
_DRIFT = 0.9
#: Toes and hands hardly move in lifting.
_STIFF, _STIFF_SHARE = [10, 11, 22, 23], 0.3


@dataclass(frozen=True)
class LiveStream:
    """T frames in the optical frame.

    Attributes:
        name: of the clip. frames: what comes in; a frame's heaviest hypothesis is the unrefined pose.
        stamps_ns: their acquisition times.
        rotations: [T, 24, 3, 3] local, pelvis: [T, 3] m, of the true motion.
        ground_height: of the floor along ``UP`` [m].
    """

    name: str
    frames: list[LiveFrame]
    stamps_ns: list[int]
    rotations: torch.Tensor
    pelvis: torch.Tensor
    ground_height: float

    def steps(self) -> Iterator[tuple[LiveFrame, float, bool]]:
        """Frame, time since the last one [s] and whether a track begins, as the pipeline's clock says it."""
        clock, settings = TrackClock(), ClockSettings()
        for frame, stamp_ns in zip(self.frames, self.stamps_ns, strict=True):
            tick = clock.tick(stamp_ns, settings)
            clock.pose_came()
            yield frame, tick.dt_s, tick.restarted


def live_stream(
    clip: MotionClip, body: BodyModel, noise: str = "lifting", frames: int = 100, yaw: float = 0.0, seed: int = 0,
    pipeline: PosePipeline | None = None, at_m: tuple[float, float, float] = (0.1, 0.1, 4.5),
    keypoint_noise: float = NOISE,
) -> LiveStream:  # fmt: skip
    """The first ``frames`` of a clip, turned by ``yaw`` [rad], before a level camera that sees it at ``at_m``.

    ``keypoint_noise``: standard deviation over half the size of the person. Frames that lifting makes no pose of have
    none here either.
    """
    worn = retarget(clip, body)
    seen = observe(worn, yaw, body, frames, seed, at_m, keypoint_noise)
    height = -(float(worn.pelvis[: len(seen), 1].mean()) + at_m[1])  # ``observe`` puts the mean there
    if noise == "lifting":
        pipeline = pipeline or PosePipeline.load()
        pipeline.settings = PipelineSettings()  # hypotheses are looked at, not what is published
        pipeline.reset()
        poses = [_lifted(pipeline, k) for k in seen.keypoints]
    else:
        poses = _shaken(seen.rotations, seen.pelvis, torch.Generator().manual_seed(seed))
    K = torch.tensor(CAMERA.matrix, dtype=torch.float32)
    stream = [
        LiveFrame(*pose, torch.from_numpy(np.asarray(k.points_px, np.float32)),
                  torch.from_numpy(k.confidence), K)
        for k, pose in zip(seen.keypoints, poses, strict=True)
    ]  # fmt: skip
    stamps_ns = [k.stamp_ns for k in seen.keypoints]
    return LiveStream(clip.name, stream, stamps_ns, seen.rotations, seen.pelvis, height)


def _lifted(pipeline: PosePipeline, keypoints) -> tuple:
    tracked = pipeline.step(keypoints, CAMERA).tracked
    if tracked is None:
        return None, None, None
    poses = tracked.poses
    weights = torch.full_like(poses.score, -10.0)
    weights[tracked.followed] = 0.0
    return poses.rotations, poses.pelvis, weights


def _shaken(rotations: torch.Tensor, pelvis: torch.Tensor, g: torch.Generator) -> Sequence[tuple]:
    turn = _TURN * _drifting(rotations.shape[:3], g) + _SHAKE_RAD * torch.randn(rotations.shape[:3], generator=g)
    turn[:, _STIFF] *= _STIFF_SHARE
    shaken = rotations @ roma.rotvec_to_rotmat(turn)
    spread = torch.tensor([_ACROSS_M, _ACROSS_M, _ALONG_M])
    moved = pelvis + spread * _drifting(pelvis.shape, g) + _SHAKE_M * torch.randn(pelvis.shape, generator=g)
    return [(r[None], p[None], torch.zeros(1)) for r, p in zip(shaken, moved)]


def _drifting(shape: Sequence[int], g: torch.Generator) -> torch.Tensor:
    """Noise [T, ...] of unit variance whose neighbours in time are correlated."""
    noise = torch.randn(shape, generator=g)
    for t in range(1, len(noise)):
        noise[t] = _DRIFT * noise[t - 1] + math.sqrt(1 - _DRIFT**2) * noise[t]
    return noise
