"""Residuals of the mapping, frame by frame: the bank from which training draws a detector's noise."""

from __future__ import annotations

import numpy as np

from benchmarks.detector.crop import CropView
from benchmarks.synthetic.detections import Detections

#: Frames whose middle keypoint is farther off (over the half-size) are failures of the detector, not noise.
FAILURE = 0.15
#: Longest error that the bank holds, over the half-size and in metres; longer ones are failures, not noise.
LONGEST_OFFSET, LONGEST_DEPTH_M = 0.5, 1.0


def noise_bank(d: Detections, view: CropView, points: np.ndarray, depth: np.ndarray) -> dict[str, np.ndarray]:
    """The arrays of ``training.views.detector_noise`` for keypoints [M, 25, 2] and depths [M, 25] of the mapping."""
    offset = points - view.truth
    size = np.where(view.seen, np.linalg.norm(offset, axis=-1), np.nan)
    good = (view.seen.sum(1) >= 6) & (np.nanmedian(size, axis=1) < FAILURE)
    mapped = view.confidence > 0
    offset *= np.minimum(1.0, LONGEST_OFFSET / np.maximum(np.linalg.norm(offset, axis=-1, keepdims=True), 1e-9))
    depth_error = np.clip(depth - view.depth, -LONGEST_DEPTH_M, LONGEST_DEPTH_M)
    offset, depth_error = np.where(mapped[..., None], offset, 0.0), np.where(mapped, depth_error, 0.0)
    film, frame = d.film[view.index], d.frame[view.index]
    return {
        "offset": offset[good].astype(np.float16), "depth_error": depth_error[good].astype(np.float16),
        "confidence": view.confidence[good].astype(np.float16), "yaw": view.yaw[good].astype(np.float16),
        "film": film[good].astype(np.int16), "frame": frame[good].astype(np.int16),
    }  # fmt: skip
