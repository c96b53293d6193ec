"""Draws keypoints over an image."""

from __future__ import annotations

import cv2
import numpy as np

from diffmocap.body.skeleton import KEYPOINT_EDGES, KEYPOINT_NAMES
from diffmocap.errors import ImageError
from diffmocap.types import Keypoints2D

# BGR; orange and blue stay apart for colour-blind eyes.
LEFT_COLOUR = (24, 131, 255)
RIGHT_COLOUR = (255, 168, 64)
MIDDLE_COLOUR = (225, 225, 225)

_SUBPIXEL_BITS = 4


def draw_keypoints(image: np.ndarray, keypoints: Keypoints2D, min_confidence: float = 0.05) -> np.ndarray:
    """The image with the skeleton over it, as a new image.

    The subject's left side is orange, the right one blue; the less confident, the fainter.

    Args:
        image: uint8 [H, W, 3] BGR, of the size that the keypoints refer to or scaled from it.
        keypoints: what to draw; those below ``min_confidence`` are left out.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise ImageError(f"expected an image [H, W, 3], got {image.shape}")
    height, width = image.shape[:2]
    drawn = image.copy()
    confidence = np.where(keypoints.confidence >= min_confidence, keypoints.confidence, 0.0)
    seen = confidence > 0
    if not seen.any():
        return drawn
    scale = np.array([width / keypoints.width, height / keypoints.height])
    points_px = keypoints.points_px * scale
    extent_px = np.ptp(points_px[seen], axis=0).max()
    radius = float(np.clip(0.012 * extent_px, 2.0, 0.012 * max(width, height, 200)))
    thickness = max(1, round(0.9 * radius))

    for a, b in KEYPOINT_EDGES:
        strength = float(min(confidence[a], confidence[b]))
        if strength > 0:
            _blend(drawn, points_px[[a, b]], strength, _colour(b if b != 1 else a), thickness, radius)
    for index in np.flatnonzero(seen):
        _blend(drawn, points_px[[index]], float(confidence[index]), _colour(index), 0, radius)
    return drawn


def _colour(keypoint: int) -> tuple[int, int, int]:
    side = KEYPOINT_NAMES[keypoint][:2]
    if side[0] == "L":
        return LEFT_COLOUR
    return RIGHT_COLOUR if side[0] == "R" else MIDDLE_COLOUR


def _blend(
    image: np.ndarray, points_px: np.ndarray, alpha: float, colour: tuple[int, int, int], thickness: int, radius: float
) -> None:
    """Draws a line (two points) or a dot (one) with opacity ``alpha``, touching its bounding box only."""
    height, width = image.shape[:2]
    margin = int(np.ceil(radius + thickness)) + 2
    low = np.clip(np.floor(points_px.min(0)).astype(int) - margin, 0, [width, height])
    high = np.clip(np.ceil(points_px.max(0)).astype(int) + margin, 0, [width, height])
    if (high <= low).any():
        return
    patch = image[low[1] : high[1], low[0] : high[0]]
    over = patch.copy()
    fixed = np.round((points_px - low) * (1 << _SUBPIXEL_BITS)).astype(int)
    if len(points_px) == 2:
        cv2.line(over, tuple(fixed[0]), tuple(fixed[1]), colour, thickness, cv2.LINE_AA, _SUBPIXEL_BITS)
    else:
        fixed_radius = int(radius * (1 << _SUBPIXEL_BITS))
        cv2.circle(over, tuple(fixed[0]), fixed_radius, (30, 30, 30), -1, cv2.LINE_AA, _SUBPIXEL_BITS)
        cv2.circle(over, tuple(fixed[0]), int(0.72 * fixed_radius), colour, -1, cv2.LINE_AA, _SUBPIXEL_BITS)
    cv2.addWeighted(over, alpha, patch, 1.0 - alpha, 0.0, dst=patch)
