"""Finds and tracks people who are too small in the image for MediaPipe's detector.

The detector scales the image to 224 x 224 pixels and misses people who fill less than a fifth of it; tracking works at
any size. While nobody is tracked, each image is therefore searched a second time, in one window of a grid that covers
it. That costs half as much as tracking, and nothing once somebody is tracked. A person found this way is tracked in a
window of about two and a half times their size, which is replaced when they leave its middle or change in size.
MediaPipe remembers where the person was relative to the image it was given. When the window changes, that memory has
to be cleared, and the person, who is large in the new window, detected again.

What the rest of the pipeline does while nobody is seen: `pipeline.Outcome.UNSEEN`, and docs/architecture.md, "When
nobody is seen".
"""

from __future__ import annotations

import math
from collections import deque
from typing import NamedTuple

import numpy as np

from diffmocap.keypoints.pose_landmarker import Landmarks, PoseLandmarker

#: Side of a search window over the shorter side of the image; people down to an eighth of that side are found in it.
SEARCH_SIDE = 0.5
#: Overlap of neighbouring windows over their side, horizontal and vertical: a person a sixth of the image high is
#: completely inside one of them.
_OVERLAP = (0.2, 0.4)
#: Size of the person over the side of the window: in a new window, and above and below which it is replaced.
_SHARE, _LARGEST, _SMALLEST = 0.4, 0.65, 0.25
#: Largest distance between the centres of person and window, over the window's side.
_OFF_CENTRE = 0.2
#: Share of the image's longer side from which on the whole image is shown again, and below which somebody who was just
#: found in it is looked at once more in a window: the detector misplaces those whom it barely sees.
_LARGE, _BARELY_SEEN = 0.35, 0.25
_BLANK = np.zeros((64, 64, 3), np.uint8)


class Window(NamedTuple):
    """A part of an image, in pixels."""

    left: int
    top: int
    width: int
    height: int

    def of(self, image: np.ndarray) -> np.ndarray:
        """That part, contiguous in memory."""
        part = image[self.top : self.top + self.height, self.left : self.left + self.width]
        return np.ascontiguousarray(part)


def search_windows(width: int, height: int) -> list[Window]:
    """The grid of windows that covers an image, row by row."""
    side = max(1, round(SEARCH_SIDE * min(width, height)))

    def starts(length: int, overlap: float) -> list[int]:
        count = 1 + math.ceil((length - side) / (side * (1.0 - overlap)))
        return [round(i * (length - side) / max(count - 1, 1)) for i in range(count)]

    return [Window(x, y, side, side) for y in starts(height, _OVERLAP[1]) for x in starts(width, _OVERLAP[0])]


class PersonFinder:
    """One person in a stream of images, whatever their size; not for use by several threads at once.

    Args:
        landmarker: is called one to four times an image; the caller closes it.

    Attributes:
        search: whether windows are searched while nobody is tracked. A person tracked in a window stays tracked if this
            is switched off.
        window: the window in which the person is tracked; None if nobody is, or in the whole image.
    """

    def __init__(self, landmarker: PoseLandmarker, search: bool = True) -> None:
        self.search = search
        self.window: Window | None = None
        self._landmarker = landmarker
        self._size = (0, 0)
        self._waiting: deque[Window] = deque()
        self._time_ms = 0
        self._followed = False  # in the previous image

    def find(self, image_rgb: np.ndarray, time_ms: int) -> Landmarks | None:
        """The person in an RGB image [H, W, 3]; None where nobody is seen.

        ``time_ms`` must increase by at least four from image to image, or the filters assume wrong speeds.
        """
        height, width = image_rgb.shape[:2]
        if (width, height) != self._size:
            self._size, self.window = (width, height), None
            self._waiting = deque(search_windows(width, height))
        self._time_ms = max(time_ms, self._time_ms + 1)
        found = self._look(image_rgb, self.window)
        if found is None and self.window is not None:
            self._waiting.appendleft(self.window)
            self.window = None
            found = self._look_again(image_rgb, None)
        if found is not None:
            found = self._follow(image_rgb, found)
        elif self.search:
            found = self._search(image_rgb)
        self._followed = found is not None
        return found

    def _search(self, image_rgb: np.ndarray) -> Landmarks | None:
        """Searches the next window; a person found there must be detected again in a window around them."""
        if not self._waiting:
            self._waiting.extend(search_windows(*self._size))
        found = self._look_again(image_rgb, self._waiting.popleft())
        return self._move(image_rgb, found) if found is not None else None

    def _follow(self, image_rgb: np.ndarray, found: Landmarks) -> Landmarks:
        """Replaces the window where the person has left its middle or changed in size."""
        middle, extent = self._place(found)
        if self.window is None:
            if self._followed or not self.search or extent >= _BARELY_SEEN * max(self._size):
                return found
            moved = self._move(image_rgb, found)
            return found if moved is None else moved
        side = max(self.window.width, self.window.height)
        off = middle - np.array([self.window.left, self.window.top]) - 0.5 * np.array(self.window[2:])
        at_border = self._at_border(off)
        centred = (np.abs(off) <= _OFF_CENTRE * side) | at_border
        if centred.all() and _SMALLEST * side <= extent <= _LARGEST * side and extent < _LARGE * max(self._size):
            return found
        previous = self.window
        moved = self._move(image_rgb, found)
        if moved is None:  # back to the old window; MediaPipe's memory is cleared, so it detects the person there
            moved = self._look_again(image_rgb, previous)
            self.window = previous if moved is not None else None
        return moved if moved is not None else found

    def _move(self, image_rgb: np.ndarray, found: Landmarks) -> Landmarks | None:
        """Detects a person again in a window around them, or in the whole image if they are large."""
        window = self._around(found)
        self._forget()
        again = self._look_again(image_rgb, window)
        if again is None and window is None:
            window = self._around(found, always=True)
            again = self._look_again(image_rgb, window)
        self.window = window if again is not None else None
        return again

    def _around(self, found: Landmarks, always: bool = False) -> Window | None:
        """A square window around somebody, as far as the image goes; None where the whole image shows them as well."""
        middle, extent = self._place(found)
        if extent >= _LARGE * max(self._size) and not always:
            return None
        side = max(16, round(extent / _SHARE))
        sizes = [min(side, length) for length in self._size]
        left, top = (int(np.clip(round(c - 0.5 * s), 0, length - s)) for c, s, length in zip(middle, sizes, self._size))
        return Window(left, top, *sizes)

    def _place(self, found: Landmarks) -> tuple[np.ndarray, float]:
        """Middle [2] px and larger extent [px] of the part of a person that is in the image."""
        points = np.clip(found.image, 0.0, 1.0) * self._size
        low, high = points.min(axis=0), points.max(axis=0)
        return 0.5 * (low + high), float((high - low).max())

    def _at_border(self, off: np.ndarray) -> np.ndarray:
        """[2] whether the window cannot go farther in the direction of ``off``."""
        starts, sizes = np.array(self.window[:2]), np.array(self.window[2:])
        return np.where(off < 0, starts <= 0, starts + sizes >= self._size)

    def _look_again(self, image_rgb: np.ndarray, window: Window | None) -> Landmarks | None:
        self._time_ms += 1
        return self._look(image_rgb, window)

    def _look(self, image_rgb: np.ndarray, window: Window | None) -> Landmarks | None:
        """Landmarks in shares of the whole image, of what a window of it shows."""
        if window is None:
            return self._landmarker.process(image_rgb, self._time_ms)
        found = self._landmarker.process(window.of(image_rgb), self._time_ms)
        if found is None:
            return None
        size = np.array(self._size, np.float32)
        places = (found.image * np.array(window[2:], np.float32) + np.array(window[:2], np.float32)) / size
        return found._replace(image=places)

    def _forget(self) -> None:
        """Makes MediaPipe stop following a person, by an image in which there is none."""
        self._time_ms += 1
        self._landmarker.process(_BLANK, self._time_ms)
