"""Lens distortion against OpenCV's forward models and a fisheye formula written down here."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from diffmocap.camera.intrinsics import from_arrays, scaled
from diffmocap.camera.lens import lens_of, undistort, undistort_keypoints
from diffmocap.errors import SettingsError
from diffmocap.types import CameraIntrinsics, Keypoints2D

K = np.array([[600.0, 0, 310], [0, 610, 250], [0, 0, 1]])
PLUMB_BOB = (-0.28, 0.09, 0.001, -0.0007, 0.02)
RATIONAL = (5.2, 2.1, 0.0001, 0.0002, 0.05, 5.6, 3.9, 0.4)
THIN_PRISM = (*PLUMB_BOB, 0.01, 0.005, 0.002, 0.001, -0.001, 0.002, 0.001)
FISHEYE = (0.02, -0.01, 0.003, -0.001)


def keypoints(points_px: np.ndarray, missing: tuple[int, ...] = ()) -> Keypoints2D:
    confidence = np.full(25, 0.7, np.float32)
    points_px = np.array(points_px, np.float32)
    confidence[list(missing)], points_px[list(missing)] = 0, 0
    return Keypoints2D(points_px, confidence, 640, 480, 5)


def ideal_px(points_m: np.ndarray, camera: CameraIntrinsics) -> np.ndarray:
    seen = points_m @ camera.matrix.T
    return seen[:, :2] / seen[:, 2:]


def fisheye_px(points_m: np.ndarray, camera: CameraIntrinsics) -> np.ndarray:
    """The equidistant model by its formula: the radius is theta (1 + k1 theta^2 + ... + k4 theta^8)."""
    theta = np.arctan2(np.linalg.norm(points_m[:, :2], axis=1), points_m[:, 2])
    radius = theta * (1 + sum(k * theta ** (2 * n + 2) for n, k in enumerate(camera.distortion)))
    direction = points_m[:, :2] / np.linalg.norm(points_m[:, :2], axis=1, keepdims=True)
    return radius[:, None] * direction * [camera.fx, camera.fy] + [camera.cx, camera.cy]


def some_points_m(reach: float = 0.9) -> np.ndarray:
    rng = np.random.default_rng(3)
    return np.column_stack([rng.uniform(-reach, reach, 25), rng.uniform(-0.7, 0.7, 25), rng.uniform(2.5, 4, 25)])


@pytest.mark.parametrize("distortion", [PLUMB_BOB, (*PLUMB_BOB, 0.01, 0.005, 0.002), RATIONAL, THIN_PRISM])
def test_undistortion_inverts_the_lens(distortion):
    camera = CameraIntrinsics(640, 480, 600.0, 610.0, 310.0, 250.0, distortion)
    points = some_points_m()
    seen, _ = cv2.projectPoints(points, np.zeros(3), np.zeros(3), camera.matrix, np.array(distortion))
    ideal = ideal_px(points, camera)
    assert np.abs(seen[:, 0] - ideal).max() > 1.0
    made = undistort_keypoints(keypoints(seen[:, 0], missing=(7,)), camera)
    others = np.arange(25) != 7
    assert np.abs(made.points_px - ideal)[others].max() < 0.01
    assert (made.confidence[others] == np.float32(0.7)).all()
    assert (made.points_px[7] == 0).all() and made.confidence[7] == 0 and made.stamp_ns == 5


def test_a_wide_lens_is_undone_to_its_corners():
    """OpenCV's own five iterations leave five pixels there."""
    camera = CameraIntrinsics(640, 480, 400.0, 400.0, 320.0, 240.0, RATIONAL)
    angles, turns = np.deg2rad(np.linspace(10.0, 60.0, 25)), np.linspace(0.0, 20.0, 25)
    points = np.column_stack([np.tan(angles) * np.cos(turns), np.tan(angles) * np.sin(turns), np.ones(25)])
    seen, _ = cv2.projectPoints(points, np.zeros(3), np.zeros(3), camera.matrix, np.array(RATIONAL))
    made = undistort_keypoints(keypoints(seen[:, 0]), camera)
    assert np.abs(made.points_px - ideal_px(points, camera)).max() < 0.05


def test_a_fisheye_lens_is_undone():
    camera = CameraIntrinsics(640, 480, 220.0, 225.0, 318.0, 244.0, FISHEYE, fisheye=True)
    points = some_points_m(reach=6.0)
    made = undistort_keypoints(keypoints(fisheye_px(points, camera)), camera)
    error = np.abs(made.points_px - ideal_px(points, camera)) / np.abs(ideal_px(points, camera))
    assert error.max() < 1e-4 and made.visible == 25


def test_what_a_pinhole_cannot_show_is_missing():
    """Beyond 80 degrees a fisheye lens sees on, and OpenCV gives a million pixels or the wrong side."""
    camera = CameraIntrinsics(640, 480, 150.0, 150.0, 320.0, 240.0, FISHEYE, fisheye=True)
    angles = np.deg2rad(np.linspace(5.0, 125.0, 25))
    points = np.column_stack([np.sin(angles), 0.0 * angles, np.cos(angles)])
    made = undistort_keypoints(keypoints(fisheye_px(points, camera)), camera)
    shown = angles < np.deg2rad(80.0)
    assert ((made.confidence > 0) == shown).all() and shown.any() and not shown.all()
    assert np.allclose(made.points_px[shown, 0], 320 + 150 * np.tan(angles[shown]), rtol=1e-3)
    assert (made.points_px[~shown] == 0).all()


def test_where_the_lens_has_no_inverse_a_keypoint_is_missing():
    """Its polynomial turns back before this corner, which no point in space can reach."""
    camera = CameraIntrinsics(640, 480, 300.0, 300.0, 320.0, 240.0, (-0.3, 0.0, 0.0, 0.0, 0.0))
    assert np.isnan(undistort(np.array([[0.0, 0.0], [640.0, 480.0]]), camera)).all()
    assert np.isfinite(undistort(np.array([[320.0, 240.0], [330.0, 250.0]]), camera)).all()


def test_an_ideal_pinhole_changes_nothing():
    whole = keypoints(np.ones((25, 2)))
    assert undistort_keypoints(whole, CameraIntrinsics.from_fov(640, 480)) is whole


@pytest.mark.parametrize("model", ["plumb_bob", "equidistant", "thin_prism", "Kannala-Brandt", "", "none"])
@pytest.mark.parametrize("coefficients", [[], [0.0] * 5, [0.0] * 9])
def test_zero_distortion_is_a_pinhole_whatever_the_name(model, coefficients):
    made = from_arrays(K, np.array(coefficients), (640, 480), (640, 480), model)
    assert made == CameraIntrinsics(640, 480, 600.0, 610.0, 310.0, 250.0)


@pytest.mark.parametrize(
    "model, coefficients, expected, fisheye",
    [
        ("plumb_bob", PLUMB_BOB, PLUMB_BOB, False),
        ("plumb_bob", (*PLUMB_BOB, 0, 0, 0), PLUMB_BOB, False),  # as drivers that always send eight
        ("rational_polynomial", RATIONAL, RATIONAL, False),
        ("thin_prism", THIN_PRISM, THIN_PRISM, False),
        ("", THIN_PRISM, THIN_PRISM, False),
        ("equidistant", FISHEYE, FISHEYE, True),
        ("equidistant", (*FISHEYE, 0), FISHEYE, True),
        ("fisheye", FISHEYE, FISHEYE, True),
    ],
)
def test_models_that_are_known(model, coefficients, expected, fisheye):
    assert lens_of(model, np.array(coefficients)) == (expected, fisheye)


@pytest.mark.parametrize(
    "model, coefficients, why",
    [
        ("Kannala-Brandt", [0.1] * 4, "not supported, expected plumb_bob.*equidistant; rectify.*rectified: true"),
        ("plumb_bob", [0.1] * 3, "0, 4, 5 finite"),
        ("plumb_bob", [0.1] * 8, "0, 4, 5 finite"),
        ("equidistant", [0.1] * 5, "0, 4 finite"),
        ("plumb_bob", [np.nan] * 5, "finite"),
    ],
)
def test_distortion_that_cannot_be_used(model, coefficients, why):
    with pytest.raises(SettingsError, match=why):
        from_arrays(K, np.array(coefficients), (640, 480), (640, 480), model)


def test_a_fisheye_lens_takes_four_coefficients():
    with pytest.raises(SettingsError, match="4 distortion coefficients, got 5"):
        CameraIntrinsics(640, 480, 600.0, 600.0, 320.0, 240.0, PLUMB_BOB, fisheye=True)
    small = scaled(CameraIntrinsics(640, 480, 220.0, 220.0, 320.0, 240.0, FISHEYE, fisheye=True), 320, 240)
    assert small.fisheye and small.distortion == FISHEYE
