from __future__ import annotations

import cv2
import numpy as np
import pytest

from diffmocap.camera.mirror import mirrored
from diffmocap.types import CameraIntrinsics

PLUMB_BOB = (-0.28, 0.09, 0.004, -0.003, 0.02)
LENSES = {
    "none": (),
    "plumb_bob": PLUMB_BOB,
    "rational": (*PLUMB_BOB, 0.01, 0.005, 0.002),
    "thin prism": (*PLUMB_BOB, 0.01, 0.005, 0.002, 0.01, -0.004, 0.008, 0.003),
    "tilted": (*PLUMB_BOB, 0.01, 0.005, 0.002, 0.01, -0.004, 0.008, 0.003, 0.02, -0.03),
}


@pytest.mark.parametrize("name", LENSES)
def test_a_mirrored_world_before_the_camera_is_a_mirrored_picture(name):
    """OpenCV's own projection of points, and of the same points on the other side of the plane x = 0."""
    camera = CameraIntrinsics(640, 480, 600.0, 610.0, 305.0, 250.0, LENSES[name])
    other = mirrored(camera)
    rng = np.random.default_rng(4)
    points = np.column_stack([rng.uniform(-0.9, 0.9, 50), rng.uniform(-0.7, 0.7, 50), rng.uniform(2.5, 4, 50)])

    def seen(points, camera):
        lens = np.array(camera.distortion)
        return cv2.projectPoints(points, np.zeros(3), np.zeros(3), camera.matrix, lens)[0][:, 0]

    expected = seen(points, camera) * [-1, 1] + [640, 0]
    assert np.abs(seen(points * [-1, 1, 1], other) - expected).max() < 1e-6
    assert mirrored(other) == camera and mirrored(CameraIntrinsics.from_fov(640, 480)).cx == 320
