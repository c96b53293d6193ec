"""Temporal smoothing of lifted poses: the refiner for when no physics runs.

One-euro filters on SO(3)^24 and R^3. They need no model of motion, cost well under a
millisecond, and their two parameters trade jitter against lag in a way a user can feel.
"""

from __future__ import annotations

import torch

from diffmocap.body.model import BodyModel
from diffmocap.lifting.tracking.track import TrackedPoses
from diffmocap.refinement.filter.one_euro import OneEuroFilter, Rotations, Vectors
from diffmocap.refinement.filter.pose_covariance import PoseErrors
from diffmocap.refinement.filter.settings import SmootherSettings
from diffmocap.types import BodyState, CameraIntrinsics, Keypoints2D


class Smoother:
    """A :class:`~diffmocap.refinement.refiner.Refiner` of one-euro filters.

    ``settings`` may be replaced between calls.

    Args:
        body: on the CPU, as the hypotheses are.
        errors: what is known of the errors of such poses; None: the shipped figures.
    """

    def __init__(
        self, body: BodyModel, settings: SmootherSettings | None = None, errors: PoseErrors | None = None
    ) -> None:
        self.settings = settings or SmootherSettings()
        self._body = body
        self._errors = errors or PoseErrors.load()
        self._rotations = OneEuroFilter(Rotations())
        self._pelvis = OneEuroFilter(Vectors())
        self._stamp_ns: int | None = None
        self._output: BodyState | None = None

    def reset(self, camera_moved: bool = False) -> None:
        """Forget the track; the next pose passes unfiltered."""
        self._rotations.reset()
        self._pelvis.reset()
        self._stamp_ns = self._output = None

    @torch.no_grad()
    def refine(
        self,
        tracked: TrackedPoses,
        keypoints: Keypoints2D,
        intrinsics: CameraIntrinsics,
        budget_ms: float | None = None,
    ) -> BodyState:
        """Filter the followed hypothesis; see :class:`~diffmocap.refinement.refiner.Refiner`.

        A stamp that repeats, or lies before the last one by less than ``max_gap_s``, returns the last
        output again; one that jumps further back (a looped recording, a reset clock) starts a new track.
        """
        pose = self.filter(tracked)
        if pose is not None:
            self._output = self.state_of(tracked, *pose, torch.from_numpy(keypoints.confidence))
        return self._output

    def filter(self, tracked: TrackedPoses) -> tuple[torch.Tensor, torch.Tensor] | None:
        """Rotations [24, 3, 3] and pelvis [3] m of the followed hypothesis, filtered; None for a stamp that repeats, or
        lies before the last one by less than ``max_gap_s``."""
        settings, poses, dt_s = self.settings, tracked.poses, 0.0
        if self._stamp_ns is not None:
            dt_s = (poses.stamp_ns - self._stamp_ns) * 1e-9
            if abs(dt_s) > settings.max_gap_s:
                self.reset()
            elif dt_s <= 0.0:
                return None
        self._stamp_ns = poses.stamp_ns
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
            stamp_ns=tracked.poses.stamp_ns,
            score=float(tracked.poses.score[tracked.followed]),
        )
