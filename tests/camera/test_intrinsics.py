from __future__ import annotations

import cv2
import numpy as np
import pytest
import yaml

from diffmocap.camera.intrinsics import from_arrays, load_calibration, scaled, undistort_keypoints
from diffmocap.errors import SettingsError
from diffmocap.types import CameraIntrinsics, Keypoints2D

K = np.array([[600.0, 0, 310], [0, 610, 250], [0, 0, 1]])
PLUMB_BOB = (-0.28, 0.09, 0.001, -0.0007, 0.02)


def calibration(**changes) -> dict:
    return {
        "image_width": 640,
        "image_height": 480,
        "camera_name": "test",
        "camera_matrix": {"rows": 3, "cols": 3, "data": K.reshape(-1).tolist()},
        "distortion_model": "plumb_bob",
        "distortion_coefficients": {"rows": 1, "cols": 5, "data": list(PLUMB_BOB)},
    } | changes


def test_the_file_of_camera_calibration(tmp_path):
    path = tmp_path / "camera.yaml"
    path.write_text(yaml.safe_dump(calibration()))
    made = load_calibration(path)
    assert made == CameraIntrinsics(640, 480, 600.0, 610.0, 310.0, 250.0, PLUMB_BOB)
    assert not made.is_default


@pytest.mark.parametrize(
    "content",
    ["", "just text", "[1, 2]", "a: [", yaml.safe_dump(calibration(camera_matrix={"data": [1, 2]})), "\x00\x01"],
)
def test_a_file_without_a_calibration(tmp_path, content):
    path = tmp_path / "camera.yaml"
    path.write_text(content)
    with pytest.raises(SettingsError, match="is no camera calibration: expected image_width"):
        load_calibration(path)


def test_a_missing_calibration_file(tmp_path):
    with pytest.raises(SettingsError, match=r"No such file.*leave it out"):
        load_calibration(tmp_path / "none.yaml")


def test_an_all_zero_matrix_means_the_default_field_of_view():
    made = from_arrays(np.zeros((3, 3)), np.zeros(5), (0, 0), (640, 480), vertical_fov_deg=60.0)
    assert made == CameraIntrinsics.from_fov(640, 480, 60.0) and made.is_default


def test_scaling_keeps_the_field_of_view():
    small, large = CameraIntrinsics.from_fov(320, 240, 55.0), CameraIntrinsics.from_fov(1280, 960, 55.0)
    assert np.allclose(scaled(small, 1280, 960).matrix, large.matrix)
    made = from_arrays(K, np.zeros(5), (640, 480), (320, 240))
    rays = [np.linalg.inv(m.matrix) @ [m.width * 0.3, m.height * 0.8, 1] for m in (made, scaled(made, 640, 480))]
    assert np.allclose(*rays) and made.width == 320


@pytest.mark.parametrize(
    "model, coefficients, why",
    [
        ("equidistant", [0.1] * 4, "rectify"),
        ("plumb_bob", [0.1] * 3, "0, 4, 5 finite"),
        ("plumb_bob", [np.nan] * 5, "finite"),
    ],
)
def test_distortion_that_cannot_be_used(model, coefficients, why):
    with pytest.raises(SettingsError, match=why):
        from_arrays(K, np.array(coefficients), (640, 480), (640, 480), model)


@pytest.mark.parametrize("distortion", [PLUMB_BOB, (*PLUMB_BOB, 0.01, 0.005, 0.002)])
def test_undistortion_inverts_the_lens(distortion):
    """OpenCV's forward model (projectPoints) as the reference."""
    rng = np.random.default_rng(3)
    camera = CameraIntrinsics(640, 480, 600.0, 610.0, 310.0, 250.0, distortion)
    points = np.column_stack([rng.uniform(-0.9, 0.9, 25), rng.uniform(-0.7, 0.7, 25), rng.uniform(2.5, 4, 25)])
    seen, _ = cv2.projectPoints(points, np.zeros(3), np.zeros(3), camera.matrix, np.array(distortion))
    ideal = points @ camera.matrix.T
    ideal = ideal[:, :2] / ideal[:, 2:]
    assert np.abs(seen[:, 0] - ideal).max() > 1.0
    confidence = np.ones(25, np.float32)
    confidence[7] = 0
    points_px = seen[:, 0].astype(np.float32)
    points_px[7] = 0
    made = undistort_keypoints(Keypoints2D(points_px, confidence, 640, 480, 5), camera)
    assert np.abs(made.points_px - ideal)[confidence > 0].max() < 0.05
    assert (made.points_px[7] == 0).all() and made.stamp_ns == 5


def test_an_ideal_pinhole_changes_nothing():
    keypoints = Keypoints2D(np.ones((25, 2), np.float32), np.ones(25, np.float32), 640, 480)
    assert undistort_keypoints(keypoints, CameraIntrinsics.from_fov(640, 480)) is keypoints
