"""Windows of motion capture as the product meets them: a noisy detector's keypoints, lifted, before any refinement.

    clip -> camera, noisy keypoints -> pose pipeline without its filter -> K hypotheses per frame -> windows

Training and benchmarks of the refinement share this: what a window holds besides the truth is what a user's would.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch

from diffmocap.body.model import BodyModel
from diffmocap.body.motion_clip import MotionClip
from diffmocap.body.urdf import read_urdf
from diffmocap.lifting.lifter import Lifter
from diffmocap.lifting.settings import LiftingSettings
from diffmocap.physics.contact_points import ContactPoints
from diffmocap.physics.ground import Ground, find_ground
from diffmocap.physics.segments import BodySegments
from diffmocap.physics.tree import global_poses
from diffmocap.pipeline.pose_pipeline import PosePipeline
from diffmocap.pipeline.settings import PipelineSettings
from diffmocap.refinement.filter.pose_covariance import PoseErrors
from diffmocap.refinement.filter.pose_filter import PoseFilter
from diffmocap.refinement.filter.settings import FilterSettings
from diffmocap.refinement.window.body_points import BodyPoints
from diffmocap.refinement.window.window import Window
from training.lifting.noisy_keypoints import CAMERA, FRAME_S, NOISE, Observed, observe
from training.motions.kept_records import load_records, save_records

#: Hypotheses a frame and sampler steps of offline lifting.
HYPOTHESES, STEPS = 4, 5
#: Against gravity in the optical frame of a level camera.
UP = (0.0, -1.0, 0.0)


@dataclass(frozen=True)
class LiftedMotion:
    """T frames of one person: the truth, and what was seen and lifted, in the optical frame of a level camera.

    Attributes:
        true_rotations: [T, 24, 3, 3] local. true_pelvis: [T, 3] m. height: [] m of the ground along :data:`UP`.
        rotations: [K, T, 24, 3, 3], pelvis: [K, T, 3] m, log_weights: [K, T] nats; hypothesis 0 is the followed one.
        lifted: [T] bool. points_px: [T, 25, 2]. confidence: [T, 25].
        rotation_spread: [T, 24] rad. pelvis_precision: [T, 3, 3] 1/m^2.
    """

    true_rotations: torch.Tensor
    true_pelvis: torch.Tensor
    height: torch.Tensor
    rotations: torch.Tensor
    pelvis: torch.Tensor
    log_weights: torch.Tensor
    lifted: torch.Tensor
    points_px: torch.Tensor
    confidence: torch.Tensor
    rotation_spread: torch.Tensor
    pelvis_precision: torch.Tensor

    def __len__(self) -> int:
        return len(self.true_pelvis)

    def frames(self, start: int, stop: int) -> LiftedMotion:
        """The part [start, stop)."""
        part = slice(start, stop)
        along_first = ("rotations", "pelvis", "log_weights")
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return LiftedMotion(**{
            name: value if name == "height" else value[:, part] if name in along_first else value[part]
            for name, value in values.items()
        })  # fmt: skip


class MotionLifter:
    """Lifts clips before cameras with the shipped models."""

    def __init__(self, body: BodyModel | None = None, hypotheses: int = HYPOTHESES, steps: int = STEPS) -> None:
        self.body = body or BodyModel.load()
        settings = PipelineSettings(
            lifting=LiftingSettings(
                hypotheses=hypotheses, steps=steps, guidance=0.0, sampler="ddim", fresh_noise=True
            ), refinement=FilterSettings(enabled=False)
        )  # fmt: skip
        self._pipeline = PosePipeline(Lifter.load(None, self.body), PoseFilter(self.body), self.body, settings)
        self.points = BodyPoints.from_body(
            self.body, BodySegments.from_urdf(read_urdf()), ContactPoints.from_body(self.body)
        ).to(dtype=torch.float32)
        self._errors = PoseErrors.load()

    def lift(
        self, clip: MotionClip, yaw: float = 0.0, frames: int = 96, seed: int = 0, noise: float = NOISE,
        at_m: tuple[float, float, float] = (0.1, 0.1, 4.5),
    ) -> LiftedMotion:  # fmt: skip
        """The first ``frames`` of a clip that fits the body (:func:`diffmocap.body.mocap.retarget`), seen from a side.

        Args: as :func:`training.lifting.noisy_keypoints.observe`.
        """
        return self.lift_observed(observe(clip, yaw, self.body, frames, seed, at_m, noise))

    @torch.no_grad()
    def lift_observed(self, observed: Observed) -> LiftedMotion:
        """What lifting makes of keypoints; frames of which it makes nothing are not ``lifted``."""
        pipeline, k, t = self._pipeline, self._pipeline.settings.lifting.hypotheses, len(observed)
        pipeline.reset()
        rotations, pelvis = torch.eye(3).repeat(k, t, 24, 1, 1), torch.zeros(k, t, 3)
        log_weights, lifted = torch.full((k, t), -torch.inf), torch.zeros(t, dtype=torch.bool)
        for frame, keypoints in enumerate(observed.keypoints):
            tracked = pipeline.step(keypoints, CAMERA).tracked
            if tracked is None:
                continue
            order = [tracked.followed, *(i for i in range(k) if i != tracked.followed)]
            rotations[:, frame], pelvis[:, frame] = tracked.poses.rotations[order], tracked.poses.pelvis[order]
            log_weights[:, frame], lifted[frame] = tracked.log_weights[order], True
        confidence = torch.from_numpy(np.stack([keypoints.confidence for keypoints in observed.keypoints]))
        return LiftedMotion(
            observed.rotations, observed.pelvis, self._ground_height(observed), rotations, pelvis, log_weights, lifted,
            torch.from_numpy(np.stack([keypoints.points_px for keypoints in observed.keypoints])), confidence,
            *self._spreads(confidence, pelvis[0]),
        )  # fmt: skip

    def _ground_height(self, observed: Observed) -> torch.Tensor:
        """[] m: where the soles of the truth rest."""
        turned, _ = global_poses(observed.rotations, observed.pelvis, self.points.bones)
        soles = self.points.soles(turned, observed.pelvis)
        return find_ground(soles, FRAME_S, torch.tensor(UP)).height.float()

    def _spreads(self, confidence: torch.Tensor, pelvis: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Standard deviations [T, 24] rad and precisions [T, 3, 3] 1/m^2 of poses as their errors were measured."""
        rotation = torch.stack([self._errors.rotation_prior(c) for c in confidence])
        spread = (rotation.diagonal(dim1=-2, dim2=-1).mean(-1)).sqrt()
        precision = [torch.linalg.inv(self._errors.pelvis_prior(c, p)) for c, p in zip(confidence, pelvis)]
        return spread, torch.stack(precision)


def window_of(motions: list[LiftedMotion]) -> Window:
    """Motions of equal length as one batch of windows, float32; the ground is given."""
    names = (
        "rotations", "pelvis", "log_weights", "lifted", "rotation_spread", "pelvis_precision", "points_px", "confidence"
    )  # fmt: skip
    stacked = {name: torch.stack([getattr(m, name) for m in motions]) for name in names}
    batch = len(motions)
    return Window(
        dt_s=FRAME_S, **stacked,
        K=torch.tensor(CAMERA.matrix, dtype=torch.float32).expand(batch, 3, 3).clone(),
        T_camera_motion=torch.eye(3, 4).expand(batch, 3, 4).clone(),
        ground=Ground(torch.tensor(UP).expand(batch, 3).clone(), torch.stack([m.height for m in motions])),
    )  # fmt: skip


def cut(motion: LiftedMotion, frames: int = 32, stride: int | None = None) -> list[LiftedMotion]:
    """Windows of a motion, ``stride`` frames (default: ``frames``) apart, those without any pose left out."""
    starts = range(0, len(motion) - frames + 1, stride or frames)
    parts = [motion.frames(start, start + frames) for start in starts]
    return [part for part in parts if bool(part.lifted.any())]


def save_motions(motions: list[LiftedMotion], path: Path) -> None:
    """Writes motions as safetensors."""
    save_records(motions, path)


def load_motions(path: Path) -> list[LiftedMotion]:
    """Reads what :func:`save_motions` wrote.

    Raises:
        MotionFileError: the file is missing or holds something else.
    """
    return load_records(LiftedMotion, path, "lifted motions")


def view_of(generator: torch.Generator) -> dict:
    """A random side, place, noise and seed for :meth:`MotionLifter.lift`."""
    u = torch.rand(5, generator=generator).tolist()
    return {
        "yaw": 2 * math.pi * u[0], "at_m": (u[1] - 0.5, 0.1, 3.5 + 2.0 * u[2]), "noise": 0.01 + 0.02 * u[3],
        "seed": int(1e6 * u[4]),
    }  # fmt: skip
