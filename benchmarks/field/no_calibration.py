"""A camera that nobody calibrated: what `diffmocap calibrate` makes of pictures of a chessboard."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path

import cv2
import numpy as np

from .case import Case

SIZE = (640, 480)
VIEWS = 18
#: Inner corners of the board, the edge of its squares [m], and pixels a square in its picture.
COLUMNS, ROWS, SQUARE_M, SQUARE_PX = 9, 6, 0.025, 40
PINHOLE = (np.array([[520.0, 0, 325], [0, 530.0, 236], [0, 0, 1]]), np.array([-0.25, 0.06, 0.0, 0.0, 0.0]))
FISHEYE = (np.array([[230.0, 0, 322], [0, 232.0, 238], [0, 0, 1]]), np.array([0.05, -0.01, 0.002, -0.0005]))


def _board() -> np.ndarray:
    cells = np.indices((ROWS + 3, COLUMNS + 3)).sum(0) % 2
    cells[[0, -1]], cells[:, [0, -1]] = 1, 1
    return np.kron(np.where(cells, 235, 25), np.ones((SQUARE_PX, SQUARE_PX))).astype(np.uint8)


def _render(folder: Path, k: np.ndarray, distortion: np.ndarray, fisheye: bool) -> None:
    """Views in all parts of the image, the board tilted to all sides."""
    u, v = np.meshgrid(np.arange(SIZE[0], dtype=float), np.arange(SIZE[1], dtype=float))
    pixels = np.stack([u.ravel(), v.ravel()], -1)[:, None]
    if fisheye:
        ideal = cv2.fisheye.undistortPoints(pixels, k, distortion)
    else:
        ideal = cv2.undistortPoints(pixels, k, distortion)
        for _ in range(30):  # five iterations of OpenCV are not enough at the border
            points = np.concatenate([ideal, np.ones_like(ideal[..., :1])], -1)
            seen, _ = cv2.projectPoints(points, np.zeros(3), np.zeros(3), k, distortion)
            ideal = ideal + (pixels - seen) / [k[0, 0], k[1, 1]]
    rays = np.concatenate([ideal[:, 0], np.ones((len(ideal), 1))], -1).reshape(SIZE[1], SIZE[0], 3)
    rng, board = np.random.default_rng(5), _board()
    near, spread = (0.25, 0.55) if fisheye else (0.42, 0.22)
    for n in range(VIEWS):
        tilt, turn = np.deg2rad(rng.uniform(12, 38)), 6 * np.pi * n / VIEWS
        rotation = cv2.Rodrigues(np.array([tilt * np.cos(turn), tilt * np.sin(turn), rng.uniform(-0.3, 0.3)]))[0]
        depth = near * rng.uniform(0.75, 1.5)
        place = depth * np.array([(n % 4 / 3 - 0.5) * 1.6 * spread, (n // 4 % 3 / 2 - 0.5) * 1.2 * spread, 1.0])
        normal = rotation[:, 2]
        far = (normal @ place) / (rays @ normal)
        on_board = (rays * far[..., None] - place) @ rotation[:, :2] / SQUARE_M
        where = ((on_board + [(COLUMNS + 3) / 2, (ROWS + 3) / 2]) * SQUARE_PX - 0.5).astype(np.float32)
        image = cv2.remap(board, where[..., 0], where[..., 1], cv2.INTER_LINEAR, borderValue=128)
        cv2.imwrite(str(folder / f"view_{n:02d}.png"), cv2.GaussianBlur(image, (0, 0), 0.7))


def _focal_error(k: np.ndarray, distortion: np.ndarray, fisheye: bool) -> Callable[[Path], float]:
    """Largest of the errors of fx and fy, percent."""

    def measure(folder: Path) -> float:
        from diffmocap.camera.calibration.calibration_file import load_calibration
        from diffmocap.cli.main import main

        _render(folder, k, distortion, fisheye)
        out = folder / "camera.yaml"
        with redirect_stdout(sys.stderr):
            code = main(["calibrate", "--source", str(folder), "--out", str(out), *(["--fisheye"] if fisheye else [])])
        if code:
            raise RuntimeError(f"diffmocap calibrate ended with {code}")
        made = load_calibration(out)
        return round(100 * max(abs(made.fx / k[0, 0] - 1), abs(made.fy / k[1, 1] - 1)), 2)

    return measure


CASES = (
    Case("no calibration at all", "calibrate from 18 pictures of a chessboard: focal lengths", "% error", "below 1",
         _focal_error(*PINHOLE, False)),
    Case("no calibration at all", "the same of a fisheye lens", "% error", "below 1", _focal_error(*FISHEYE, True)),
)  # fmt: skip
