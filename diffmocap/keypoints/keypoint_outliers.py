"""Leaves out single keypoints that leap for one image: a detector's slip throws no limb.

A keypoint that is far both from where it was and from where its motion leads counts as missing in one image, so that
the pose is lifted from the others and from the past. If it is there again in the next image it had moved, and is
believed. Where several leap at once it is the person who moved, a cut, or the sides that change, and none is left out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from diffmocap.settings import check_settings, setting
from diffmocap.types import Keypoints2D

#: Interval that the threshold is given at; longer ones have no foreseen place [s].
_INTERVAL_S, _LONGEST_S = 1.0 / 30.0, 0.07
#: More keypoints than this do not slip at once. Where a detector changes its mind about sides, some leap together:
#: what is then left of them misled lifting and gate, by 22 mm on a real film with 2 to 4 of them.
_MOST = 1


@dataclass(frozen=True)
class KeypointOutlierSettings:
    """When a keypoint is taken for a slip; 99.9 % of a detector's keypoints stay below 0.14 at 30 Hz."""

    leap: float = setting(
        0.3,
        "A keypoint that leaps by more, in half-sizes of the person's box at 30 Hz, counts as missing in one image; 0: "
        "all are believed.",
        0.0,
        2.0,
    )

    def __post_init__(self) -> None:
        check_settings(self)


class KeypointOutliers:
    """Looks at every image of one person in its order."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget the person: the next keypoints are believed."""
        self._last: Keypoints2D | None = None
        self._velocity_px_s = np.zeros((25, 2))
        self._left_out = np.zeros(25, bool)

    def without(self, keypoints: Keypoints2D, settings: KeypointOutlierSettings) -> Keypoints2D:
        """The keypoints, slips among them with confidence 0."""
        last, self._last = self._last, keypoints
        left_before, self._left_out = self._left_out, np.zeros(25, bool)
        if last is None:
            return keypoints
        dt_s = (keypoints.stamp_ns - last.stamp_ns) * 1e-9
        both = (keypoints.confidence > 0) & (last.confidence > 0)
        if not 0.0 < dt_s <= _LONGEST_S or not both.any():
            self._velocity_px_s = np.zeros((25, 2))
            return keypoints
        step = keypoints.points_px - last.points_px
        velocity, foreseen = step / dt_s, self._velocity_px_s * dt_s
        far = np.minimum(np.linalg.norm(step, axis=1), np.linalg.norm(step - foreseen, axis=1))
        half_size = 0.5 * np.ptp(keypoints.points_px[both], axis=0).max()
        most = settings.leap * max(half_size, 1.0) * max(dt_s / _INTERVAL_S, 1.0)
        leaps = both & (far > most) & ~left_before
        # Back from a slip, or at rest where it leapt to: neither way was a motion.
        slow = leaps | left_before | ~both
        self._velocity_px_s = np.where(slow[:, None], 0.0, velocity)
        if settings.leap == 0.0 or not 0 < leaps.sum() <= _MOST:
            return keypoints
        self._left_out = leaps
        return replace(keypoints, confidence=np.where(leaps, np.float32(0.0), keypoints.confidence))
