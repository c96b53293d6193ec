"""Keypoints in, pose and joint angles out: lifting, refinement and what a robot wants to know of it.

No ROS here: the pose node converts messages and calls :meth:`PosePipeline.step`; the command line
calls the same on a file.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from diffmocap.body.joint_angles import NUM_ANGLES, angles_from_rotations
from diffmocap.body.model import BodyModel
from diffmocap.camera.projection import project
from diffmocap.device import resolve_device
from diffmocap.errors import DiffmocapError
from diffmocap.keypoints.side_exchange import SideKeeper, SideSettings
from diffmocap.lifting.lifter import Lifter, LiftingSettings
from diffmocap.lifting.track import HypothesisTrack, TrackedPoses, TrackSettings
from diffmocap.refinement.refiner import Refiner
from diffmocap.refinement.smoother import Smoother, SmootherSettings
from diffmocap.types import BodyState, CameraIntrinsics, Keypoints2D, PoseHypotheses


class Outcome(Enum):
    """What came of one set of keypoints."""

    TRACKED = "tracked"
    STARTED = "started"  #: first pose of a track: nothing before it was used
    RESTARTED = "restarted"  #: the same, because the track was found to be lost
    UNSEEN = "unseen"  #: too few keypoints for a pose
    STALE = "stale"  #: the stamp is not newer than the last one


@dataclass(frozen=True)
class PipelineSettings:
    """Settings of the stages, replaceable while the pipeline runs."""

    sides: SideSettings = field(default_factory=SideSettings)
    lifting: LiftingSettings = field(default_factory=LiftingSettings)
    track: TrackSettings = field(default_factory=TrackSettings)
    refinement: SmootherSettings = field(default_factory=SmootherSettings)


@dataclass(frozen=True)
class PoseResult:
    """Result of one step; ``state`` and all below it are None unless the outcome is a pose.

    Attributes:
        outcome: what happened.
        stamp_ns: acquisition time of the image.
        timings_ms: duration of each stage by name, and "total".
        state: refined pose.
        tracked: the hypotheses, and which of them was followed.
        joint_angles: [69] rad, float64, continuous within a track.
        joint_velocities: [69] rad/s, float64, over the step from the pose before; zero at a start.
    """

    outcome: Outcome
    stamp_ns: int
    timings_ms: dict[str, float]
    state: BodyState | None = None
    tracked: TrackedPoses | None = None
    joint_angles: np.ndarray | None = None
    joint_velocities: np.ndarray | None = None


class LiftingStage(Protocol):
    """The part of :class:`~diffmocap.lifting.lifter.Lifter` that the pipeline uses."""

    def lift(
        self,
        keypoints: Keypoints2D,
        intrinsics: CameraIntrinsics,
        settings: LiftingSettings,
        previous: PoseHypotheses | None = None,
    ) -> PoseHypotheses | None: ...


class PosePipeline:
    """One person's track through lifting and refinement.

    Args:
        lifter: on any device.
        refiner: turns hypotheses into one pose; gets its settings from here.
        body: the person's body, on the CPU.
        settings: may be replaced at any time by assigning ``settings``; the next step uses them.
    """

    def __init__(
        self, lifter: LiftingStage, refiner: Refiner, body: BodyModel, settings: PipelineSettings | None = None
    ) -> None:
        self.settings = settings or PipelineSettings()
        self.body = body
        self._lifter = lifter
        self._refiner = refiner
        self._sides = SideKeeper()
        self._track = HypothesisTrack(body)
        self._lock = threading.Lock()
        self._previous: PoseResult | None = None

    @classmethod
    def load(
        cls,
        weights: str | Path | None = None,
        body_model: str | Path | None = None,
        device: str = "cpu",
        settings: PipelineSettings | None = None,
    ) -> "PosePipeline":
        """Load the models; None or an empty path means the shipped ones.

        Raises:
            ModelFileError: a file is missing, corrupt or of the wrong kind.
            DeviceError: the device is unknown or absent.
        """
        lifter = load_lifter(weights, body_model, device)
        body = BodyModel.load(body_model or None)
        return cls(lifter, Smoother(body), body, settings)

    @property
    def max_gap_s(self) -> float:
        """Silence after which the next pose starts a new track."""
        return self.settings.refinement.max_gap_s

    def replace_lifter(self, lifter: LiftingStage) -> None:
        """Continue the track with another lifter, for example on another device."""
        with self._lock:
            self._lifter = lifter

    def reset(self) -> None:
        """Forget the track."""
        with self._lock:
            self._reset()

    def warm_up(self, steps: int = 2) -> None:
        """Lift a T-pose a few times and forget it: the first calls of a process are slow."""
        upright = torch.eye(3).repeat(1, 24, 1, 1)
        upright[:, 0] = torch.diag(torch.tensor([1.0, -1.0, -1.0]))
        intrinsics = CameraIntrinsics.from_fov(640, 480)
        points_m = self.body.keypoints(upright, torch.tensor([[0.0, 0.0, 3.0]]))
        points = project(points_m, torch.tensor(intrinsics.matrix).float())
        for i in range(steps):
            self.step(
                Keypoints2D(points[0].numpy(), np.ones(25, np.float32), 640, 480, stamp_ns=i * 33_000_000), intrinsics
            )
        self.reset()

    @torch.no_grad()
    def step(self, keypoints: Keypoints2D, intrinsics: CameraIntrinsics) -> PoseResult:
        """Process the keypoints of the next image.

        Images may be skipped and stamps may jump: a repeated or slightly older stamp is
        :attr:`Outcome.STALE`, a gap or a jump back of more than ``max_gap_s`` starts a new track.

        Raises:
            DiffmocapError: the lifter failed; the track is forgotten.
        """
        with self._lock:
            settings = self.settings
            self._refiner.settings = settings.refinement
            clock = _Stopwatch()
            dt_s = 0.0
            if self._previous is not None:
                dt_s = (keypoints.stamp_ns - self._previous.stamp_ns) * 1e-9
                if abs(dt_s) > settings.refinement.max_gap_s:
                    self._reset()
                elif dt_s <= 0.0:
                    return PoseResult(Outcome.STALE, keypoints.stamp_ns, clock.stop())
            return self._lift_and_refine(keypoints, intrinsics, settings, dt_s, clock)

    def _lift_and_refine(
        self,
        keypoints: Keypoints2D,
        intrinsics: CameraIntrinsics,
        settings: PipelineSettings,
        dt_s: float,
        clock: "_Stopwatch",
    ) -> PoseResult:
        self._track.settings = settings.track
        seen = _as_lifted(keypoints, intrinsics, settings.lifting.min_confidence)
        seen = self._sides.keep(seen, settings.sides)

        def lift(previous: PoseHypotheses | None) -> PoseHypotheses | None:
            poses = self._lifter.lift(seen, intrinsics, settings.lifting, previous)
            if poses is not None:
                self._require_finite(poses)
            return poses

        continues = settings.lifting.warm_start or settings.lifting.use_previous
        tracked = self._track.step(lift, seen, settings.lifting.hypotheses, continues)
        clock.lap("lift")
        if tracked is None:
            return PoseResult(Outcome.UNSEEN, keypoints.stamp_ns, clock.stop())
        before = self._previous
        if tracked.restarted:
            before = None
            self._refiner.reset()

        state = self._refiner.refine(tracked, seen, intrinsics)
        clock.lap("refine")

        last_angles = None if before is None else torch.from_numpy(before.joint_angles)
        angles = angles_from_rotations(state.rotations.double(), last_angles).numpy()
        velocities = np.zeros(NUM_ANGLES) if before is None else (angles - before.joint_angles) / dt_s
        clock.lap("angles")

        outcome = Outcome.TRACKED
        if before is None:
            outcome = Outcome.RESTARTED if tracked.restarted else Outcome.STARTED
        result = PoseResult(outcome, keypoints.stamp_ns, clock.stop(), state, tracked, angles, velocities)
        self._previous = result
        return result

    def _require_finite(self, poses: PoseHypotheses) -> None:
        if all(bool(x.isfinite().all()) for x in (poses.rotations, poses.pelvis, poses.score)):
            return
        self._reset()
        raise DiffmocapError(
            "lifting gave a pose that is not finite; the track starts again. If it comes back, lower `guidance`, "
            "check camera_info, or check the weights file"
        )

    def _reset(self) -> None:
        self._sides.reset()
        self._track.reset()
        self._refiner.reset()
        self._previous = None


def load_lifter(weights: str | Path | None, body_model: str | Path | None, device: str) -> Lifter:
    """A lifter with a body on its own device; see :meth:`PosePipeline.load`."""
    resolve_device(device)
    return Lifter.load(weights or None, BodyModel.load(body_model or None, device), device)


def _as_lifted(keypoints: Keypoints2D, intrinsics: CameraIntrinsics, min_confidence: float) -> Keypoints2D:
    """What counts of the keypoints, without lens distortion."""
    missing = keypoints.confidence < min_confidence
    if (missing & (keypoints.confidence > 0)).any():
        confidence = np.where(missing, np.float32(0.0), keypoints.confidence)
        keypoints = replace(keypoints, confidence=confidence)
    if not intrinsics.distortion:
        return keypoints
    from diffmocap.camera.intrinsics import undistort_keypoints  # needs OpenCV, the rest here does not

    return undistort_keypoints(keypoints, intrinsics)


class _Stopwatch:
    """Laps in milliseconds of a monotonic clock."""

    def __init__(self) -> None:
        self._start = self._last = time.perf_counter()
        self._laps: dict[str, float] = {}

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self._laps[name] = (now - self._last) * 1e3
        self._last = now

    def stop(self) -> dict[str, float]:
        self._laps["total"] = (time.perf_counter() - self._start) * 1e3
        return self._laps
