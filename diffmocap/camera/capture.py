"""Images from a camera, a video file, image files or a stream, by OpenCV: upright, with square pixels.

A live source (camera, stream) is drained by a thread of its own, so that a read always gives the
newest image, and is opened again when it was lost. A file is played at its own rate, leaving out
frames where the reader is too slow, as a camera would; or frame by frame as fast as it is read.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

import cv2

from diffmocap.camera.devices import parse_source
from diffmocap.camera.file_reader import FileReader
from diffmocap.camera.live_reader import LiveReader
from diffmocap.camera.opening import CaptureMode, VideoOpener
from diffmocap.camera.settings import CaptureSettings
from diffmocap.types import Frame

_log = logging.getLogger(__name__)
_DEFAULTS = CaptureSettings()


class Capture:
    """An opened source of images; iterate over it, or :meth:`read`.

    Args:
        source: camera index or device, file, or URL; see :func:`~diffmocap.camera.devices.parse_source`.
        settings: what to request of it; ``mode`` holds what it delivers.
        realtime: play a file at its own rate, stamped by the clock; else as fast as it is read,
            every frame, with stamps that advance by the file's own times.
        loop: start a file again at its end.
        clock: gives the acquisition time in nanoseconds.
        event: called with a ``logging`` level and a text when something changed (lost, back, ...).
        open_video: stands in for ``cv2.VideoCapture``, for other grabbers and for tests.

    Attributes:
        live: whether the source is a camera or a stream without an end.
        times_s: [N] when each image of a file is shown, from the first one on; empty where that is not known before.

    Raises:
        CameraError: where the source does not exist, is no video, or delivers no image.
    """

    def __init__(
        self,
        source: int | str,
        settings: CaptureSettings = _DEFAULTS,
        realtime: bool = True,
        loop: bool = False,
        clock: Callable[[], int] = time.time_ns,
        event: Callable[[int, str], None] = _log.log,
        open_video: Callable[..., Any] = cv2.VideoCapture,
    ) -> None:
        self.source = parse_source(source)
        opener = VideoOpener(self.source, settings, open_video, event)
        opened = opener.open()
        self.times_s = opened.container.times_s
        self.live = self.source.kind == "device" or (self.source.kind == "url" and not opened.mode.frames)
        if self.source.kind == "device" and (difference := opener.difference(opened.mode)):
            event(logging.WARNING, difference)
        self._reader: LiveReader | FileReader = (
            LiveReader(opener, opened, settings.reconnect, clock, event)
            if self.live
            else FileReader(opener, opened, realtime, loop, clock, event)
        )

    @property
    def mode(self) -> CaptureMode:
        """Size and rate that the source really has."""
        return self._reader.mode

    @property
    def ended(self) -> bool:
        """True once a file is at its end (and does not loop)."""
        return self._reader.ended

    @property
    def lost(self) -> bool:
        """True while a live source is gone and being opened again."""
        return self._reader.lost

    @property
    def skipped(self) -> int:
        """Images that the source gave and nobody read in time."""
        return self._reader.skipped

    def read(self, timeout_s: float | None = None) -> Frame | None:
        """The next image; None at the end of a file, when closed, or after ``timeout_s`` without one.

        Raises:
            CameraError: when a live source was lost and must not be opened again.
        """
        return self._reader.read(timeout_s)

    def __iter__(self) -> Iterator[Frame]:
        while (frame := self.read()) is not None:
            yield frame

    def close(self) -> None:
        """Releases the source; wakes a waiting read on another thread."""
        self._reader.close()

    def __enter__(self) -> Capture:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
