"""When a track is lost in the image: the person is suddenly elsewhere, or the tracked pose stops explaining the image.

A gap in time ends a track, too: that is decided by `timing.track_clock`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from diffmocap.settings import check_settings, setting
from diffmocap.types import Keypoints2D

#: Time over which the usual reprojection error is averaged.
LEVEL_TIME_S = 1.0


@dataclass(frozen=True)
class BreakSettings:
    """What counts as a break. Lengths are in half-sizes of the person's box, as the score is.

    A track may be lost where the median keypoint jumps by more than ``jump + jump_speed * dt``, or where the mean
    reprojection error is above ``error`` and above ``error_ratio`` times this track's usual one.
    """

    jump: float = setting(
        0.6,
        "Displacement of the median keypoint between two images that is a break, at no time between them.",
        0.1,
        10.0,
    )
    jump_speed: float = setting(4.0, "What is added to it for the time between them.", 0.0, 100.0, "1/s")
    error: float = setting(
        0.06,
        "Mean reprojection error over the person's half-size above which a track may be lost and starts again.",
        0.01,
        10.0,
    )
    error_ratio: float = setting(1.5, "Ratio to the track's usual error above which it may be lost.", 1.0, 100.0)
    gain: float = setting(0.7, "A new start is taken where its error is below this share of the track's.", 0.1, 1.0)
    retry_s: float = setting(
        0.3, "Time before a new start is tried again after one that was no better.", 0.0, 60.0, "s"
    )

    def __post_init__(self) -> None:
        check_settings(self)


class BreakDetector:
    """Watches the keypoints and the tracked pose's reprojection error.

    It is told times since the last image that brought a pose, and counts its own from them.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget the track."""
        self._keypoints: Keypoints2D | None = None
        self._keypoints_s = 0.0  # when they were seen, counted from the last pose
        self.forget_error()

    def forget_error(self) -> None:
        """A new start: its error is unknown yet."""
        self._usual_error = math.nan
        self._since_failed_s = math.inf

    def advance(self, dt_s: float) -> None:
        """A pose came, so long after the last one."""
        self._keypoints_s -= dt_s
        self._since_failed_s += dt_s

    def jumped(self, keypoints: Keypoints2D, dt_s: float, settings: BreakSettings) -> bool:
        """Whether these keypoints, ``dt_s`` after the last pose, are too far from where the person was seen last.

        They are remembered for the next call. They may be older than those, where newer ones brought no pose.
        """
        if not keypoints.visible:
            return False
        last, self._keypoints = self._keypoints, keypoints
        apart_s, self._keypoints_s = abs(dt_s - self._keypoints_s), dt_s
        if last is None:
            return False
        seen = last.confidence > 0
        both = seen & (keypoints.confidence > 0)
        if not both.any():
            return False  # as if a limb came for another: the score will tell
        half_size = 0.5 * np.ptp(last.points_px[seen], axis=0).max()
        moved = np.median(np.linalg.norm((keypoints.points_px - last.points_px)[both], axis=1))
        return moved > (settings.jump + settings.jump_speed * apart_s) * max(half_size, 1.0)

    def suspects(self, error: float, settings: BreakSettings) -> bool:
        """Whether the tracked pose's mean reprojection error asks for a new start to compare with."""
        if self._since_failed_s < settings.retry_s:
            return False
        return error > settings.error and not error <= settings.error_ratio * self._usual_error

    def new_start_failed(self) -> None:
        """The new start explained the image no better."""
        self._since_failed_s = 0.0

    def follow(self, error: float, dt_s: float) -> None:
        """Tells the error of the pose that the track went on with, so long after the last one."""
        if math.isnan(self._usual_error):
            self._usual_error = error
        else:
            self._usual_error += (1.0 - math.exp(-dt_s / LEVEL_TIME_S)) * (error - self._usual_error)
