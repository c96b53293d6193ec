"""A camera's calibration from views of a chessboard, by OpenCV; what cannot be right is refused."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from diffmocap.camera.calibration.board_views import BoardViews
from diffmocap.camera.calibration.chessboard import Board, BoardView
from diffmocap.camera.intrinsics import from_arrays
from diffmocap.camera.lens import undistort
from diffmocap.errors import CalibrationError, SettingsError
from diffmocap.types import CameraIntrinsics

#: Fewer views say little; ROS's cameracalibrator wants 40 and is content with fewer.
MIN_VIEWS = 10
#: Reprojection error above which a calibration is refused, in images of up to this width; in larger ones in proportion.
MAX_RMS_PX, RMS_WIDTH = 1.0, 1280
#: Standard deviation of a focal length, over the focal length, above which the views do not determine it.
MAX_FOCAL_DEVIATION = 0.02
#: Views whose error is so many times the middle one, and more than so many pixels, are left out: blurred, misread.
OUTLIER_FACTOR, OUTLIER_PX = 3.0, 0.3
#: Some view must show the board tilted by this, as a sine (10 degrees): frontal ones do not tell size from distance.
MIN_TILT = 0.17

_MORE = "take more views: the board near and far, in all corners of the image, tilted to all sides, held still"


@dataclass(frozen=True)
class CalibrationResult:
    """A calibration and how well it fits.

    Attributes:
        intrinsics: of the images that the views were seen in.
        rms_px: root mean square distance between corners as seen and as the calibration projects them.
        used: the views that it was made of.
        left_out: (name, error in pixels) of those that did not fit.
    """

    intrinsics: CameraIntrinsics
    rms_px: float
    used: tuple[BoardView, ...]
    left_out: tuple[tuple[str, float], ...]

    @property
    def field_of_view_deg(self) -> tuple[float, float]:
        """Horizontal and vertical, along the image's middle lines; distortion counts."""
        k = self.intrinsics
        edges = np.array([[0.0, k.cy], [k.width, k.cy], [k.cx, 0.0], [k.cx, k.height]])
        if k.fisheye:  # beyond what a pinhole could show
            theta = _fisheye_angles(edges, k)
        elif k.distortion:
            theta = np.arctan(np.linalg.norm(undistort(edges, k), axis=1))
        else:
            theta = np.arctan(np.linalg.norm((edges - [k.cx, k.cy]) / [k.fx, k.fy], axis=1))
        return math.degrees(theta[0] + theta[1]), math.degrees(theta[2] + theta[3])


def calibrate(views: BoardViews, fisheye: bool = False, radial: int = 2) -> CalibrationResult:
    """The camera that sees the board as the views do.

    Args:
        views: of one board.
        fisheye: fit OpenCV's fisheye model (ROS: equidistant) instead of a pinhole with plumb bob distortion.
        radial: coefficients of the radial distortion of the latter, 1 to 3; the third is for wide lenses.

    Raises:
        CalibrationError: where the views are too few, too much alike, or the result does not fit them.
    """
    if not 1 <= radial <= 3:
        raise SettingsError(f"1 to 3 radial coefficients can be fitted, got {radial}")
    _refuse_poor(views)
    used, left_out = list(views.views), []
    fit = _fit_fisheye if fisheye else _fit_pinhole
    fitted = fit(views.board, used, (views.width, views.height), radial)
    errors_px = fitted.errors_px
    limit_px = max(OUTLIER_FACTOR * float(np.median(errors_px)), OUTLIER_PX)
    worse = [(view, float(error)) for view, error in zip(fitted.used, errors_px) if error > limit_px]
    left_out += [(view.name, math.nan) for view in used if not any(view is kept for kept in fitted.used)]
    if worse and len(fitted.used) - len(worse) >= MIN_VIEWS:
        bad = {id(view) for view, _ in worse}
        left_out += [(view.name, error) for view, error in worse]
        fitted = fit(views.board, [v for v in fitted.used if id(v) not in bad], (views.width, views.height), radial)
    _refuse_misfit(fitted, views.width)
    try:
        intrinsics = from_arrays(
            fitted.k, fitted.distortion, *[(views.width, views.height)] * 2, "equidistant" if fisheye else "plumb_bob"
        )
    except SettingsError as error:
        raise CalibrationError(f"the views give no possible camera: {error}. Better {_MORE}") from error
    result = CalibrationResult(intrinsics, fitted.rms_px, tuple(fitted.used), tuple(left_out))
    if not np.isfinite(result.field_of_view_deg).all():
        raise CalibrationError(
            "the distortion that fits the views turns back before the image's border: the lens is a wide one "
            f"(--fisheye), or no view shows the board near the border (--radial 1 is safer then); {_MORE}"
        )
    return result


@dataclass(frozen=True)
class _Fit:
    k: np.ndarray
    distortion: np.ndarray
    errors_px: np.ndarray  # [views] root mean square
    used: Sequence[BoardView]
    focal_deviation: float  # over the focal length; 0 where it is not known

    @property
    def rms_px(self) -> float:
        return float(np.sqrt((self.errors_px**2).mean()))


def _fit_pinhole(board: Board, views: Sequence[BoardView], size: tuple[int, int], radial: int) -> _Fit:
    flags = (cv2.CALIB_FIX_K2 if radial < 2 else 0) | (cv2.CALIB_FIX_K3 if radial < 3 else 0)
    try:
        _, k, distortion, _, _, deviations, _, errors = cv2.calibrateCameraExtended(
            [board.points_m] * len(views), [view.corners_px for view in views], size, None, None, flags=flags
        )
    except cv2.error as error:
        raise CalibrationError(f"OpenCV finds no camera for these views ({error.err}); {_MORE}") from error
    deviation = float(max(deviations[0, 0] / k[0, 0], deviations[1, 0] / k[1, 1]))
    return _Fit(k, distortion.reshape(-1)[:5], errors.reshape(-1), views, deviation)


def _fit_fisheye(board: Board, views: Sequence[BoardView], size: tuple[int, int], _: int) -> _Fit:
    """Views that OpenCV calls ill-conditioned are left out one by one."""
    flags = cv2.fisheye.CALIB_RECOMPUTE_EXTRINSIC | cv2.fisheye.CALIB_FIX_SKEW | cv2.fisheye.CALIB_CHECK_COND
    points = board.points_m.astype(np.float64)[None]
    views = list(views)
    while True:
        corners = [view.corners_px.astype(np.float64)[None] for view in views]
        k, distortion = np.eye(3), np.zeros((4, 1))
        try:
            _, k, distortion, rotations, places = cv2.fisheye.calibrate(
                [points] * len(views), corners, size, k, distortion, flags=flags
            )
            break
        except cv2.error as error:
            bad = re.search(r"input array (\d+)", str(error))
            if bad is None or len(views) <= MIN_VIEWS:
                raise CalibrationError(f"OpenCV finds no fisheye lens for these views; {_MORE}") from error
            del views[int(bad[1])]
    errors = []
    for seen, rotation, place in zip(corners, rotations, places):
        back, _ = cv2.fisheye.projectPoints(points, rotation, place, k, distortion)
        errors.append(np.sqrt(((back - seen) ** 2).sum(-1).mean()))
    return _Fit(k, distortion.reshape(-1), np.array(errors), views, 0.0)


def _refuse_poor(views: BoardViews) -> None:
    if len(views) < MIN_VIEWS:
        raise CalibrationError(f"{len(views)} different views of the board, expected {MIN_VIEWS} at least; {_MORE}")
    most = max(float(np.linalg.norm(view.tilt)) for view in views.views)
    if most < MIN_TILT:
        raise CalibrationError(
            f"the board is tilted by {math.degrees(math.asin(most)):.0f} degrees at most, which does not tell a long "
            f"lens from a board far away; {_MORE}"
        )


def _refuse_misfit(fit: _Fit, width: int) -> None:
    limit_px = MAX_RMS_PX * max(1.0, width / RMS_WIDTH)
    if not fit.rms_px <= limit_px:
        raise CalibrationError(
            f"the reprojection error is {fit.rms_px:.2f} px, expected {limit_px:.2g} at most: the board is not flat, "
            f"pictures are blurred, the lens needs another model (--fisheye, --radial 3), or its zoom or focus "
            f"changed; {_MORE}"
        )
    if not fit.focal_deviation <= MAX_FOCAL_DEVIATION:
        raise CalibrationError(
            f"the focal length is known to {100 * fit.focal_deviation:.1f} % only, expected "
            f"{100 * MAX_FOCAL_DEVIATION:.0f} %: the views are too much alike; {_MORE}"
        )


def _fisheye_angles(points_px: np.ndarray, intrinsics: CameraIntrinsics) -> np.ndarray:
    """[N] rad from the optical axis, up to 180 degrees, of pixels [N, 2] that a fisheye lens sees."""
    radius = np.linalg.norm((points_px - [intrinsics.cx, intrinsics.cy]) / [intrinsics.fx, intrinsics.fy], axis=1)
    angles = np.linspace(0.0, math.pi, 3601)
    seen = angles * (1.0 + sum(c * angles ** (2 * n + 2) for n, c in enumerate(intrinsics.distortion)))
    rising = int(np.argmax(np.diff(seen) <= 0.0)) or len(seen) - 1  # beyond, the polynomial turns back
    return np.interp(radius, seen[: rising + 1], angles[: rising + 1])
