"""Undoes what detectors do for a few images at a time: taking the left side of the body for the right one.

Nothing in a single image tells such keypoints from those of a body seen from the other side, so lifting would turn the
whole body round and back. From one image to the next, though, no limb changes place with its counterpart.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from diffmocap.body.skeleton import KEYPOINT_MIRROR, KEYPOINT_NAMES
from diffmocap.keypoints.settings import SideSettings
from diffmocap.types import Keypoints2D

_MIRROR = np.array(KEYPOINT_MIRROR)
_PARTS = (("Eye", "Ear"), ("Shoulder", "Elbow", "Wrist"), ("Hip", "Knee", "Ankle", "BigToe", "SmallToe", "Heel"))
#: [3, 25] bool: what is exchanged together.
_GROUPS = np.array([[name[0] in "LR" and name[1:] in part for name in KEYPOINT_NAMES] for part in _PARTS])
#: Time over which velocities are averaged, and after which a keypoint's last position is no longer used.
_VELOCITY_TIME_S, _FORGET_S = 0.1, 0.15


def reordered(keypoints: Keypoints2D, order: np.ndarray) -> Keypoints2D:
    """Row i of the result is row ``order[i]``."""
    depth_m = None if keypoints.depth_m is None else keypoints.depth_m[order]
    return replace(
        keypoints, points_px=keypoints.points_px[order], confidence=keypoints.confidence[order], depth_m=depth_m
    )


class SideKeeper:
    """Undoes exchanges of left and right, separately for head, arms and legs. Its clock is the keypoints' stamps.

    Attributes:
        exchanged: whether any of the latest image's keypoints were.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget the person."""
        self._points = np.zeros((25, 2))
        self._velocity = np.zeros((25, 2))  # px/s
        self._seen_ns = np.full(25, -1, np.int64)
        self._last_ns: int | None = None
        # For how long the detector has lately agreed with what was published, and for how long it has not [s].
        self._agreed_s = np.zeros(len(_GROUPS))
        self._disagreed_s = np.zeros(len(_GROUPS))
        self.exchanged = False

    def memory(self) -> dict[str, Any]:
        """What is known of the person, for :meth:`restore`."""
        return {name: np.copy(x) if isinstance(x, np.ndarray) else x for name, x in vars(self).items()}

    def restore(self, memory: dict[str, Any]) -> None:
        """As if nothing had come since :meth:`memory` was asked, which serves for one restoring."""
        vars(self).update(memory)

    def keep(self, keypoints: Keypoints2D, settings: SideSettings) -> Keypoints2D:
        """The keypoints, with left and right swapped back in those parts of the body that the detector exchanged.

        Their depths are left out, as a detector that takes the sides for each other does so with front and back, too;
        all depths where more than one part is exchanged.
        """
        if not settings.enabled:
            self.reset()
            return keypoints
        exchanged = np.zeros(25, bool)
        as_is, mirrored = self._distances(keypoints)
        whole_body = _nearer(as_is, mirrored, settings.gain)
        self._fade(keypoints.stamp_ns, settings.hold_s)
        for group, members in enumerate(_GROUPS):
            a, m = as_is[members], mirrored[members]
            # Seen from the side, left and right of a part nearly coincide: then the whole body decides.
            if _nearer(a, m, settings.gain) or (whole_body and not _nearer(m, a, 0.0)):
                self._disagreed_s[group] += self._dt_s
                if self._disagreed_s[group] <= self._agreed_s[group]:
                    exchanged |= members
                    continue
                # The detector has said so for longer: it is the stored positions that are the exchanged ones.
                self._seen_ns[members] = -1
                self._agreed_s[group], self._disagreed_s[group] = self._disagreed_s[group], self._agreed_s[group]
            elif not np.isnan(a).all():  # where nothing can be compared, nothing is agreed on
                self._agreed_s[group] += self._dt_s
        self.exchanged = bool(exchanged.any())
        if self.exchanged:
            keypoints = reordered(keypoints, np.where(exchanged, _MIRROR, np.arange(25)))
            if keypoints.depth_m is not None:
                unknown = exchanged if sum(exchanged[members].any() for members in _GROUPS) == 1 else True
                keypoints = replace(keypoints, depth_m=np.where(unknown, np.nan, keypoints.depth_m))
        self._remember(keypoints)
        return keypoints

    def _fade(self, stamp_ns: int, hold_s: float) -> None:
        """Half of what is known of longer ago than ``hold_s`` is forgotten."""
        last = stamp_ns if self._last_ns is None else self._last_ns
        self._last_ns, self._dt_s = stamp_ns, max(stamp_ns - last, 0) * 1e-9
        fade = 0.5 ** (self._dt_s / hold_s) if hold_s > 0 else 0.0
        self._agreed_s *= fade
        self._disagreed_s *= fade

    def _distances(self, keypoints: Keypoints2D) -> tuple[np.ndarray, np.ndarray]:
        """Of each keypoint, and of its counterpart, from where it was expected: [25] half-sizes, NaN unknown."""
        age_s = (keypoints.stamp_ns - self._seen_ns) * 1e-9
        seen = keypoints.confidence > 0
        known = seen & seen[_MIRROR] & (self._seen_ns >= 0) & (age_s > 0) & (age_s < _FORGET_S)
        expected = self._points + self._velocity * age_s[:, None]
        if not known.any():
            return np.full(25, np.nan), np.full(25, np.nan)
        half_size = max(0.5 * np.ptp(keypoints.points_px[seen], axis=0).max(), 1.0)
        return tuple(
            np.where(known, np.linalg.norm(points - expected, axis=1) / half_size, np.nan)
            for points in (keypoints.points_px, keypoints.points_px[_MIRROR])
        )

    def _remember(self, keypoints: Keypoints2D) -> None:
        seen = keypoints.confidence > 0
        dt_s = (keypoints.stamp_ns - self._seen_ns) * 1e-9
        known = seen & (self._seen_ns >= 0) & (dt_s > 0) & (dt_s < _FORGET_S)
        self._velocity[seen & ~known] = 0.0
        if known.any():
            t = dt_s[known, None]
            a = 1.0 - np.exp(-t / _VELOCITY_TIME_S)
            measured = (keypoints.points_px[known] - self._points[known]) / t
            self._velocity[known] += a * (measured - self._velocity[known])
        self._points[seen] = keypoints.points_px[seen]
        self._seen_ns[seen] = keypoints.stamp_ns


def _nearer(far: np.ndarray, near: np.ndarray, gain: float) -> bool:
    """Whether the known distances ``near`` are on average below half of ``far`` and smaller by ``gain``."""
    known = ~np.isnan(far)
    if not known.any():
        return False
    far_mean, near_mean = far[known].mean(), near[known].mean()
    return near_mean < 0.5 * far_mean and far_mean - near_mean > gain
