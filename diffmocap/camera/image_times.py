"""When each image of a file is shown, from the container's own times."""

from __future__ import annotations

from collections import deque

import numpy as np

#: A time that lies farther behind than this begins another recording in the same file; less is a slip.
RESTART_S = 1.0


class ImageTimes:
    """Times in seconds from the file's first image, strictly increasing, requested in the order of the images.

    OpenCV gives the time of an image as a position, which is 0 where the container has none. An image without a time
    gets that of the previous image plus ``period_s``, so a file without times has a constant rate. An image whose time
    does not increase gets a time shortly after the previous one.

    Args:
        period_s: time between images, until the times themselves give it.
        first_position_s: OpenCV's position of the first image.
        known_s: [N] times read from the container, empty where unknown; they are used where OpenCV gives none.

    Attributes:
        period_s: the latest time between two images.
        unknown: number of images, without the first, that had no time.
        told: number of images that had one.
    """

    def __init__(self, period_s: float, first_position_s: float = 0.0, known_s: np.ndarray | None = None) -> None:
        self.period_s = period_s
        self.unknown = self.told = 0
        self._shift_s = -first_position_s
        self._known_s = np.empty(0) if known_s is None else known_s
        self._index = 0
        self._last_s = 0.0
        self._distances_s: deque[float] = deque(maxlen=5)

    def next(self, position_s: float) -> float:
        """The time of the next image, for which OpenCV says ``position_s``."""
        self._index += 1
        usual_s = float(np.median(self._distances_s)) if self._distances_s else self.period_s
        if position_s > 0.0 and np.isfinite(position_s):
            self.told += 1
            time_s = position_s + self._shift_s
            if time_s < self._last_s - RESTART_S:  # it goes on from here
                time_s = self._last_s + usual_s
                self._shift_s = time_s - position_s
        else:
            self.unknown += 1
            known = self.told == 0 and self._index < len(self._known_s)
            time_s = float(self._known_s[self._index]) if known else self._last_s + usual_s
        if time_s <= self._last_s:
            time_s = self._last_s + 0.5 * usual_s  # so little that true times catch up
        else:
            self.period_s = time_s - self._last_s
            self._distances_s.append(self.period_s)
        self._last_s = time_s
        return time_s
