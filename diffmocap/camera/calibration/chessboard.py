"""A chessboard to calibrate with: its corners in images, and how far one view of it differs from another."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import cv2
import numpy as np

from diffmocap.errors import SettingsError

#: Inner corners a side: fewer do not determine a lens, more do not fit a picture.
MIN_CORNERS, MAX_CORNERS = 3, 40
#: The board is looked for in images of this width at most [px]; its corners are refined in the whole one.
SEARCH_WIDTH = 800
#: What a view's place, size and tilt differ by is summed up with these weights.
POSITION_WEIGHT, SIZE_WEIGHT, TILT_WEIGHT = 1.0, 1.0, 0.8


@dataclass(frozen=True)
class Board:
    """A chessboard: inner corners along and across, where four squares meet, and the edge of a square in metres."""

    columns: int
    rows: int
    square_m: float

    def __post_init__(self) -> None:
        if not all(MIN_CORNERS <= n <= MAX_CORNERS for n in (self.columns, self.rows)):
            raise SettingsError(
                f"a board needs {MIN_CORNERS} to {MAX_CORNERS} inner corners a side, got {self.columns}x{self.rows}; "
                "count the places where four squares meet, not the squares"
            )
        if not 0.001 <= self.square_m <= 1.0:
            raise SettingsError(
                f"a square's edge must lie in [0.001, 1] m, got {self.square_m:g}; measure it on the print"
            )

    @classmethod
    def parse(cls, text: str, square_m: float) -> Board:
        """From ``9x6``."""
        found = re.fullmatch(r"\s*(\d{1,3})\s*[xX]\s*(\d{1,3})\s*", text)
        if not found:
            raise SettingsError(f"expected the board's inner corners as COLUMNSxROWS, like 9x6, got '{text}'")
        return cls(int(found[1]), int(found[2]), square_m)

    @property
    def points_m(self) -> np.ndarray:
        """[columns * rows, 3] float32: the corners row by row in the board's plane z = 0."""
        y, x = np.mgrid[0 : self.rows, 0 : self.columns]
        flat = np.stack([x.ravel(), y.ravel(), np.zeros(x.size)], -1)
        return (flat * self.square_m).astype(np.float32)

    def find(self, image: np.ndarray, thorough: bool = False) -> np.ndarray | None:
        """The corners [columns * rows, 2] float32 px in an image uint8 [H, W, 3] BGR or [H, W]; None without a board.

        ``thorough`` takes time to find blurred, small or bent boards, too.
        """
        grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY) if image.ndim == 3 else image
        scale = min(1.0, SEARCH_WIDTH / grey.shape[1])
        small = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1.0 else grey
        size = (self.columns, self.rows)
        flags = cv2.CALIB_CB_ADAPTIVE_THRESH | cv2.CALIB_CB_NORMALIZE_IMAGE
        found, corners = cv2.findChessboardCorners(small, size, flags=flags | cv2.CALIB_CB_FAST_CHECK)
        if not found and thorough:
            found, corners = cv2.findChessboardCornersSB(small, size, flags=cv2.CALIB_CB_NORMALIZE_IMAGE)
        if not found or corners is None or len(corners) != self.columns * self.rows:
            return None
        corners = np.ascontiguousarray(corners, np.float32).reshape(-1, 1, 2)
        # Pixel centres are at whole numbers: a shrunk image shifts them.
        corners = (corners + np.float32(0.5)) / np.float32(scale) - np.float32(0.5)
        reach = max(2, min(11, int(0.4 * self._spacing_px(corners))))
        criteria = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 40, 1e-3)
        return cv2.cornerSubPix(grey, corners, (reach, reach), (-1, -1), criteria).reshape(-1, 2)

    def _spacing_px(self, corners: np.ndarray) -> float:
        grid = corners.reshape(self.rows, self.columns, 2)
        along = np.linalg.norm(np.diff(grid, axis=1), axis=-1).min()
        return float(min(along, np.linalg.norm(np.diff(grid, axis=0), axis=-1).min()))


@dataclass(frozen=True)
class BoardView:
    """One picture of the board.

    Attributes:
        corners_px: [columns * rows, 2] float32.
        position: [2] of the board's centre in the image, 0 to 1.
        size: root of the share of the image that the board's corners span.
        tilt: [2] of the board's normal, sines of the angles about the image's vertical and horizontal axis.
        name: of the picture, for messages.
    """

    corners_px: np.ndarray = field(repr=False)
    position: np.ndarray
    size: float
    tilt: np.ndarray
    name: str = ""

    @classmethod
    def of(cls, board: Board, corners_px: np.ndarray, width: int, height: int, name: str = "") -> BoardView:
        """Describes corners that were found in an image of this size."""
        hull = cv2.convexHull(corners_px.reshape(-1, 1, 2))
        # The lens is not known yet; for the tilt a usual one is near enough.
        k = np.array([[width, 0.0, width / 2], [0.0, width, height / 2], [0.0, 0.0, 1.0]])
        homography, _ = cv2.findHomography(board.points_m[:, :2], corners_px)
        axes = np.linalg.solve(k, np.eye(3) if homography is None else homography)[:, :2]
        normal = np.cross(axes[:, 0], axes[:, 1])
        tilt = normal[:2] * np.sign(normal[2] or 1.0) / np.linalg.norm(normal)
        position = corners_px.mean(0) / [width, height]
        return cls(corners_px, position, float(np.sqrt(cv2.contourArea(hull) / (width * height))), tilt, name)

    def difference(self, other: BoardView) -> float:
        """How far the board was moved between the views: 0 for not at all, 1 for from one side to the other."""
        return float(
            POSITION_WEIGHT * np.abs(self.position - other.position).sum()
            + SIZE_WEIGHT * abs(self.size - other.size)
            + TILT_WEIGHT * np.abs(self.tilt - other.tilt).sum()
        )
