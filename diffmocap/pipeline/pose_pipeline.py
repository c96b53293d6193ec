"""Keypoints in, pose and joint angles out: lifting, refinement and what a robot wants to know of it.

No ROS here: the pose node converts messages and calls :meth:`PosePipeline.step`; the command line
calls the same on a file.
"""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from diffmocap.body.model import BodyModel
from diffmocap.body.skeleton import NUM_JOINTS
from diffmocap.camera.projection import project
from diffmocap.device import resolve_device
from diffmocap.errors import DiffmocapError
from diffmocap.keypoints.confidence import as_lifted
from diffmocap.keypoints.keypoint_history import KeypointHistory
from diffmocap.keypoints.keypoint_outliers import KeypointOutliers
from diffmocap.keypoints.side_exchange import SideKeeper
from diffmocap.lifting.lifter import Lifter
from diffmocap.lifting.network.condition import PAST_LAGS_S
from diffmocap.lifting.settings import LiftingSettings
from diffmocap.lifting.tracking.track import HypothesisTrack
from diffmocap.output.camera_check import absurd_calibration
from diffmocap.output.gate import Decision
from diffmocap.output.motion import OutputMotion
from diffmocap.output.observed import observed_joints
from diffmocap.output.person_track import Judged, PersonTrack
from diffmocap.output.tracking_state import TrackEvent, TrackingState, TrackStatus
from diffmocap.pipeline.result import Outcome, PoseResult, published
from diffmocap.pipeline.settings import PipelineSettings
from diffmocap.refinement.physics_refiner import PhysicsRefiner
from diffmocap.refinement.refiner import Refiner
from diffmocap.refinement.settings import PhysicsSettings
from diffmocap.timing.stamps import ArrivalStamps
from diffmocap.timing.track_clock import Tick, TrackClock
from diffmocap.types import CameraIntrinsics, Keypoints2D, PastKeypoints, PoseHypotheses


class LiftingStage(Protocol):
    """The part of :class:`~diffmocap.lifting.lifter.Lifter` that the pipeline uses."""

    hears_past: bool

    def lift(
        self, keypoints: Keypoints2D, intrinsics: CameraIntrinsics, settings: LiftingSettings,
        previous: PoseHypotheses | None = None, past: PastKeypoints | None = None,
        up: tuple[float, float, float] | None = None,
    ) -> PoseHypotheses | None: ...  # fmt: skip

    def abandon(self) -> None: ...


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
        self._outliers = KeypointOutliers()
        self._track = HypothesisTrack(body)
        self._past = KeypointHistory(PAST_LAGS_S)
        self._person = PersonTrack(body)
        self._motion = OutputMotion(body)
        self._lock = threading.Lock()
        self._previous: PoseResult | None = None
        self._lags = False  # poses are of earlier images than the newest
        self._arrivals = ArrivalStamps(from_first=True)
        self._clock = TrackClock()

    @classmethod
    def load(
        cls,
        weights: str | Path | None = None,
        body_model: str | Path | None = None,
        device: str = "cpu",
        settings: PipelineSettings | None = None,
    ) -> PosePipeline:
        """Load the models; None or an empty path means the shipped ones. Poses are refined by physics.

        Raises:
            ModelFileError: a file is missing, corrupt or of the wrong kind.
            DeviceError: the device is unknown or absent.
        """
        lifter = load_lifter(weights, body_model, device)
        body = BodyModel.load(body_model or None)
        return cls(lifter, PhysicsRefiner(body), body, settings)

    def replace_lifter(self, lifter: LiftingStage) -> None:
        """Continue the track with another lifter, for example on another device."""
        with self._lock:
            self._lifter = lifter

    def abandon(self) -> None:
        """Ends the sampling of the pose that another thread is at, which raises AbandonedError; the track goes on."""
        self._lifter.abandon()

    def reset(self, camera_moved: bool = False) -> None:
        """Forget the track, and with ``camera_moved`` what was found about the ground."""
        with self._lock:
            self._reset(camera_moved)
            self._clock = TrackClock()

    def lose(self) -> TrackStatus | None:
        """Nothing comes any more: the track ends now, which the status tells, and what was seen of it is forgotten.

        None while another thread is at an image, so that something does come.
        """
        if not self._lock.acquire(blocking=False):
            return None
        try:
            self._reset()
            return self._person.lose()
        finally:
            self._lock.release()

    def warm_up(self, steps: int = 6) -> None:
        """Lift and refine a T-pose a few times and forget it: the first calls of a process are slow."""
        upright = torch.eye(3).repeat(1, 24, 1, 1)
        upright[:, 0] = torch.diag(torch.tensor([1.0, -1.0, -1.0]))
        wanted, intrinsics = self.settings, CameraIntrinsics.from_fov(640, 480)
        if isinstance(self._refiner, PhysicsRefiner):
            self._refiner.prepare()
        if isinstance(self._lifter, Lifter):
            self._lifter.prepare()
        self.settings = replace(wanted, gate=replace(wanted.gate, enabled=False))
        if isinstance(wanted.refinement, PhysicsSettings):
            # Also where it is off: it may be turned on. And the budget would remember what hurried first steps took.
            self.settings = replace(self.settings, refinement=wanted.refinement.without_time_limit())
        points_m = self.body.keypoints(upright, torch.tensor([[0.0, 0.0, 3.0]]))
        points = project(points_m, torch.tensor(intrinsics.matrix).float())
        for i in range(steps):
            self.step(
                Keypoints2D(points[0].numpy(), np.ones(25, np.float32), 640, 480, stamp_ns=i * 33_000_000), intrinsics
            )
        self.settings = wanted
        self._person = PersonTrack(self.body)
        self.reset(camera_moved=True)

    @torch.inference_mode()
    def step(self, keypoints: Keypoints2D, intrinsics: CameraIntrinsics, deadline_s: float | None = None) -> PoseResult:
        """Process the keypoints of the next image.

        ``deadline_s`` on the clock of :func:`time.perf_counter` is when the refinement has to be done.

        Images may be skipped and stamps may jump: :class:`~diffmocap.timing.track_clock.TrackClock` says which ones are
        :attr:`Outcome.STALE` and which start a new track. Stamps that repeat zero are none: such keypoints count from
        the first of them on, by when they arrive.

        Raises:
            AbandonedError: :meth:`abandon` was called meanwhile.
            DiffmocapError: the lifter failed; the track is forgotten.
        """
        with self._lock:
            settings = self.settings
            if settings.refinement is not None:
                self._refiner.settings = settings.refinement
            self._motion.settings = settings.motion
            stopwatch = _Stopwatch()
            stamp_ns = self._arrivals.stamp_ns(keypoints.stamp_ns)
            if stamp_ns != keypoints.stamp_ns:
                keypoints = replace(keypoints, stamp_ns=stamp_ns)
            tick = self._clock.tick(stamp_ns, settings.clock)
            if tick is None:
                return PoseResult(Outcome.STALE, stamp_ns, stopwatch.stop())
            return self._lift_and_refine(keypoints, intrinsics, settings, tick, deadline_s, stopwatch)

    def _lift_and_refine(
        self,
        keypoints: Keypoints2D,
        intrinsics: CameraIntrinsics,
        settings: PipelineSettings,
        tick: Tick,
        deadline_s: float | None,
        stopwatch: _Stopwatch,
    ) -> PoseResult:
        if self._person.another(keypoints.person_id):
            tick = Tick(0.0, restarted=True)
        if tick.restarted:
            self._sides.reset()
            self._outliers.reset()
            self._past.reset()
            self._person.end()
            self._previous = None
        if absurd_calibration(intrinsics):
            return self._without_pose(
                self._person.nobody(keypoints.stamp_ns, settings.gate, "calibration"), keypoints, stopwatch
            )
        before_image = self._sides.memory(), self._track.memory()
        self._track.settings = settings.track
        seen = as_lifted(keypoints, intrinsics, settings.lifting.min_confidence)
        seen = self._outliers.without(self._sides.keep(seen, settings.sides), settings.outliers)

        past, up = self._past.before(seen.stamp_ns), settings.up

        # A track that starts has no past.
        def lift(previous: PoseHypotheses | None, continued: bool = False) -> PoseHypotheses | None:
            known = None if previous is None else past
            lifting = replace(settings.lifting, warm_start=True, use_previous=True) if continued else settings.lifting
            poses = self._lifter.lift(seen, intrinsics, lifting, previous, past=known, up=up)
            if poses is not None and continued and not _is_finite(poses):
                return None  # the pose of this image alone is there
            if poses is not None:
                self._require_finite(poses)
            return poses

        continues = settings.lifting.warm_start or settings.lifting.use_previous
        informed = settings.lifting.use_past and self._lifter.hears_past

        tracked = self._track.step(
            lift, seen, settings.lifting.hypotheses, tick.dt_s, restarted=tick.restarted, continues=continues,
            informed=informed,
        )  # fmt: skip
        if tracked is None:
            judged = self._person.nobody(seen.stamp_ns, settings.gate)
        else:
            tracked = replace(tracked, observed=observed_joints(seen.confidence))
            judged = self._person.judge(tracked, seen, self._sides.exchanged, settings.gate)
        stopwatch.lap("lift")
        if judged.decision is Decision.REFUSE and tracked is not None:
            self._sides.restore(before_image[0])
            self._track.restore(before_image[1])
        if judged.decision in (Decision.REFUSE, Decision.LOSE):
            return self._without_pose(judged, keypoints, stopwatch)
        self._clock.pose_came()
        if tracked.restarted or judged.replaces:
            self._past.reset()
        self._past.add(seen, intrinsics)
        if judged.decision is Decision.WAIT:
            return self._without_pose(judged, keypoints, stopwatch)
        if judged.begins:
            self._previous = None
        budget_ms = None if deadline_s is None else max(1e3 * (deadline_s - time.perf_counter()), 0.0)
        refined = self._refiner.refine(tracked, seen, intrinsics, tick.dt_s, judged.begins, budget_ms)
        stopwatch.lap("refine")
        status = judged.status
        if judged.begins:
            self._motion.restart()
        # Later samples may have been predicted, or a lag has just been set.
        late = refined is not None and not self._motion.precedes(refined.tracked.poses.stamp_ns)
        if refined is None or late:
            self._person.delayed(status)
            outcome = Outcome.STALE if late else Outcome.DELAYED
            return PoseResult(outcome, keypoints.stamp_ns, stopwatch.stop(), track=status)
        tracked = refined.tracked
        state = replace(refined.state, stamp_ns=tracked.poses.stamp_ns)

        before = self._previous
        sample = self._motion.follow(state)
        stopwatch.lap("angles")
        outcome = Outcome.TRACKED
        if before is None:
            outcome = Outcome.RESTARTED if TrackEvent.RESTARTED in status.events else Outcome.STARTED
        result = published(outcome, stopwatch.stop(), sample, tracked, status)
        self._previous, self._lags = result, state.stamp_ns != keypoints.stamp_ns
        return result

    def _without_pose(self, judged: Judged, keypoints: Keypoints2D, stopwatch: _Stopwatch) -> PoseResult:
        """The result of an image from which nothing goes out."""
        if judged.decision is Decision.LOSE:
            self._reset()
        outcome = Outcome.REFUSED if judged.reason else Outcome.UNSEEN
        if judged.status.state is TrackingState.TENTATIVE:
            outcome = Outcome.TENTATIVE
        previous, status = self._previous, judged.status
        if status.state is TrackingState.TRACKED and previous is not None and not self._lags:
            sample = self._motion.predict(keypoints.stamp_ns)
            if sample is not None:
                tracked = replace(previous.tracked, observed=np.zeros(NUM_JOINTS, bool))
                status = replace(status, state=TrackingState.PREDICTED)
                return published(outcome, stopwatch.stop(), sample, tracked, status, judged.reason)
        return PoseResult(outcome, keypoints.stamp_ns, stopwatch.stop(), track=status, refused=judged.reason)

    def _require_finite(self, poses: PoseHypotheses) -> None:
        if _is_finite(poses):
            return
        self._reset()
        raise DiffmocapError(
            "lifting gave a pose that is not finite; the track starts again. If it comes back, lower `guidance`, "
            "check camera_info, or check the weights file"
        )

    def _reset(self, camera_moved: bool = False) -> None:
        self._sides.reset()
        self._outliers.reset()
        self._track.reset()
        self._past.reset()
        self._person.end()
        self._motion.reset()
        self._refiner.reset(camera_moved)
        self._clock.reset()
        self._previous = None


def _is_finite(poses: PoseHypotheses) -> bool:
    return all(np.isfinite(x.numpy()).all() for x in (poses.rotations, poses.pelvis, poses.score))


def load_lifter(weights: str | Path | None, body_model: str | Path | None, device: str) -> Lifter:
    """A lifter with a body on its own device; see :meth:`PosePipeline.load`."""
    resolve_device(device)
    return Lifter.load(weights or None, BodyModel.load(body_model or None, device), device)


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
