"""What was seen in a video: keypoints of one person on evenly spaced frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from diffmocap.errors import CameraError
from diffmocap.keypoints.body25 import no_keypoints
from diffmocap.keypoints.confidence import as_lifted
from diffmocap.keypoints.settings import SideSettings
from diffmocap.keypoints.side_exchange import SideKeeper
from diffmocap.timing.stamps import duration_text
from diffmocap.types import CameraIntrinsics, Keypoints2D

#: An image belongs to a frame of the motion that is at most this share of its length away.
_NEAR = 0.75
#: Image rates that differ by less are one, such as 30 and 29.97 Hz of a file whose times are rounded.
_SAME_RATE = 0.002
#: A longer gap between two images [s] is no gap: the clock of their times was set in between.
_LONGEST_GAP_S = 86400.0


@dataclass(frozen=True)
class Footage:
    """Keypoints of T frames, ``1 / fps`` apart.

    Attributes:
        keypoints: as the detector gave them; all missing where no image belongs to the frame, or nobody is seen.
        intrinsics: of the camera, with its distortion.
        fps: frames a second.
        images: [T] number of the image in its video, -1 for none.
    """

    keypoints: list[Keypoints2D]
    intrinsics: CameraIntrinsics
    fps: float
    images: np.ndarray

    def __len__(self) -> int:
        return len(self.keypoints)

    @classmethod
    def even(cls, keypoints: Sequence[Keypoints2D], intrinsics: CameraIntrinsics, fps: float = 0.0) -> Footage:
        """On even frames from the first image on; each takes the image that is nearest in time, if it is near.

        ``fps`` 0 keeps the images' own rate, the median one where it varies.

        Raises:
            CameraError: fewer than two images, or stamps that do not rise, or that leap by more than a day.
        """
        stamps = np.array([k.stamp_ns for k in keypoints], np.float64) * 1e-9
        if len(stamps) < 2:
            raise CameraError(f"a motion needs at least 2 images, got {len(stamps)}")
        steps = np.diff(stamps)
        if not (steps > 0).all():
            at = int(np.argmin(steps))
            raise CameraError(f"the times of the images must rise; image {at + 1} comes {-steps[at]:.3f} s too early")
        if (longest := float(steps.max())) > _LONGEST_GAP_S:
            at = int(np.argmax(steps))
            raise CameraError(
                f"image {at + 1} comes {duration_text(longest)} after the one before it: the clock of the images was "
                "set in between; cut the video there"
            )
        fps = fps or rate(steps)
        times = np.arange(int(np.floor((stamps[-1] - stamps[0]) * fps + 0.5)) + 1) / fps + stamps[0]
        nearest = np.searchsorted(0.5 * (stamps[1:] + stamps[:-1]), times)
        near = np.abs(stamps[nearest] - times) <= _NEAR / fps
        first = keypoints[0]
        return cls(
            [
                replace(keypoints[i], stamp_ns=round(1e9 * (t - stamps[0]))) if ok
                else no_keypoints(first.width, first.height, round(1e9 * (t - stamps[0])))
                for i, t, ok in zip(nearest.tolist(), times.tolist(), near.tolist(), strict=True)
            ],
            intrinsics, fps, np.where(near, nearest, -1),
        )  # fmt: skip

    def as_lifted(self, min_confidence: float, sides: SideSettings) -> list[Keypoints2D]:
        """The keypoints that count, of an ideal pinhole camera, with exchanges of left and right undone."""
        keeper = SideKeeper()
        return [keeper.keep(as_lifted(k, self.intrinsics, min_confidence), sides) for k in self.keypoints]


def rate(steps_s: np.ndarray) -> float:
    """Frames a second of images that are [N] s apart; a usual rate where it is one."""
    mean, median = float(np.mean(steps_s)), float(np.median(steps_s))
    # The mean is exact where no image is missing; times in a file may be rounded to milliseconds.
    found = 1.0 / (mean if abs(mean - median) < 0.02 * median else median)
    usual = min((24.0, 25.0, 30.0, 48.0, 50.0, 60.0, 90.0, 100.0, 120.0, 240.0), key=lambda r: abs(r - found))
    return usual if abs(usual - found) < _SAME_RATE * usual else found
