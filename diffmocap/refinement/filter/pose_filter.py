"""Causal filter of lifted poses: the refiner where no physics runs.

One-euro filters on SO(3)^24 and R^3. They need no model of motion, cost well under a
millisecond, and their two parameters trade jitter against lag in a way a user can feel.
"""

from __future__ import annotations

import torch

from diffmocap.body.model import BodyModel
from diffmocap.lifting.tracking.track import TrackedPoses
from diffmocap.refinement.filter.one_euro import OneEuroFilter, Rotations, Vectors
from diffmocap.refinement.filter.pose_covariance import PoseErrors
from diffmocap.refinement.filter.settings import FilterSettings
from diffmocap.refinement.refiner import Refined
from diffmocap.types import BodyState, CameraIntrinsics, Keypoints2D


class PoseFilter:
    """A :class:`~diffmocap.refinement.refiner.Refiner` of one-euro filters.

    ``settings`` may be replaced between calls.

    Args:
        body: on the CPU, as the hypotheses are.
        errors: what is known of the errors of such poses; None: the shipped figures.
    """

    def __init__(
        self, body: BodyModel, settings: FilterSettings | None = None, errors: PoseErrors | None = None
    ) -> None:
        self.settings = settings or FilterSettings()
        self._body = body
        self._errors = errors or PoseErrors.load()
        self._rotations = OneEuroFilter(Rotations())
        self._pelvis = OneEuroFilter(Vectors())

    def reset(self, camera_moved: bool = False) -> None:
        """Forget the track; the next pose passes unfiltered."""
        self._rotations.reset()
        self._pelvis.reset()

    @torch.no_grad()
    def refine(
        self,
        tracked: TrackedPoses,
        keypoints: Keypoints2D,
        intrinsics: CameraIntrinsics,
        dt_s: float,
        restarted: bool,
        budget_ms: float | None = None,
    ) -> Refined:
        """Filter the followed hypothesis; see :class:`~diffmocap.refinement.refiner.Refiner`."""
        if restarted:
            self.reset()
        pose = self.filter(tracked, dt_s)
        return Refined(self.state_of(tracked, *pose, torch.from_numpy(keypoints.confidence)), tracked)

    def filter(self, tracked: TrackedPoses, dt_s: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Rotations [24, 3, 3] and pelvis [3] m of the followed hypothesis, filtered, ``dt_s`` after the last ones."""
        settings, poses = self.settings, tracked.poses
        rotations, pelvis = poses.rotations[tracked.followed], poses.pelvis[tracked.followed]
        # The filter runs where it is off, too: it is ready to be turned on.
        smooth_rotations = self._rotations.filter(rotations, dt_s, settings.rotation)
        smooth_pelvis = self._pelvis.filter(pelvis[None], dt_s, settings.pelvis)[0]
        return (smooth_rotations, smooth_pelvis) if settings.enabled else (rotations, pelvis)

    def state_of(
        self, tracked: TrackedPoses, rotations: torch.Tensor, pelvis: torch.Tensor, confidence: torch.Tensor
    ) -> BodyState:
        """What is published of a pose made from the hypotheses, with keypoints of ``confidence`` [25] behind them."""
        covariances = self._errors.covariances(tracked, rotations, pelvis, confidence)
        _, joints = self._body.forward_kinematics(rotations[None], pelvis[None])
        return BodyState(
            rotations=rotations,
            pelvis=pelvis,
            rotation_covariance=covariances[0],
            pelvis_covariance=covariances[1],
            joint_positions=joints[0],
            score=float(tracked.poses.score[tracked.followed]),
        )
