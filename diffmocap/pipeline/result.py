"""What one step of the pipeline gives."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np

from diffmocap.lifting.tracking.track import TrackedPoses
from diffmocap.output.motion import MotionSample
from diffmocap.output.tracking_state import TrackingState, TrackStatus
from diffmocap.types import BodyState


class Outcome(Enum):
    """What came of one set of keypoints."""

    TRACKED = "tracked"
    STARTED = "started"  #: first pose of a track: nothing before it was used
    RESTARTED = "restarted"  #: the same, because the track was found to be lost
    UNSEEN = "unseen"  #: too few keypoints for a pose
    TENTATIVE = "tentative"  #: what may be a person is looked at, and not published yet
    REFUSED = "refused"  #: no person, or not the one that is followed: ``refused`` says why
    DELAYED = "delayed"  #: the refinement publishes with a lag, and has no pose yet
    STALE = "stale"  #: the stamp is not newer than the last one


@dataclass(frozen=True)
class PoseResult:
    """Result of one step; ``state`` to ``root_twist``, and ``motion``, are None unless there is a pose to publish.

    All of them belong to one trajectory inside its limits (:mod:`diffmocap.output.motion`).

    Attributes:
        outcome: what happened.
        stamp_ns: acquisition time of the image that the pose is of: with a lag, not the one just given.
        timings_ms: duration of each stage by name, and "total".
        state: the pose to publish: the refined one as the published motion follows it; where the track is PREDICTED, no
            image shows it.
        tracked: the hypotheses of the image that the pose is of, and which of them was followed.
        joint_angles: [69] rad, float64, inside their limits.
        joint_velocities: [69] rad/s, float64, their derivative: the mean of two consecutive ones is the slope of the
            angles between them.
        efforts: [69] N m, float64, of the joints' motors, clipped to the URDF's limits; None where no physics ran or
            no ground is known.
        root_twist: [6] float64, velocity of the root link, m/s, and its angular velocity, rad/s, in the axes of the
            optical frame.
        track: whose pose it is, how surely, and what happened since the last one. Of a result without a pose it says
            what became of the track: TRACKED, it may go on with the next image.
        refused: why no pose goes out of what was seen, as in :data:`~diffmocap.output.gate.REASONS`; else empty.
        motion: the sample that this is, with accelerations and what became of the refined pose.
    """

    outcome: Outcome
    stamp_ns: int
    timings_ms: dict[str, float]
    state: BodyState | None = None
    tracked: TrackedPoses | None = None
    joint_angles: np.ndarray | None = None
    joint_velocities: np.ndarray | None = None
    efforts: np.ndarray | None = None
    root_twist: np.ndarray | None = None
    track: TrackStatus = TrackStatus()
    refused: str = ""
    motion: MotionSample | None = None

    @property
    def tracking_state(self) -> TrackingState:
        """That of ``track``."""
        return self.track.state

    @property
    def track_id(self) -> int:
        """That of ``track``."""
        return self.track.track_id


def published(
    outcome: Outcome, timings_ms: dict[str, float], sample: MotionSample, tracked: TrackedPoses, status: TrackStatus,
    refused: str = "",
) -> PoseResult:  # fmt: skip
    """A sample of the published motion as the result of an image."""
    twist = np.concatenate([sample.pelvis_velocity, sample.root_angular_velocity])
    return PoseResult(
        outcome, sample.stamp_ns, timings_ms, sample.state, tracked, sample.angles, sample.velocities, sample.efforts,
        twist, status, refused, sample,
    )  # fmt: skip
