"""Keypoints below a confidence count as missing.

The pipeline applies this to each image, and the lifter for those who call it without a pipeline.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from diffmocap.types import CameraIntrinsics, Keypoints2D


def without_uncertain(keypoints: Keypoints2D, min_confidence: float) -> Keypoints2D:
    """Sets the confidence of keypoints below ``min_confidence`` (0 to 1) to 0, which means missing."""
    missing = keypoints.confidence < min_confidence
    if not (missing & (keypoints.confidence > 0)).any():
        return keypoints
    return replace(keypoints, confidence=np.where(missing, np.float32(0.0), keypoints.confidence))


def as_lifted(keypoints: Keypoints2D, intrinsics: CameraIntrinsics, min_confidence: float) -> Keypoints2D:
    """The keypoints that count, without lens distortion."""
    keypoints = without_uncertain(keypoints, min_confidence)
    if not intrinsics.distortion:
        return keypoints
    from diffmocap.camera.lens import undistort_keypoints  # needs OpenCV, the rest here does not

    return undistort_keypoints(keypoints, intrinsics)
