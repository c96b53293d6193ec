"""The keypoints of the last half second, at the times that the denoiser asks for."""

from __future__ import annotations

import numpy as np

from diffmocap.body.skeleton import NUM_KEYPOINTS
from diffmocap.types import CameraIntrinsics, Keypoints2D, PastKeypoints

#: Images further apart than this [s] are not interpolated.
LONGEST_GAP_S = 0.12
#: An image counts for a time that is off by this share of the lag, or by :data:`NEAR_S`, where there is none on the
#: other side of it.
NEAR_SHARE, NEAR_S = 0.2, 0.01
#: Images nearer together than this [s] are thinned out.
CLOSEST_S = 0.008
_CAPACITY = 96


class KeypointHistory:
    """A ring of keypoints [25] as rays, in which new images overwrite the oldest.

    Args:
        lags_s: [L] s before the present image, rising, of the times that are asked for.
    """

    def __init__(self, lags_s: tuple[float, ...]) -> None:
        self._lags = np.array(lags_s)
        # Columns of each row: ray (2), depth, and confidence of each keypoint.
        self._rows = np.zeros((_CAPACITY, NUM_KEYPOINTS, 4), np.float32)
        self._stamps = np.zeros(_CAPACITY)
        self._count = 0

    def reset(self) -> None:
        """Forget everything."""
        self._count = 0

    def add(self, keypoints: Keypoints2D, intrinsics: CameraIntrinsics) -> None:
        """Remembers keypoints of an ideal pinhole camera; their stamps must rise."""
        stamp = keypoints.stamp_ns * 1e-9
        if self._count and stamp - self._stamps[(self._count - 1) % _CAPACITY] < CLOSEST_S:
            return
        row = self._rows[self._count % _CAPACITY]
        row[:, 0] = (keypoints.points_px[:, 0] - intrinsics.cx) / intrinsics.fx
        row[:, 1] = (keypoints.points_px[:, 1] - intrinsics.cy) / intrinsics.fy
        row[:, 2] = np.nan if keypoints.depth_m is None else keypoints.depth_m
        row[:, 3] = keypoints.confidence
        self._stamps[self._count % _CAPACITY] = stamp
        self._count += 1

    def before(self, stamp_ns: int) -> PastKeypoints | None:
        """What is known of the times before ``stamp_ns`` of the next image; None where nothing is.

        Between two images that are at most :data:`LONGEST_GAP_S` apart keypoints are interpolated; else the nearest
        image counts, if it is near enough.
        """
        count = min(self._count, _CAPACITY)
        if count == 0:
            return None
        order = np.arange(self._count - count, self._count) % _CAPACITY
        stamps = self._stamps[order]
        wanted = stamp_ns * 1e-9 - self._lags
        after = np.searchsorted(stamps, wanted).clip(0, count - 1)
        earlier = (after - 1).clip(0)
        gap = stamps[after] - stamps[earlier]
        between = (stamps[earlier] <= wanted) & (wanted <= stamps[after]) & (gap <= LONGEST_GAP_S)
        share = np.where(between, (wanted - stamps[earlier]) / np.maximum(gap, 1e-9), 0.0).astype(np.float32)
        nearest = np.where(np.abs(stamps[after] - wanted) < np.abs(stamps[earlier] - wanted), after, earlier)
        first = self._rows[order[np.where(between, earlier, nearest)]]
        second = self._rows[order[np.where(between, after, nearest)]]
        near = np.abs(stamps[nearest] - wanted) <= np.maximum(NEAR_SHARE * self._lags, NEAR_S)
        known = between | near
        if not known.any():
            return None
        rows = first + share[:, None, None] * (second - first)
        # A keypoint that one of two images lacks is taken from neither.
        confidence = np.where((first[..., 3] > 0) & (second[..., 3] > 0), rows[..., 3], 0.0) * known[:, None]
        return PastKeypoints(rows[..., :2], confidence.astype(np.float32), rows[..., 2])
