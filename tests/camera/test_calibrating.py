"""Calibrations from rendered boards, against the camera that rendered them."""

from __future__ import annotations

import numpy as np
import pytest

from diffmocap.camera.calibration.board_views import BoardViews
from diffmocap.camera.calibration.calibrating import calibrate
from diffmocap.camera.calibration.chessboard import Board
from diffmocap.camera.lens import distort
from diffmocap.errors import CalibrationError, SettingsError
from diffmocap.types import CameraIntrinsics
from tests.board_scene import pictures

BOARD = Board(9, 6, 0.025)
PINHOLE = CameraIntrinsics(640, 480, 520.0, 530.0, 325.0, 236.0, (-0.25, 0.06, 0.0, 0.0, 0.0))
FISHEYE = CameraIntrinsics(640, 480, 230.0, 232.0, 322.0, 238.0, (0.05, -0.01, 0.002, -0.0005), fisheye=True)


def views_of(images: list[np.ndarray]) -> BoardViews:
    views = BoardViews(BOARD, 640, 480)
    for number, image in enumerate(images):
        corners = BOARD.find(image, thorough=True)
        assert corners is not None and views.add(corners, f"picture {number}")
    return views


@pytest.fixture(scope="module")
def pinhole_views() -> BoardViews:
    return views_of(pictures(PINHOLE, BOARD, 16))


@pytest.fixture(scope="module")
def fisheye_views() -> BoardViews:
    return views_of(pictures(FISHEYE, BOARD, 16, distance_m=0.25, spread=0.55))


def some(views: BoardViews, corners: list[np.ndarray]) -> BoardViews:
    made = BoardViews(BOARD, views.width, views.height, min_difference=0.0)
    for number, each in enumerate(corners):
        made.add(each, f"picture {number}")
    return made


def assert_same_camera(made: CameraIntrinsics, true: CameraIntrinsics) -> None:
    assert np.allclose([made.fx, made.fy], [true.fx, true.fy], rtol=0.005)
    assert np.allclose([made.cx, made.cy], [true.cx, true.cy], atol=2.0)
    # The lens bends as it did, out to where boards were seen.
    positions = np.stack(np.meshgrid(np.linspace(-0.45, 0.45, 7), np.linspace(-0.35, 0.35, 5)), -1).reshape(-1, 2)
    assert np.abs(distort(positions, made) - distort(positions, true)).max() < 1.5


def test_a_pinhole_camera_is_recovered(pinhole_views):
    result = calibrate(pinhole_views)
    assert_same_camera(result.intrinsics, PINHOLE)
    assert result.rms_px < 0.15 and len(result.used) == 16 and not result.left_out
    assert not result.intrinsics.fisheye and result.intrinsics.distortion[4] == 0.0
    across, down = result.field_of_view_deg
    assert across == pytest.approx(69.0, abs=0.5) and down == pytest.approx(51.1, abs=0.5)


def test_a_fisheye_lens_is_recovered(fisheye_views):
    result = calibrate(fisheye_views, fisheye=True)
    assert result.intrinsics.fisheye
    assert_same_camera(result.intrinsics, FISHEYE)
    # By the lens's formula: the border is where theta (1 + k1 theta^2 + ...) = (width - cx) / fx and cx / fx.
    theta = np.linspace(0, 1.6, 100_000)
    seen = theta * (1 + sum(c * theta ** (2 * n + 2) for n, c in enumerate(FISHEYE.distortion)))
    true = np.rad2deg(np.interp([322 / 230, 318 / 230], seen, theta).sum())
    assert result.field_of_view_deg[0] == pytest.approx(true, abs=2.5)  # boards did not reach that far


def test_a_pinhole_that_cannot_reach_the_border_is_refused(fisheye_views):
    """Where boards were seen it fits the fisheye lens to a tenth of a pixel."""
    with pytest.raises(CalibrationError, match="turns back before the image's border.*--fisheye"):
        calibrate(fisheye_views, radial=3)


def test_a_view_that_does_not_fit_is_left_out_and_named(pinhole_views):
    corners = [view.corners_px.copy() for view in pinhole_views.views]
    corners[4] += np.random.default_rng(0).normal(0, 3.0, corners[4].shape).astype(np.float32)
    result = calibrate(some(pinhole_views, corners))
    assert [name for name, _ in result.left_out] == ["picture 4"] and result.left_out[0][1] > 1.0
    assert_same_camera(result.intrinsics, PINHOLE)


def test_too_few_views_are_refused(pinhole_views):
    few = some(pinhole_views, [view.corners_px for view in pinhole_views.views[:9]])
    with pytest.raises(CalibrationError, match="9 different views of the board, expected 10 at least"):
        calibrate(few)


def test_frontal_views_alone_are_refused():
    """They do not tell a long lens from a board far away."""
    flat = BOARD.points_m[:, :2] / 0.025
    frontal = [(flat * scale + offset).astype(np.float32) for scale in (20, 30, 40)
               for offset in ((20, 20), (200, 40), (40, 200), (230, 250))]  # fmt: skip
    for fisheye in (False, True):
        with pytest.raises(CalibrationError, match="tilted by 0 degrees at most"):
            calibrate(some(BoardViews(BOARD, 640, 480), frontal), fisheye)


def test_views_that_are_too_much_alike_are_refused(pinhole_views):
    """One view with the noise of corner detection, many times over."""
    rng = np.random.default_rng(2)
    same = pinhole_views.views[6].corners_px
    alike = [same + rng.normal(0, 0.3, same.shape).astype(np.float32) for _ in range(16)]
    with pytest.raises(CalibrationError, match="too much alike|no possible camera"):
        calibrate(some(pinhole_views, alike))


def test_wrong_corners_are_refused(pinhole_views):
    rng = np.random.default_rng(3)
    wrong = [
        view.corners_px + rng.normal(0, 4.0, view.corners_px.shape).astype(np.float32) for view in pinhole_views.views
    ]
    with pytest.raises(CalibrationError, match="reprojection error"):
        calibrate(some(pinhole_views, wrong))
    for radial in (0, 4):
        with pytest.raises(SettingsError, match="1 to 3 radial"):
            calibrate(pinhole_views, radial=radial)
