"""Keypoints below a confidence count as missing.

The pipeline applies this to each image, and the lifter for those who call it without a pipeline.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from diffmocap.types import Keypoints2D


def without_uncertain(keypoints: Keypoints2D, min_confidence: float) -> Keypoints2D:
    """Sets the confidence of keypoints below ``min_confidence`` (0 to 1) to 0, which means missing."""
    missing = keypoints.confidence < min_confidence
    if not (missing & (keypoints.confidence > 0)).any():
        return keypoints
    return replace(keypoints, confidence=np.where(missing, np.float32(0.0), keypoints.confidence))
