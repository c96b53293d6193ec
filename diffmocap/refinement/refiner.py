"""What every refinement stage looks like from outside."""

from __future__ import annotations

from typing import NamedTuple, Protocol, TypeVar

from diffmocap.lifting.tracking.track import TrackedPoses
from diffmocap.types import BodyState, CameraIntrinsics, Keypoints2D

Settings = TypeVar("Settings")


class Refined(NamedTuple):
    """A pose to publish, and the hypotheses that it was made from: with a lag those of an earlier image."""

    state: BodyState
    tracked: TrackedPoses


class Refiner(Protocol[Settings]):
    """Turns the hypotheses of one image, and what was seen before, into the pose to publish.

    A refiner keeps its own history, but has no clock: the caller says how much time has passed and when another track
    begins (:class:`~diffmocap.timing.track_clock.TrackClock`). ``settings`` may be replaced between calls.
    """

    settings: Settings

    def refine(
        self,
        tracked: TrackedPoses,
        keypoints: Keypoints2D,
        intrinsics: CameraIntrinsics,
        dt_s: float,
        restarted: bool,
        budget_ms: float | None = None,
    ) -> Refined | None:
        """A pose in the optical frame: of this image or, with a lag, of an earlier one.

        Args:
            keypoints: what was lifted.
            dt_s: time since the last call, positive; without meaning where ``restarted``.
            restarted: another track begins, and nothing from before counts; true in the first call.
            budget_ms: time that is left for it, None: as much as it takes. Who needs next to none does not look.

        Returns:
            None where a lag leaves nothing to publish yet. No image is published twice, nor after a later one.
        """
        ...

    def reset(self, camera_moved: bool = False) -> None:
        """Forget the history: the next pose starts a new track; where the camera has moved, the ground, too."""
        ...
