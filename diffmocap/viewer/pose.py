"""What the viewer is told of one pose."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from diffmocap.body.skeleton import NUM_JOINTS
from diffmocap.output.tracking_state import TrackingState


@dataclass(frozen=True)
class ViewedPose:
    """One published pose, in the camera's optical frame.

    Attributes:
        stamp_ns: acquisition time of the image.
        frame: name of the optical frame.
        rotations_xyzw: [24, 4] unit quaternions of each joint relative to its parent; entry 0 turns the body frame
            into the optical frame.
        joints_m: [24, 3].
        deviations_deg: [24] standard deviation of each rotation, a mean of its three axes; NaN where unknown.
        pelvis_deviation_m: of the pelvis' place, a mean of its three axes.
        contact_points_m, contact_forces_n: [C, 3] of the points that touch the ground.
        score: of the followed hypothesis.
        hypotheses: how many there were.
        tracking: None where the publisher says nothing of it.
        track_id, confidence: as the publisher has them; None where it says nothing of them.
    """

    stamp_ns: int
    frame: str
    rotations_xyzw: np.ndarray
    joints_m: np.ndarray
    deviations_deg: np.ndarray = field(default_factory=lambda: np.full(NUM_JOINTS, np.nan))
    pelvis_deviation_m: float = float("nan")
    contact_points_m: np.ndarray = field(default_factory=lambda: np.zeros((0, 3)))
    contact_forces_n: np.ndarray = field(default_factory=lambda: np.zeros((0, 3)))
    score: float = float("nan")
    hypotheses: int = 1
    tracking: TrackingState | None = None
    track_id: int | None = None
    confidence: float | None = None

    @property
    def drawable(self) -> bool:
        """Whether there is a body to draw: all numbers are some, and the rotations are rotations."""
        lengths = np.linalg.norm(self.rotations_xyzw, axis=1)
        return bool(np.isfinite(self.joints_m).all() and (np.abs(lengths - 1.0) < 0.1).all())
