"""Plays a video file at its own rate, or frame by frame as fast as it is read."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

import numpy as np

from diffmocap.camera.image_times import ImageTimes
from diffmocap.camera.opening import OpenedVideo, VideoOpener
from diffmocap.types import Frame

#: A caller that reads again after more than this has paused on purpose; then no images are skipped [s].
PAUSE_S = 1.0
#: A longer gap between the times of two images is logged, so that nobody takes the wait for a fault [s].
LONG_WAIT_S = 10.0
#: After so many images without a time the file counts as one without times.
UNTIMED_IMAGES = 3
#: A few images at the start of a cut clip, and at its end, are often not decoded; more are missing.
FEW_IMAGES, FEW_SHARE = 5, 0.02
#: Share of OpenCV's estimates of count and length below which images are missing, if the container has no count.
MOST_OF_IT = 0.9
#: Images in a row that cannot be decoded end a file.
MOST_FAILURES = 100


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
        self._closing = threading.Event()
        self._position = 0  # of the image at hand, counted on over all rounds
        self._due_s = 0.0  # when it is due, counted on likewise
        self._told_wait_s = -1.0
        self._told: set[str] = set()
        self._start_s: float | None = None
        self._start_ns = 0
        self.mode = opened.mode
        self.ended = False
        self.skipped = 0
        self._begin_round(opened)

    def read(self, timeout_s: float | None) -> Frame | None:
        """The next frame when it is due; None at the end, when closed, or where it is due later."""
        if self.ended or self._closing.is_set():
            return None
        if self._start_s is None:
            self._start_s, self._start_ns = time.monotonic(), self._clock()
        image = self._next_image()
        if image is None:
            return None
        stamp_ns = self._start_ns + round(self._due_s * 1e9)
        if self._realtime:
            # Decoded already, so that the frame leaves when it is due.
            wait_s = self._start_s + self._due_s - time.monotonic()
            self._tell_long_wait(wait_s)
            if timeout_s is not None and wait_s > timeout_s:
                self._pending = image
                self._closing.wait(timeout_s)
                return None
            if wait_s > 0 and self._closing.wait(wait_s):
                return None
            stamp_ns = self._clock()
        self._grabbed = False
        return Frame(image, stamp_ns, self._position)

    def close(self) -> None:
        """Wakes a waiting read; that thread may still decode, so the file goes with its last reference."""
        self._closing.set()

    def _begin_round(self, opened: OpenedVideo) -> None:
        self._opened, self._video, self._pending = opened, opened.video, opened.first_image
        self._round_position, self._round_s = self._position, self._due_s
        self._times = ImageTimes(1.0 / opened.mode.fps, opened.first_position_s, opened.container.times_s)
        self._grabbed = True  # the first image is at hand

    def _next_image(self) -> np.ndarray | None:
        """The image that is due next or, where the reader is late, the one that is due now; None at the end."""
        for _ in range(MOST_FAILURES):
            if not self._grabbed and not self._advance():
                return None
            while self._realtime and self._is_late():
                self.skipped += 1
                if not self._advance():
                    return None
            image, self._pending = self._pending, None
            if image is not None:
                return image
            ok, image = self._video.retrieve()
            if ok and image is not None and image.size:
                return self._opened.correct(image)
            self._grabbed = False
        self._end_round()
        self.ended = True
        return None

    def _is_late(self) -> bool:
        """So late that the image after this one is due as well."""
        late_s = time.monotonic() - self._start_s - self._due_s
        if late_s > PAUSE_S:
            self._start_s += late_s
            return False
        return late_s >= self._times.period_s

    def _advance(self) -> bool:
        """Grabs the next image, of the next round at the end of this one; False at the end of all."""
        self._pending = None
        if self._video.grab():
            self._position += 1
            self._due_s = self._round_s + self._times.next(self._opened.position_s)
            self._tell_untimed()
            self._grabbed = True
            return True
        self._end_round()
        if not self._loop:
            self.ended = True
            return False
        opened = self._opener.open()
        self._position += 1
        self._due_s += self._times.period_s
        self._begin_round(opened)
        return True

    def _end_round(self) -> None:
        self._video.release()
        played, label = self._position - self._round_position + 1, self._opener.source.label
        container, mode = self._opened.container, self._opened.mode
        if container.missing_bytes:
            self._tell("damaged", f"{label} is cut off: {container.missing_bytes} bytes are missing at its end")
        elif missing := _missing(played, self._due_s - self._round_s, container.frames, mode.frames, mode.fps):
            self._tell(
                "damaged", f"{label} ended after {played} of {missing + played} frames; the file seems to be damaged"
            )

    def _tell_untimed(self) -> None:
        if self._times.told == 0 and self._times.unknown == UNTIMED_IMAGES and not self._opened.container.frames:
            self._tell(
                "untimed",
                f"the images of {self._opener.source.label} come without times: assuming a constant rate of "
                f"{self.mode.fps:.4g} a second, on which all velocities depend",
            )

    def _tell_long_wait(self, wait_s: float) -> None:
        if wait_s > LONG_WAIT_S and self._told_wait_s != self._due_s:
            self._told_wait_s = self._due_s
            label = self._opener.source.label
            self._event(logging.INFO, f"by its own times {label} shows the next image in {wait_s:.0f} s; waiting")

    def _tell(self, what: str, text: str) -> None:
        """Logs a warning once, however often the file is played."""
        if what not in self._told:
            self._told.add(what)
            self._event(logging.WARNING, text)


def _missing(played: int, played_s: float, counted: int, estimated: int, fps: float) -> int:
    """How many images did not come, 0 where that is within what a whole file may show.

    ``counted`` are those in the container's tables, 0 where it has none; ``estimated`` come from OpenCV, which
    multiplies a length by a rate in many containers, so that both number and time have to fall short.
    """
    if counted:
        missing = counted - played
        return missing if missing > max(FEW_IMAGES, FEW_SHARE * counted) else 0
    short = played < MOST_OF_IT * estimated and played_s + 1.0 / fps < MOST_OF_IT * estimated / fps
    return estimated - played if short else 0
