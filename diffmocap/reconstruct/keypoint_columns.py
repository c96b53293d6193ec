"""Keypoints of many images as the arrays of an ``.npz`` file, and back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from diffmocap.files.array_archive import ArrayArchive
from diffmocap.types import Keypoints2D


def columns_of(keypoints: Sequence[Keypoints2D]) -> dict[str, np.ndarray]:
    """Arrays with a row per image, of any number of images.

    ``stamp_ns`` [N], ``points_px`` [N, 25, 2], ``confidence``, ``depth_m`` and ``depth_known`` [N, 25], and
    ``size`` [N, 2].
    """
    unknown = np.full(25, np.nan, np.float32)
    depth_m = np.array([unknown if k.depth_m is None else k.depth_m for k in keypoints], np.float32).reshape(-1, 25)
    return {
        "stamp_ns": np.array([k.stamp_ns for k in keypoints], np.int64),
        "points_px": np.array([k.points_px for k in keypoints], np.float32).reshape(-1, 25, 2),
        "confidence": np.array([k.confidence for k in keypoints], np.float32).reshape(-1, 25),
        "depth_m": np.nan_to_num(depth_m), "depth_known": np.isfinite(depth_m).astype(np.uint8),
        "size": np.array([(k.width, k.height) for k in keypoints], np.int32).reshape(-1, 2),
    }  # fmt: skip


def keypoints_of(data: ArrayArchive) -> list[Keypoints2D]:
    """Reads the arrays of :func:`columns_of`.

    Raises:
        DiffmocapError: of the archive's kind, where they are damaged.
    """
    stamps = data.array("stamp_ns", (None,)).astype(np.int64)
    count = len(stamps)
    points = data.array("points_px", (count, 25, 2)).astype(np.float32)
    confidence = data.array("confidence", (count, 25)).astype(np.float32)
    depth_m = data.array("depth_m", (count, 25)).astype(np.float32)
    depth_m[data.array("depth_known", (count, 25)) == 0] = np.nan
    size = data.array("size", (count, 2))
    depths = [None if np.isnan(d).all() else d for d in depth_m]
    return [
        Keypoints2D(p, c, int(w), int(h), int(s), d)
        for p, c, (w, h), s, d in zip(points, confidence, size, stamps, depths, strict=True)
    ]
