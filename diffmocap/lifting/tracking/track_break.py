"""When a track is lost: the person is suddenly elsewhere, or the tracked pose stops explaining the image."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from diffmocap.errors import SettingsError
from diffmocap.types import Keypoints2D

#: Time over which the usual reprojection error is averaged.
LEVEL_TIME_S = 1.0


@dataclass(frozen=True)
class BreakSettings:
    """What counts as a break. Lengths are in half-sizes of the person's box, as the score is.

    Attributes:
        jump: displacement of the median keypoint from one image to the next, 0.1 to 10, beyond
        jump_speed: times the time between them [1/s], 0 to 100.
        error: mean reprojection error above which a track may be lost, 0.01 to 10, where it also is
        error_ratio: times the error that this track usually has, 1 to 100.
        gain: a new start is taken where its error is below this share of the track's, 0.1 to 1.
        retry_s: time before a new start is tried again after one that was no better, 0 to 60.
    """

    jump: float = 0.6
    jump_speed: float = 4.0
    error: float = 0.06
    error_ratio: float = 1.5
    gain: float = 0.7
    retry_s: float = 0.3

    def __post_init__(self) -> None:
        ranges = {
            "jump": (0.1, 10.0), "jump_speed": (0.0, 100.0), "error": (0.01, 10.0), "error_ratio": (1.0, 100.0),
            "gain": (0.1, 1.0), "retry_s": (0.0, 60.0),
        }  # fmt: skip
        for name, (low, high) in ranges.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise SettingsError(f"{name} must lie in [{low}, {high}], got {value}")


class BreakDetector:
    """Watches the keypoints and the tracked pose's reprojection error; stamps are its clock."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget the track."""
        self._keypoints: Keypoints2D | None = None
        self.forget_error()

    def forget_error(self) -> None:
        """A new start: its error is unknown yet."""
        self._usual_error = math.nan
        self._error_stamp_ns = 0
        self._failed_stamp_ns: int | None = None

    def jumped(self, keypoints: Keypoints2D, settings: BreakSettings) -> bool:
        """Whether these keypoints can be those of the person seen last; they are remembered for the next call."""
        if not keypoints.visible:
            return False
        last, self._keypoints = self._keypoints, keypoints
        if last is None:
            return False
        seen = last.confidence > 0
        both = seen & (keypoints.confidence > 0)
        if not both.any():
            return False  # as if a limb came for another: the score will tell
        half_size = 0.5 * np.ptp(last.points_px[seen], axis=0).max()
        moved = np.median(np.linalg.norm((keypoints.points_px - last.points_px)[both], axis=1))
        dt_s = (keypoints.stamp_ns - last.stamp_ns) * 1e-9
        return moved > (settings.jump + settings.jump_speed * dt_s) * max(half_size, 1.0)

    def suspects(self, error: float, stamp_ns: int, settings: BreakSettings) -> bool:
        """Whether the tracked pose's mean reprojection error asks for a new start to compare with."""
        if self._failed_stamp_ns is not None and (stamp_ns - self._failed_stamp_ns) * 1e-9 < settings.retry_s:
            return False
        return error > settings.error and not error <= settings.error_ratio * self._usual_error

    def new_start_failed(self, stamp_ns: int) -> None:
        """The new start explained the image no better."""
        self._failed_stamp_ns = stamp_ns

    def follow(self, error: float, stamp_ns: int) -> None:
        """Tells the error of the pose that the track went on with."""
        if math.isnan(self._usual_error):
            self._usual_error = error
        else:
            dt_s = (stamp_ns - self._error_stamp_ns) * 1e-9
            self._usual_error += (1.0 - math.exp(-dt_s / LEVEL_TIME_S)) * (error - self._usual_error)
        self._error_stamp_ns = stamp_ns
