"""Stages that have no clock, driven by stamps as the pipeline drives them."""

from __future__ import annotations

from diffmocap.lifting.tracking.track import TrackedPoses
from diffmocap.refinement.refiner import Refined, Refiner
from diffmocap.timing.track_clock import ClockSettings, TrackClock
from diffmocap.types import CameraIntrinsics, Keypoints2D


class Clocked:
    """A refiner that is called with stamped hypotheses; its clock is the pipeline's."""

    def __init__(self, refiner: Refiner) -> None:
        self.refiner = refiner
        self._clock = TrackClock()

    def reset(self) -> None:
        self._clock.reset()
        self.refiner.reset()

    def __call__(
        self, tracked: TrackedPoses, keypoints: Keypoints2D, intrinsics: CameraIntrinsics,
        budget_ms: float | None = None,
    ) -> Refined | None:  # fmt: skip
        tick = self._clock.tick(tracked.poses.stamp_ns, ClockSettings())
        assert tick is not None, "the pipeline would have skipped it"
        self._clock.pose_came()
        return self.refiner.refine(tracked, keypoints, intrinsics, tick.dt_s, tick.restarted, budget_ms)
