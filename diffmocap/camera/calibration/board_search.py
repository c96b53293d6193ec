"""Looking for a chessboard in the images of a camera, a video or a folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from diffmocap.camera.calibration.board_views import BoardViews
from diffmocap.camera.calibration.chessboard import Board
from diffmocap.errors import CalibrationError

PICTURE_ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
#: Corners of a board that is held still move by less from one image of a camera to the next, over the image's width.
STILL_SHARE = 0.004


class BoardSearch:
    """Collects different views of a board from one image after the other.

    Args:
        board: what to look for.
        min_difference: as for :class:`~diffmocap.camera.calibration.board_views.BoardViews`.
        still: keep views only where the board did not move since the previous image, whose corners would be smeared.
        thorough: as for :meth:`~diffmocap.camera.calibration.chessboard.Board.find`.

    Attributes:
        views: what was collected; None before the first image.
        searched, found: images that were looked at, and those with a board.
        other_size: names of images that were left out, as they are not of the first one's size.
        moving: whether the last image shows a board that moves.
    """

    def __init__(self, board: Board, min_difference: float, still: bool = False, thorough: bool = False) -> None:
        self.board = board
        self.views: BoardViews | None = None
        self.searched = self.found = 0
        self.other_size: list[str] = []
        self.moving = False
        self._min_difference, self._still, self._thorough = min_difference, still, thorough
        self._before: np.ndarray | None = None

    def look(self, image: np.ndarray, name: str = "") -> np.ndarray | None:
        """Looks at an image uint8 [H, W, 3] BGR; returns the corners [N, 2] px of its board, None without one."""
        height, width = image.shape[:2]
        if self.views is None:
            self.views = BoardViews(self.board, width, height, self._min_difference)
        if (width, height) != (self.views.width, self.views.height):
            self.other_size.append(name)
            return None
        self.searched += 1
        corners = self.board.find(image, self._thorough)
        before, self._before = self._before, corners
        self.moving = False
        if corners is None:
            return None
        self.found += 1
        if self._still:
            self.moving = before is None or not _is_still(corners, before, width)
        if not self.moving:
            self.views.add(corners, name)
        return corners


def folder_pictures(folder: Path) -> list[Path]:
    """The pictures in a folder by name.

    Raises:
        CalibrationError: where there are none.
    """
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in PICTURE_ENDINGS)
    if not found:
        raise CalibrationError(f"there are no pictures in '{folder}', expected {', '.join(PICTURE_ENDINGS)}")
    return found


def read_pictures(paths: list[Path]) -> Iterator[tuple[str, np.ndarray | None]]:
    """Names and images, as the sensor has them whatever EXIF says; None for a file that is no picture."""
    for path in paths:
        yield path.name, cv2.imread(str(path), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)


def _is_still(corners: np.ndarray, before: np.ndarray, width: int) -> bool:
    # A board that OpenCV reads from its other end has not moved.
    moved = min(np.linalg.norm(corners - other, axis=1).mean() for other in (before, before[::-1]))
    return bool(moved < STILL_SHARE * width)
