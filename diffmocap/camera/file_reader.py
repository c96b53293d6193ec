"""Plays a video file at its own rate, or frame by frame as fast as it is read."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

import numpy as np

from diffmocap.camera.opening import OpenedVideo, VideoOpener
from diffmocap.types import Frame

#: A reader that comes back after longer than this paused on purpose, and nothing is left out.
PAUSE_S = 1.0


class FileReader:
    """Decodes on the caller's thread; arguments as for :class:`~diffmocap.camera.capture.Capture`."""

    lost = False

    def __init__(
        self,
        opener: VideoOpener,
        opened: OpenedVideo,
        realtime: bool,
        loop: bool,
        clock: Callable[[], int],
        event: Callable[[int, str], None],
    ) -> None:
        self._opener, self._realtime, self._loop = opener, realtime, loop
        self._clock, self._event = clock, event
        self._video, self._pending = opened.video, opened.first_image
        self._closing = threading.Event()
        self._position = 0  # of the next frame, counted on over all rounds
        self._round_start = 0
        self._start_s: float | None = None
        self._start_ns = 0
        self.mode = opened.mode
        self.ended = False
        self.skipped = 0

    def read(self, timeout_s: float | None) -> Frame | None:
        """The next frame when it is due; None at the end, when closed, or where it is due later."""
        if self.ended or self._closing.is_set():
            return None
        fps = self.mode.fps
        if self._start_s is None:
            self._start_s, self._start_ns = time.monotonic(), self._clock()
        if self._realtime:
            late_s = time.monotonic() - self._start_s - self._position / fps
            if late_s > PAUSE_S:
                self._start_s += late_s
            else:
                self._skip(int(late_s * fps))
        image = self._next_image()
        if image is None:
            return None
        stamp_ns = self._start_ns + round(self._position / fps * 1e9)
        if self._realtime:
            # Decoded already, so that the frame leaves when it is due.
            wait_s = self._start_s + self._position / fps - time.monotonic()
            if timeout_s is not None and wait_s > timeout_s:
                self._pending = image
                self._closing.wait(timeout_s)
                return None
            if wait_s > 0 and self._closing.wait(wait_s):
                return None
            stamp_ns = self._clock()
        frame = Frame(image, stamp_ns, self._position)
        self._position += 1
        return frame

    def close(self) -> None:
        """Wakes a waiting read; that thread may still decode, so the file goes with its last reference."""
        self._closing.set()

    def _skip(self, count: int) -> None:
        for _ in range(count):
            if self._pending is not None:
                self._pending = None
            elif not self._video.grab():
                return
            self._position += 1
            self.skipped += 1

    def _next_image(self) -> np.ndarray | None:
        image, self._pending = self._pending, None
        if image is not None:
            return image
        ok, image = self._video.read()
        if ok and image is not None and image.size:
            return image
        played, expected = self._position - self._round_start, self.mode.frames
        if played < 0.9 * expected:
            label = self._opener.source.label
            text = f"{label} ended after {played} of {expected} frames; the file seems to be damaged"
            self._event(logging.WARNING, text)
        self._video.release()
        if not self._loop:
            self.ended = True
            return None
        opened = self._opener.open()
        self._video, self._round_start = opened.video, self._position
        return opened.first_image
