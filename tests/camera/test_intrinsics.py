"""Intrinsics of parts of a sensor and of other sizes, by what they mean: where a point in space is seen."""

from __future__ import annotations

import numpy as np
import pytest

from diffmocap.camera.intrinsics import Readout, crop_warning, fitted, from_arrays, scaled
from diffmocap.errors import SettingsError
from diffmocap.types import CameraIntrinsics

K = np.array([[600.0, 0, 310], [0, 610, 250], [0, 0, 1]])
NONE = np.zeros(0)
POINTS_M = np.array([[0.3, -0.2, 2.0], [-0.4, 0.5, 3.0], [0.0, 0.1, 1.5]])


def pixels(camera: CameraIntrinsics, points_m: np.ndarray = POINTS_M) -> np.ndarray:
    seen = points_m @ camera.matrix.T
    return seen[:, :2] / seen[:, 2:]


def test_an_fx_of_zero_means_the_default_field_of_view():
    for k in (np.zeros((3, 3)), np.diag([0.0, 0.0, 1.0])):
        made = from_arrays(k, np.zeros(5), (0, 0), (640, 480), vertical_fov_deg=60.0)
        assert made == CameraIntrinsics.from_fov(640, 480, 60.0) and made.is_default


def test_scaling_keeps_the_field_of_view():
    small, large = CameraIntrinsics.from_fov(320, 240, 55.0), CameraIntrinsics.from_fov(1280, 960, 55.0)
    assert np.allclose(scaled(small, 1280, 960).matrix, large.matrix)
    made = from_arrays(K, np.zeros(5), (640, 480), (320, 240))
    rays = [np.linalg.inv(m.matrix) @ [m.width * 0.3, m.height * 0.8, 1] for m in (made, scaled(made, 640, 480))]
    assert np.allclose(*rays) and made.width == 320


def test_a_window_of_the_sensor_moves_pixels_and_keeps_the_focal_lengths():
    full = from_arrays(K, NONE, (640, 480), (640, 480))
    part = from_arrays(K, NONE, (640, 480), (320, 200), readout=Readout(120, 90, 320, 200))
    assert np.allclose(pixels(part), pixels(full) - [120, 90])
    assert (part.width, part.height) == (320, 200)


def test_binning_follows_the_window():
    full = from_arrays(K, NONE, (640, 480), (640, 480))
    part = from_arrays(K, NONE, (640, 480), (160, 50), readout=Readout(120, 90, 320, 200, 2, 4))
    assert np.allclose(pixels(part), (pixels(full) - [120, 90]) / [2, 4])
    assert (part.width, part.height) == (160, 50)


def test_a_binned_image_is_that_of_half_the_size():
    binned = from_arrays(K, NONE, (640, 480), (320, 240), readout=Readout(binning_x=2, binning_y=2))
    assert binned == from_arrays(K, NONE, (640, 480), (320, 240))
    # Odd sizes lose a column; pixels are still two columns wide.
    odd = from_arrays(K, NONE, (641, 481), (320, 240), readout=Readout(binning_x=2, binning_y=2))
    assert (odd.fx, odd.cx) == (300.0, 155.0)


def test_what_is_read_out_may_be_scaled_afterwards():
    part = Readout(120, 90, 320, 200)
    whole, half = (from_arrays(K, NONE, (640, 480), size, readout=part) for size in ((320, 200), (160, 100)))
    assert np.allclose(pixels(half), pixels(whole) / 2)


def test_all_zero_is_the_full_resolution_and_an_open_end_reaches_to_the_border():
    full = from_arrays(K, NONE, (640, 480), (640, 480))
    assert from_arrays(K, NONE, (640, 480), (640, 480), readout=Readout(0, 0, 0, 0, 0, 0)) == full
    assert from_arrays(K, NONE, (640, 480), (640, 480), readout=Readout(0, 0, 640, 480)) == full
    assert Readout(100, 80).size(640, 480) == (540, 400)


@pytest.mark.parametrize("window", [Readout(600, 0, 100, 100), Readout(640), Readout(0, 0, 641, 480)])
def test_a_window_beyond_the_sensor_is_refused(window):
    with pytest.raises(SettingsError, match="region of interest.*does not lie in the full resolution of 640 x 480"):
        from_arrays(K, NONE, (640, 480), (100, 100), readout=window)


def test_without_a_calibrated_size_the_image_tells_it():
    made = from_arrays(K, NONE, (0, 0), (200, 100), readout=Readout(200, 200, 200, 100))
    assert (made.width, made.height, made.cx, made.cy) == (200, 100, 110.0, 50.0)
    assert from_arrays(K, NONE, (0, 0), (640, 480)).cx == 310.0


@pytest.mark.parametrize("size", [(1280, 720), (640, 360), (1920, 800), (800, 800)])
def test_another_aspect_ratio_is_a_crop_of_rows(size):
    """The borders on the left and on the right see what they saw; the middle row stays the middle row."""
    full = from_arrays(K, NONE, (640, 480), (640, 480))
    part = from_arrays(K, NONE, (640, 480), size)
    scale = size[0] / 640
    assert np.isclose(part.fx / part.fy, full.fx / full.fy)
    moved = pixels(full) * scale + [0, (size[1] - 480 * scale) / 2]
    assert np.allclose(pixels(part), moved)
    assert "640 x 480" in crop_warning((640, 480), size)


@pytest.mark.parametrize("sizes", [((1280, 720), (854, 480)), ((1920, 1080), (1920, 1088)), ((640, 480), (1600, 1200))])
def test_rounding_and_padding_are_no_other_aspect_ratio(sizes):
    assert not crop_warning(*sizes)
    camera = CameraIntrinsics.from_fov(*sizes[0])
    assert fitted(camera, *sizes[1]) == scaled(camera, *sizes[1])


def test_exchanged_width_and_height_are_an_image_on_its_side():
    camera = CameraIntrinsics(640, 480, 600.0, 610.0, 320.0, 240.0, (-0.2, 0.1, 0.01, 0.02, 0.05))
    turned = fitted(camera, 240, 320)
    quarter = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])  # clockwise: what was on the right is below
    expected = np.array([[240.0, 0]]) + (pixels(camera) / 2)[:, ::-1] * [-1, 1]
    assert np.allclose(pixels(turned, POINTS_M @ quarter.T), expected)
    assert turned.distortion == (-0.2, 0.1, 0.0, 0.0, 0.05)
    assert "turned" in crop_warning((640, 480), (240, 320))


@pytest.mark.parametrize(
    "k, why",
    [
        (np.eye(3), "fx=1 and fy=1 for 640 x 480 pixels: a field of view of 179.6"),
        (np.diag([1e9, 1e9, 1.0]) + [[0, 0, 320], [0, 0, 240], [0, 0, 0]], "fx=1e\\+09"),
        ([[600, 0, 320], [0, 6, 240], [0, 0, 1]], "field of view"),
        ([[600, 0, 320], [0, 100, 240], [0, 0, 1]], "pixels 6 times as high as wide"),
        ([[-600, 0, 320], [0, 600, 240], [0, 0, 1]], "positive"),
        ([[600, 0, 320], [0, 0, 240], [0, 0, 1]], "positive"),
        ([[600, 0, np.nan], [0, 600, 240], [0, 0, 1]], "finite"),
        ([[600, 0, 320], [0, 600, np.inf], [0, 0, 1]], "finite"),
        ([[600, 0, 0], [0, 600, 0], [0, 0, 1]], "in the corner of an image"),
        ([[600, 0, 3200], [0, 600, 240], [0, 0, 1]], "far outside of an image"),
        ([[600, 0, 320], [0, 600, -500], [0, 0, 1]], "far outside"),
        ([[600, 0, 0], [0, 600, 0], [320, 240, 1]], r"fx 0 cx; 0 fy cy; 0 0 1"),
        ([[600, 0, 320], [0, 600, 240], [0, 0, 0]], r"0 0 1"),
        ([[600, 90, 320], [0, 600, 240], [0, 0, 1]], "skew of 90"),
    ],
)
def test_a_matrix_that_no_camera_has_is_refused_with_the_reason(k, why):
    with pytest.raises(SettingsError, match=why) as refusal:
        from_arrays(np.array(k, float), NONE, (640, 480), (640, 480))
    assert "calibrate the camera again" in str(refusal.value)


@pytest.mark.parametrize(
    "k, size",
    [
        ([[5000, 0, 320], [0, 5000, 240], [0, 0, 1]], (640, 480)),  # a long lens
        ([[120, 0, 320], [0, 120, 240], [0, 0, 1]], (640, 480)),  # an action camera, rectified
        ([[600, 0, 320], [0, 300, 120], [0, 0, 1]], (640, 240)),  # every second row
        ([[700, 0, -60], [0, 700, 240], [0, 0, 1]], (640, 480)),  # a stereo camera, rectified
        ([[600, 0.4, 320], [0, 600, 240], [0, 0, 1]], (640, 480)),
    ],
)
def test_unusual_cameras_are_believed(k, size):
    assert not from_arrays(np.array(k, float), NONE, size, size).is_default


def test_a_window_far_from_the_axis_is_possible():
    """The principal point is judged in the full resolution."""
    made = from_arrays(K, NONE, (640, 480), (40, 40), readout=Readout(600, 440, 40, 40))
    assert made.cx == -290.0


def test_a_fisheye_lens_may_see_more_than_a_pinhole():
    wide = np.array([[150.0, 0, 320], [0, 150, 240], [0, 0, 1]])
    assert from_arrays(wide, np.array([0.1, 0, 0, 0]), (640, 480), (640, 480), "equidistant").fisheye
    with pytest.raises(SettingsError, match="field of view"):
        from_arrays(np.eye(3), np.array([0.1, 0, 0, 0]), (640, 480), (640, 480), "equidistant")


def test_coefficients_that_no_lens_model_has_are_refused():
    with pytest.raises(SettingsError, match="0, 4, 5, 8, 12, 14 distortion coefficients, got 2"):
        CameraIntrinsics(640, 480, 500.0, 500.0, 320.0, 240.0, (0.1, 0.2))
