"""Figures of motions against the truth, the same for every method, and their bootstrap intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from benchmarks.refinement.judge import RootJudge
from benchmarks.refinement.pybullet_rollout import PybulletCharacter, Rollout
from diffmocap.body.model import BodyModel
from diffmocap.evaluation import motion_metrics as metrics
from diffmocap.evaluation.bootstrap import interval
from diffmocap.physics.articulated import ArticulatedBody
from diffmocap.physics.ground import Ground
from diffmocap.physics.simulation import BodyMotionState

#: Subjects whose feet slide in the capture itself: their windows have no figure of foot skate.
SLIDING = ("94",)


@dataclass(frozen=True)
class Truth:
    """B motions of T frames as they were, in the frame that estimates are in.

    Attributes:
        rotations: [B, T, 24, 3, 3] local. pelvis: [B, T, 3] m. dt_s: between frames.
        up: [B, 3]. height: [B] m, of the floor along it.
        contacts: [B, T, P] bool, as :meth:`RootJudge.contacts` labels the whole take.
        K: [B, 3, 3] camera matrix [px]. camera: [B, 3, 4] takes positions to the optical frame.
        clips, subjects: of each motion; clips are the clusters of bootstrap intervals.
    """

    rotations: np.ndarray
    pelvis: np.ndarray
    dt_s: float
    up: np.ndarray
    height: np.ndarray
    contacts: np.ndarray
    K: np.ndarray
    camera: np.ndarray
    clips: tuple[str, ...]
    subjects: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.pelvis)


@dataclass(frozen=True)
class Referee:
    """What figures are computed with: one body."""

    body: BodyModel
    judge: RootJudge

    def figures(self, rotations: np.ndarray, pelvis: np.ndarray, truth: Truth) -> dict[str, np.ndarray]:
        """Every figure [B] of motions [B, T, 24, 3, 3] and [B, T, 3]; NaN where one has no meaning."""
        rows = [self._one(np.asarray(rotations[b], float), np.asarray(pelvis[b], float), truth, b)
                for b in range(len(truth))]  # fmt: skip
        return {key: np.array([row[key] for row in rows]) for key in rows[0]}

    def _one(self, rotations: np.ndarray, pelvis: np.ndarray, truth: Truth, b: int) -> dict[str, float]:
        joints = self.judge.poses(rotations, pelvis)[1]
        true_motion = truth.rotations[b], truth.pelvis[b]
        wanted = self.judge.poses(*true_motion)[1]
        up, ground = truth.up[b], {"up": truth.up[b], "height": float(truth.height[b])}
        skate, source = (metrics.foot_skate_percent(self.soles(*motion, up), **ground)
                         for motion in ((rotations, pelvis), true_motion))  # fmt: skip
        slides = truth.subjects[b] in SLIDING
        left = self.judge.unexplained(rotations, pelvis, truth.dt_s, up, truth.contacts[b])
        pixels, true_pixels = (self.keypoints(motion, truth, b) for motion in ((rotations, pelvis), true_motion))
        return {
            "mpjpe_mm": metrics.mpjpe_root_mm(joints, wanted), "mpjpe_g_mm": metrics.mpjpe_global_mm(joints, wanted),
            "pa_mpjpe_mm": metrics.pa_mpjpe_mm(joints, wanted),
            "mpjpe_2d_px": metrics.keypoint_error_px(pixels, true_pixels),
            "tv": metrics.acceleration_variation(joints, 1 / truth.dt_s),
            "foot_skate_pct": np.nan if slides else skate - source,
            "foot_skate_raw_pct": np.nan if slides else skate,
        } | left.figures()  # fmt: skip

    def soles(self, rotations: np.ndarray, pelvis: np.ndarray, up: np.ndarray) -> np.ndarray:
        """Points of both soles [T, 2, 4, 3] m."""
        names = self.judge.point_names
        places = [[i for i, n in enumerate(names) if n.startswith(side) and not n.endswith(("hand", "knee"))]
                  for side in ("left", "right")]  # fmt: skip
        return self.judge.contact_positions(rotations, pelvis, up)[:, places]

    def keypoints(self, motion: tuple[np.ndarray, np.ndarray], truth: Truth, b: int) -> np.ndarray:
        """BODY_25 keypoints [T, 25, 2] px of a motion before the window's camera."""
        points = self.body.keypoints(*(torch.from_numpy(x).float() for x in motion)).double().numpy()
        optical = points @ truth.camera[b, :, :3].T + truth.camera[b, :, 3]
        image = optical @ truth.K[b].T
        return image[..., :2] / image[..., 2:]


def rollout(
    rotations: torch.Tensor, pelvis: torch.Tensor, dt_s: float, ground: Ground, body: ArticulatedBody
) -> Rollout:
    """A motion [T, 24, 3, 3], [T, 3] as targets of PyBullet's character, from its own first frame and velocity.

    It is lost when its pelvis is 0.3 m off this very motion's. ``body`` and ``ground`` float64, of batch none.
    """
    rotations, pelvis = rotations.double(), pelvis.double()
    start = BodyMotionState.of_motion(rotations[None], pelvis[None], dt_s, body)
    with PybulletCharacter(body, ground) as character:
        return character.rollout(start, rotations[:, 1:], pelvis, dt_s)


def change(before: np.ndarray, after: np.ndarray, clusters: Sequence[str]) -> list[float]:
    """Mean after over mean before, paired, with its interval."""
    return [round(x, 4) for x in interval([before, after], clusters, lambda b, a: a / b)]
