"""What the camera sees while it is calibrated: the board, where it was already, and what is missing."""

from __future__ import annotations

import os
import sys

import cv2
import numpy as np

from diffmocap.camera.calibration.board_search import BoardSearch

TITLE = "diffmocap calibrate (q ends it)"
WIDTH = 960
SEEN_BGR, TEXT_BGR = (90, 160, 60), (255, 255, 255)


class Preview:
    """A window on a display; without one nothing is shown. Mirrored, so that a hand moves as in a mirror."""

    def __init__(self, wanted: bool = True) -> None:
        self.shown = wanted and has_display()

    def show(self, image: np.ndarray, corners_px: np.ndarray | None, search: BoardSearch, text: str) -> bool:
        """Draws an image; False where the user closed the window or pressed q."""
        if not self.shown:
            return True
        picture = painted(image, corners_px, search, text)
        try:
            cv2.imshow(TITLE, picture)
            key = cv2.waitKey(1) & 0xFF
            return key not in (ord("q"), 27) and cv2.getWindowProperty(TITLE, cv2.WND_PROP_VISIBLE) >= 1
        except cv2.error:  # an OpenCV without windows, or a display that cannot be reached
            self.shown = False
            return True

    def close(self) -> None:
        """Takes the window away."""
        if self.shown:
            cv2.destroyAllWindows()


def has_display() -> bool:
    """Whether this session can show a window."""
    return sys.platform != "linux" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def painted(image: np.ndarray, corners_px: np.ndarray | None, search: BoardSearch, text: str) -> np.ndarray:
    """The mirrored image with the seen cells tinted, the board's corners and the text, uint8 BGR."""
    picture = image.copy()
    if search.views is not None:
        tint = cv2.resize(
            search.views.seen_cells.astype(np.uint8), (image.shape[1], image.shape[0]), interpolation=cv2.INTER_NEAREST
        ).astype(bool)
        picture[tint] = (0.8 * picture[tint] + 0.2 * np.array(SEEN_BGR)).astype(np.uint8)
    if corners_px is not None:
        board = search.board
        cv2.drawChessboardCorners(picture, (board.columns, board.rows), corners_px.reshape(-1, 1, 2), True)
    scale = WIDTH / picture.shape[1]
    picture = cv2.resize(picture[:, ::-1], (WIDTH, round(picture.shape[0] * scale)), interpolation=cv2.INTER_AREA)
    for colour, thickness in (((0, 0, 0), 4), (TEXT_BGR, 1)):
        cv2.putText(picture, text, (12, 28), cv2.FONT_HERSHEY_SIMPLEX, 0.6, colour, thickness, cv2.LINE_AA)
    return picture
