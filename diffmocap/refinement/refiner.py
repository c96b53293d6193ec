"""What every refinement stage looks like from outside."""

from __future__ import annotations

from typing import Protocol, TypeVar

from diffmocap.lifting.tracking.track import TrackedPoses
from diffmocap.types import BodyState, CameraIntrinsics, Keypoints2D

Settings = TypeVar("Settings")


class Refiner(Protocol[Settings]):
    """Turns the hypotheses of one image, and what was seen before, into the pose to publish.

    A refiner keeps its own history; stamps, not call counts, are its clock. It holds its output on
    a stamp that is not newer than the last one, and starts afresh after :meth:`reset` or after a
    gap that it judges too long to bridge. ``settings`` may be replaced between calls.
    """

    settings: Settings

    def refine(
        self,
        tracked: TrackedPoses,
        keypoints: Keypoints2D,
        intrinsics: CameraIntrinsics,
        budget_ms: float | None = None,
    ) -> BodyState | None:
        """A pose in the optical frame, that at ``tracked.poses.stamp_ns`` or, with a lag, an earlier one.

        Args:
            keypoints: what was lifted.
            budget_ms: time that is left for it, None: as much as it takes. Who needs next to none does not look.

        Returns:
            The pose with its own stamp; stamps increase. None where a lag leaves nothing to publish yet.
        """
        ...

    def reset(self, camera_moved: bool = False) -> None:
        """Forget the history: the next pose starts a new track; where the camera has moved, the ground, too."""
        ...
