"""Numbers for the people that a detector of one person finds one after the other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from diffmocap.types import Keypoints2D

#: Somebody found again after less time than this [s], where the last one was seen, is taken for the same person.
_GONE_S = 0.5


class PersonIds:
    """Counts people from 1: another number where somebody is found anew, who may be somebody else.

    As long as somebody is found in every image, the detector follows them, and the number stays. After images in which
    nobody was found it stays where the two boxes touch and no more than half a second is between them.
    """

    def __init__(self) -> None:
        self._id = 0
        self._box = np.zeros((2, 2))
        self._seen_ns = 0
        self._missed = True

    def numbered(self, keypoints: Keypoints2D) -> Keypoints2D:
        """The keypoints of the next image with their person's number; 0 where nobody was found."""
        seen = keypoints.confidence > 0
        if not seen.any():
            self._missed = True
            return keypoints
        points = keypoints.points_px[seen]
        box = np.stack([points.min(axis=0), points.max(axis=0)])
        if self._missed and (self._id == 0 or self._gone(box, keypoints.stamp_ns)):
            self._id += 1
        self._missed, self._box, self._seen_ns = False, box, keypoints.stamp_ns
        return replace(keypoints, person_id=self._id)

    def _gone(self, box: np.ndarray, stamp_ns: int) -> bool:
        away_s = abs(stamp_ns - self._seen_ns) * 1e-9
        return away_s > _GONE_S or bool((box[0] > self._box[1]).any() or (box[1] < self._box[0]).any())
