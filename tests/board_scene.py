"""Pictures of a chessboard as a known camera sees them, by following each pixel's ray to the board."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from diffmocap.camera.calibration.chessboard import Board
from diffmocap.types import CameraIntrinsics

#: Samples a pixel's side; edges of squares are smooth as in a real image.
SUPERSAMPLING = 2


def rays(camera: CameraIntrinsics) -> np.ndarray:
    """[H, W, 3] directions of the (super)pixels, by inverting the lens's own formula on a fine table."""
    s = SUPERSAMPLING
    u, v = np.meshgrid((np.arange(camera.width * s) + 0.5) / s - 0.5, (np.arange(camera.height * s) + 0.5) / s - 0.5)
    x, y = (u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy
    radius = np.hypot(x, y)
    if camera.fisheye:
        theta = np.linspace(0.0, 1.7, 20_000)
        seen = theta * (1 + sum(c * theta ** (2 * n + 2) for n, c in enumerate(camera.distortion)))
        angle = np.interp(radius, seen, theta)
    else:
        k1, k2, p1, p2, k3 = (*camera.distortion, 0.0, 0.0, 0.0, 0.0, 0.0)[:5]
        assert p1 == p2 == 0.0
        ideal = np.linspace(0.0, 1.2, 20_000)
        seen = ideal * (1 + k1 * ideal**2 + k2 * ideal**4 + k3 * ideal**6)
        angle = np.arctan(np.interp(radius, seen, ideal))
    across = np.sin(angle) / np.maximum(radius, 1e-12)
    return np.stack([x * across, y * across, np.cos(angle)], -1)


def texture(board: Board, square_px: int = 40) -> np.ndarray:
    """The board with a square of white around it, uint8; a square is ``square_px`` wide."""
    cells = np.indices((board.rows + 3, board.columns + 3)).sum(0) % 2
    cells[[0, -1]], cells[:, [0, -1]] = 1, 1
    return np.kron(np.where(cells, 235, 25), np.ones((square_px, square_px))).astype(np.uint8)


def poses(count: int, distance_m: float, spread: float, seed: int = 5) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(rotation vector, place of the board's centre [m]) of boards in all parts of the image, tilted to all sides."""
    rng = np.random.default_rng(seed)
    for n in range(count):
        tilt = np.deg2rad(rng.uniform(12.0, 38.0))
        axis = 2.0 * np.pi * n / count * 3
        depth = distance_m * rng.uniform(0.75, 1.5)
        x, y = ((n % 4) / 3 - 0.5) * 2, ((n // 4 % 3) / 2 - 0.5) * 2
        yield (
            np.array([tilt * np.cos(axis), tilt * np.sin(axis), rng.uniform(-0.3, 0.3)]),
            np.array([x * spread * depth * 0.8, y * spread * depth * 0.6, depth]),
        )


def picture(
    camera: CameraIntrinsics, board: Board, rotation: np.ndarray, centre_m: np.ndarray, directions: np.ndarray
) -> np.ndarray:
    """uint8 [H, W, 3] of the board in grey surroundings."""
    R = cv2.Rodrigues(np.asarray(rotation, float))[0]
    normal = R[:, 2]
    with np.errstate(divide="ignore", invalid="ignore"):
        depth = (normal @ centre_m) / (directions @ normal)
    on_board = ((directions * depth[..., None]) - centre_m) @ R[:, :2] / board.square_m  # in squares
    square = 40
    where = (on_board + [(board.columns + 3) / 2, (board.rows + 3) / 2]) * square - 0.5
    where = np.where((depth > 0)[..., None], where, -1e6).astype(np.float32)
    seen = cv2.remap(texture(board, square), where[..., 0], where[..., 1], cv2.INTER_LINEAR, borderValue=128)
    grey = cv2.resize(seen, (camera.width, camera.height), interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR)


def pictures(
    camera: CameraIntrinsics, board: Board, count: int = 16, distance_m: float = 0.42, spread: float = 0.22
) -> list[np.ndarray]:
    """So many different views of the board."""
    directions = rays(camera)
    return [picture(camera, board, r, c, directions) for r, c in poses(count, distance_m, spread)]
