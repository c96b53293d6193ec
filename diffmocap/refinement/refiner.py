"""What every refinement stage looks like from outside."""

from __future__ import annotations

from typing import Protocol, TypeVar

from diffmocap.lifting.track import TrackedPoses
from diffmocap.types import BodyState, CameraIntrinsics, Keypoints2D

Settings = TypeVar("Settings")


class Refiner(Protocol[Settings]):
    """Turns the hypotheses of one image, and what was seen before, into the pose to publish.

    A refiner keeps its own history; stamps, not call counts, are its clock. It holds its output on
    a stamp that is not newer than the last one, and starts afresh after :meth:`reset` or after a
    gap that it judges too long to bridge. ``settings`` may be replaced between calls.
    """

    settings: Settings

    def refine(self, tracked: TrackedPoses, keypoints: Keypoints2D, intrinsics: CameraIntrinsics) -> BodyState:
        """The pose at ``tracked.poses.stamp_ns`` in the optical frame; ``keypoints`` are what was lifted."""
        ...

    def reset(self) -> None:
        """Forget the history: the next pose starts a new track."""
        ...
