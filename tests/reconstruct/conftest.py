"""Keypoints of the bundled clip as its ground truth has them, with a person who walks."""

from __future__ import annotations

import numpy as np
import pytest

from diffmocap.types import CameraIntrinsics, Keypoints2D


@pytest.fixture(scope="package")
def truth(repo_root):
    with np.load(repo_root / "media" / "demo.npz") as data:
        return {key: data[key] for key in ("poses", "joints", "keypoints2d", "K")}


@pytest.fixture(scope="package")
def demo_camera(truth) -> CameraIntrinsics:
    K = truth["K"]
    return CameraIntrinsics(640, 480, K[0, 0], K[1, 1], K[0, 2], K[1, 2])


@pytest.fixture(scope="package")
def demo_keypoints(truth) -> list[Keypoints2D]:
    """Of 150 frames, exact."""
    px = truth["keypoints2d"][:150].astype(np.float32)
    return [
        Keypoints2D(p[:, :2].copy(), np.full(25, 0.9, np.float32), 640, 480, stamp_ns=round(i * 1e9 / 30))
        for i, p in enumerate(px)
    ]
