"""The views of a chessboard that a calibration is made of: those that differ, and what is still missing."""

from __future__ import annotations

import numpy as np

from diffmocap.camera.calibration.chessboard import Board, BoardView

#: Cells of the image across and down in which corners are counted.
CELLS = (8, 6)
#: Share of the cells that corners should have been seen in; boards do not reach into the corners of an image.
WANTED_COVERAGE = 0.7
#: Tilt that some views should have in each of four directions, as a sine (15 degrees).
WANTED_TILT = 0.26
#: Size of the board (root of its share of the image) from which a view determines the distortion.
WANTED_SIZE = 0.45
#: Views that differ by less add nothing; see :meth:`~diffmocap.camera.calibration.chessboard.BoardView.difference`.
MIN_DIFFERENCE = 0.15
#: (what to do in words, component of the tilt, its sign)
_TILTS = (
    ("sideways", 0, 1),
    ("sideways, the other way", 0, -1),
    ("forwards or backwards", 1, 1),
    ("backwards or forwards, the other way", 1, -1),
)


class BoardViews:
    """Collects views of one board in images of one size.

    Args:
        board: what is looked for.
        width, height: of the images [px].
        min_difference: how far a view has to be from all others.
    """

    def __init__(self, board: Board, width: int, height: int, min_difference: float = MIN_DIFFERENCE) -> None:
        self.board, self.width, self.height = board, width, height
        self.views: list[BoardView] = []
        self._min_difference = min_difference
        self._seen = np.zeros(CELLS[::-1], bool)

    def __len__(self) -> int:
        return len(self.views)

    def add(self, corners_px: np.ndarray, name: str = "") -> bool:
        """Stores the view of these corners if it differs from all others; returns whether it did."""
        view = BoardView.of(self.board, corners_px, self.width, self.height, name)
        if any(view.difference(other) < self._min_difference for other in self.views):
            return False
        self.views.append(view)
        cells = np.floor(corners_px / [self.width, self.height] * CELLS).astype(int)
        cells = cells[((cells >= 0) & (cells < CELLS)).all(1)]
        self._seen[cells[:, 1], cells[:, 0]] = True
        return True

    @property
    def coverage(self) -> float:
        """Share of the image's cells in which a corner was seen."""
        return float(self._seen.mean())

    @property
    def seen_cells(self) -> np.ndarray:
        """[6, 8] bool: the cells of the image in which a corner was seen."""
        return self._seen.copy()

    @property
    def missing(self) -> tuple[str, ...]:
        """What to do next with the board, in words, the most useful first; empty where nothing is missing."""
        hints = []
        if self.views and max(view.size for view in self.views) < WANTED_SIZE:
            hints.append("bring it nearer")
        if self.coverage < WANTED_COVERAGE:
            hints.append(f"move it to the {self._emptiest_corner()}")
        tilts = np.array([view.tilt for view in self.views]).reshape(-1, 2)
        for name, axis, sign in _TILTS:
            if not (tilts[:, axis] * sign > WANTED_TILT).any():
                hints.append(f"tilt it {name}")
                break
        return tuple(hints)

    def _emptiest_corner(self) -> str:
        rows, columns = self._seen.shape[0] // 2, self._seen.shape[1] // 2
        quarters = {
            "upper left": self._seen[:rows, :columns],
            "upper right": self._seen[:rows, columns:],
            "lower left": self._seen[rows:, :columns],
            "lower right": self._seen[rows:, columns:],
        }
        return min(quarters, key=lambda name: quarters[name].mean())
