"""Images become even frames: each takes the image of its own time, and says so where there is none."""

from __future__ import annotations

import numpy as np
import pytest

from diffmocap.errors import CameraError
from diffmocap.keypoints.settings import SideSettings
from diffmocap.reconstruct.footage import Footage, rate
from diffmocap.types import CameraIntrinsics, Keypoints2D

CAMERA = CameraIntrinsics.from_fov(640, 480)


def seen_at(seconds: float, x: float = 100.0) -> Keypoints2D:
    points = np.full((25, 2), x, np.float32) + np.arange(25, dtype=np.float32)[:, None]
    return Keypoints2D(points, np.ones(25, np.float32), 640, 480, stamp_ns=round(1e9 * seconds))


def test_images_at_an_even_rate_are_the_frames():
    footage = Footage.even([seen_at(i / 30, i) for i in range(90)], CAMERA)
    assert footage.fps == 30.0 and len(footage) == 90
    assert footage.images.tolist() == list(range(90))
    assert [float(k.points_px[0, 0]) for k in footage.keypoints] == list(range(90))


def test_stamps_rounded_to_milliseconds_are_of_their_usual_rate():
    assert Footage.even([seen_at(round(i / 29.97, 3)) for i in range(200)], CAMERA).fps == 30.0
    assert rate(np.full(10, 1 / 27.3)) == pytest.approx(27.3)


def test_a_missing_image_leaves_its_frame_empty():
    images = [seen_at(i / 30, i) for i in range(30) if i not in (10, 11)]
    footage = Footage.even(images, CAMERA)
    assert np.flatnonzero(footage.images < 0).tolist() == [10, 11]
    assert [k.visible for k in footage.keypoints[9:13]] == [25, 0, 0, 25]


def test_another_rate_takes_the_nearest_image():
    footage = Footage.even([seen_at(i / 60, i) for i in range(121)], CAMERA, fps=20.0)
    assert len(footage) == 41 and footage.images.tolist() == list(range(0, 121, 3))


def test_times_that_do_not_rise_and_single_images_are_refused():
    with pytest.raises(CameraError, match="image 2 comes 0.100 s too early"):
        Footage.even([seen_at(0.0), seen_at(0.2), seen_at(0.1)], CAMERA)
    with pytest.raises(CameraError, match="image 2 comes 3.0 years after the one before it"):
        Footage.even([seen_at(0.0), seen_at(0.1), seen_at(3 * 31_557_600.0)], CAMERA)
    with pytest.raises(CameraError, match="at least 2 images, got 1"):
        Footage.even([seen_at(0.0)], CAMERA)


def test_uncertain_keypoints_are_left_out_and_sides_are_put_right(demo_keypoints):
    keypoints = demo_keypoints[:40]
    exchanged = list(keypoints)
    from diffmocap.body.skeleton import KEYPOINT_MIRROR
    from diffmocap.keypoints.side_exchange import reordered

    exchanged[20] = reordered(keypoints[20], np.array(KEYPOINT_MIRROR))
    footage = Footage.even(exchanged, CAMERA)
    kept = footage.as_lifted(0.0, SideSettings())
    assert np.abs(kept[20].points_px - keypoints[20].points_px).max() < 1e-3
    untouched = footage.as_lifted(0.0, SideSettings(enabled=False))
    assert np.abs(untouched[20].points_px - keypoints[20].points_px).max() > 10
    assert footage.as_lifted(1.0, SideSettings())[0].visible < keypoints[0].visible
