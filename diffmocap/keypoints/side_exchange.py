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
#: Time over which velocities are averaged and die away while a part is not believed, and after which a keypoint's last
#: position is no longer used.
_VELOCITY_TIME_S, _FORGET_S = 0.1, 0.25
#: [3, 25] bool: of what is exchanged together, the keypoints that nobody moves suddenly.
_STEADY = _GROUPS & np.array([name[1:] in ("Eye", "Ear", "Shoulder", "Hip") for name in KEYPOINT_NAMES])
#: A part is between both sides if its steady keypoints, or all of them, are farther than this from where either was
#: expected, but for what both have moved alike, in half-sizes; and this much more for each second since the last image.
#: Of what is older than that image a share counts. At 30 Hz that is 0.08 and 0.22, where one in a thousand is farther
#: than 0.04 and 0.16 on real films without exchanges. Chosen on a film with exchanges, as it is, mirrored, turned and
#: made smaller; a third more or less changes little.
_BETWEEN, _BETWEEN_A_SECOND, _AGE_SHARE = np.array([0.02, 0.07]), np.array([1.8, 4.5]), 0.6
#: Of a detector in small images; as much more is allowed [px].
_NOISE_PX = 2.0
#: Where both have moved alike by more than this [half-sizes], it is another person, or a cut.
_HERE = 0.2


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
        all depths where more than one part is exchanged. Parts that lie between both sides, as they do in some images
        while a detector changes its mind, stay where they were expected, with half of their confidence.
        """
        if not settings.enabled:
            self.reset()
            return keypoints
        age_s, recent = self._recent(keypoints)
        known = recent & recent[_MIRROR]
        expected = self._expected(age_s)
        off = _ways(keypoints, expected, known)
        as_is, mirrored = (np.linalg.norm(way, axis=1) for way in off)
        self._fade(keypoints.stamp_ns, settings.hold_s)
        between = _between(off, self._dt_s, age_s, _half_size(keypoints))
        nearer = _nearer_parts(as_is, mirrored, settings.gain) & ~between
        compared = np.array([known[members].any() for members in _GROUPS])
        nearer = self._disbelieved(nearer, compared & ~between)
        exchanged = _GROUPS[nearer].any(0)
        self.exchanged = bool(nearer.any())
        if self.exchanged:
            keypoints = reordered(keypoints, np.where(exchanged, _MIRROR, np.arange(25)))
            if keypoints.depth_m is not None:
                unknown = exchanged if nearer.sum() == 1 else True
                keypoints = replace(keypoints, depth_m=np.where(unknown, np.nan, keypoints.depth_m))
        if not between.any():  # else the other parts may be, too, if less plainly
            self._remember(keypoints)
            return keypoints
        return _at(keypoints, expected, _GROUPS[between].any(0) & known)

    def _disbelieved(self, nearer: np.ndarray, judged: np.ndarray) -> np.ndarray:
        """The parts [3] that are exchanged: those of ``nearer``, unless the detector has said so for longer."""
        self._disagreed_s[nearer] += self._dt_s
        self._agreed_s[judged & ~nearer] += self._dt_s  # where nothing can be compared, nothing is agreed on
        # A body is not turned in parts: the detector is believed of all of those of which it says so.
        if not self._disagreed_s[nearer].sum() > self._agreed_s[nearer].sum():
            return nearer
        self._seen_ns[_GROUPS[nearer].any(0)] = -1  # it is the stored positions that are the exchanged ones
        agreed_s = self._agreed_s[nearer]
        self._agreed_s[nearer], self._disagreed_s[nearer] = self._disagreed_s[nearer], agreed_s
        return np.zeros_like(nearer)

    def _fade(self, stamp_ns: int, hold_s: float) -> None:
        """Half of what is known of longer ago than ``hold_s`` is forgotten."""
        last = stamp_ns if self._last_ns is None else self._last_ns
        self._last_ns, self._dt_s = stamp_ns, max(stamp_ns - last, 0) * 1e-9
        fade = 0.5 ** (self._dt_s / hold_s) if hold_s > 0 else 0.0
        self._agreed_s *= fade
        self._disagreed_s *= fade

    def _recent(self, keypoints: Keypoints2D) -> tuple[np.ndarray, np.ndarray]:
        """Since when each keypoint was last believed [25] s, and which [25] are seen and were so recently."""
        age_s = (keypoints.stamp_ns - self._seen_ns) * 1e-9
        return age_s, (keypoints.confidence > 0) & (self._seen_ns >= 0) & (age_s > 0) & (age_s < _FORGET_S)

    def _expected(self, age_s: np.ndarray) -> np.ndarray:
        """Where each keypoint is expected [25, 2] px so long after it was believed, within :data:`_FORGET_S`."""
        goes_on_s = _VELOCITY_TIME_S * (1.0 - np.exp(-age_s.clip(0.0, _FORGET_S) / _VELOCITY_TIME_S))
        return self._points + self._velocity * goes_on_s[:, None]

    def _remember(self, keypoints: Keypoints2D) -> None:
        seen = keypoints.confidence > 0
        dt_s, known = self._recent(keypoints)
        self._velocity[seen & ~known] = 0.0
        if known.any():
            t = dt_s[known, None]
            a = 1.0 - np.exp(-t / _VELOCITY_TIME_S)
            measured = (keypoints.points_px[known] - self._points[known]) / t
            self._velocity[known] += a * (measured - self._velocity[known])
        self._points[seen] = keypoints.points_px[seen]
        self._seen_ns[seen] = keypoints.stamp_ns


def _half_size(keypoints: Keypoints2D) -> float:
    """Half of the longer side of the seen keypoints' box, at least 1 px."""
    seen = keypoints.points_px[keypoints.confidence > 0]
    return max(0.5 * float(np.ptp(seen, axis=0).max()), 1.0) if len(seen) else 1.0


def _at(keypoints: Keypoints2D, places: np.ndarray, which: np.ndarray) -> Keypoints2D:
    """Some of the keypoints [25] at other places [25, 2] px, with half of their confidence and without depth."""
    depth_m = None if keypoints.depth_m is None else np.where(which, np.nan, keypoints.depth_m)
    return replace(
        keypoints,
        points_px=np.where(which[:, None], places, keypoints.points_px).astype(np.float32),
        confidence=np.where(which, np.float32(0.5) * keypoints.confidence, keypoints.confidence),
        depth_m=depth_m,
    )


def _ways(keypoints: Keypoints2D, expected: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """From where each keypoint was expected to it, and to its counterpart: [25, 2] half-sizes each, NaN unknown."""
    if not known.any():
        return np.full((25, 2), np.nan), np.full((25, 2), np.nan)
    half_size = _half_size(keypoints)
    points = np.where(known[:, None], keypoints.points_px, np.nan)
    return (points - expected) / half_size, (points[_MIRROR] - expected) / half_size


def _between(off: tuple[np.ndarray, np.ndarray], dt_s: float, age_s: np.ndarray, half_size_px: float) -> np.ndarray:
    """Which parts [3] are near neither side, though their middle is where it was expected.

    Args:
        off: as :func:`_ways` gives them. dt_s: since the last image. age_s: [25] since one in which a keypoint was
            believed.
    """
    moved = 0.5 * (off[0] + off[0][_MIRROR])  # of both sides alike, as when the person or the camera moves
    as_is, mirrored = (np.linalg.norm(way - moved, axis=1) for way in off)
    middle, known = np.linalg.norm(moved, axis=1), np.isfinite(as_is)
    far, noise = np.zeros(len(_GROUPS), bool), _NOISE_PX / half_size_px
    for of_parts, most, a_second in zip((_STEADY, _GROUPS), _BETWEEN, _BETWEEN_A_SECOND, strict=True):
        for part, members in enumerate(of_parts & known):
            if members.any():
                since_s = dt_s + _AGE_SHARE * (age_s[members].max() - dt_s)
                near = min(as_is[members].mean(), mirrored[members].mean()) <= most + a_second * since_s + noise
                far[part] |= not near and middle[members].mean() <= _HERE
    return far


def _nearer_parts(as_is: np.ndarray, mirrored: np.ndarray, gain: float) -> np.ndarray:
    """Which parts [3] are nearer to where their other side was expected."""
    whole_body = _nearer(as_is, mirrored, gain)
    # Seen from the side, left and right of a part nearly coincide: then the whole body decides.
    return np.array([
        _nearer(as_is[part], mirrored[part], gain)
        or (whole_body and not _nearer(mirrored[part], as_is[part], 0.0))
        for part in _GROUPS
    ])  # fmt: skip


def _nearer(far: np.ndarray, near: np.ndarray, gain: float) -> bool:
    """Whether the known distances ``near`` are on average below half of ``far`` and smaller by ``gain``."""
    known = ~np.isnan(far)
    if not known.any():
        return False
    far_mean, near_mean = far[known].mean(), near[known].mean()
    return near_mean < 0.5 * far_mean and far_mean - near_mean > gain
