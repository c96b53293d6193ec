"""Reads a live source on a thread of its own, holds the newest image, and reopens the source when it was lost."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

import numpy as np

from diffmocap.camera.opening import OpenedVideo, VideoOpener
from diffmocap.camera.urls import hide_secrets
from diffmocap.errors import CameraError
from diffmocap.types import Frame

FAILED_READS_MEAN_LOST = 5
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 8.0


class LiveReader:
    """Reads a camera or a stream on a thread of its own, keeps the newest frame, and opens it again after it was lost.

    Arguments are those of :class:`~diffmocap.camera.capture.Capture`.
    """

    ended = False

    def __init__(
        self,
        opener: VideoOpener,
        opened: OpenedVideo,
        reconnect: bool,
        clock: Callable[[], int],
        event: Callable[[int, str], None],
    ) -> None:
        self._opener, self._reconnect = opener, reconnect
        self._clock, self._event = clock, event
        self._newest: Frame | None = Frame(opened.first_image, clock())
        self._index = 1
        self._closing = threading.Event()
        self._arrived = threading.Condition()
        self._error: CameraError | None = None
        self.mode = opened.mode
        self.lost = False
        self.skipped = 0
        self._thread = threading.Thread(target=self._drain, args=(opened,), name="capture", daemon=True)
        self._thread.start()

    def read(self, timeout_s: float | None) -> Frame | None:
        """The newest image that was not read yet; waits for one."""
        with self._arrived:
            self._arrived.wait_for(lambda: self._newest or self._error or self._closing.is_set(), timeout_s)
            frame, self._newest = self._newest, None
            if self._closing.is_set():
                return None
            if frame is None and self._error is not None:
                raise self._error
            return frame

    def close(self) -> None:
        """Ends the thread; where a driver blocks it for long, it releases the device when it returns."""
        self._closing.set()
        with self._arrived:
            self._arrived.notify_all()
        self._thread.join(2.0)

    def _drain(self, opened: OpenedVideo) -> None:
        video, failed = opened.video, 0
        try:
            while not self._closing.is_set():
                grabbed = video.grab()
                stamp_ns = self._clock()  # before decoding
                ok, image = video.retrieve() if grabbed else (False, None)
                if ok and image is not None and image.size:
                    failed = 0
                    self._put(opened.correct(image), stamp_ns)
                    continue
                failed += 1
                if failed < FAILED_READS_MEAN_LOST:
                    self._closing.wait(0.02)
                    continue
                video.release()
                if (opened := self._open_again()) is None:
                    return
                video, failed = opened.video, 0
        except Exception as error:  # of OpenCV or a driver: the reader must not wait for ever
            with self._arrived:
                source = self._opener.source
                reason = hide_secrets(str(error), str(source.target))
                self._error = CameraError(
                    f"{source.label} cannot be read any more: {reason}; check the driver and its pixel format"
                )
                self._arrived.notify_all()
        finally:
            video.release()

    def _put(self, image: np.ndarray, stamp_ns: int) -> None:
        with self._arrived:
            self.skipped += self._newest is not None
            self._newest = Frame(image, stamp_ns, self._index)
            self._index += 1
            self._arrived.notify_all()

    def _open_again(self) -> OpenedVideo | None:
        """Waits for the source to come back; None when closed, or when it must not be reopened."""
        label = self._opener.source.label
        if not self._reconnect:
            with self._arrived:
                self._error = CameraError(f"{label} was lost; check its cable or network, or allow it to reconnect")
                self._arrived.notify_all()
            return None
        self.lost = True
        self._event(logging.WARNING, f"{label} was lost; trying to open it until it is back")
        pause_s = FIRST_PAUSE_S
        while not self._closing.wait(pause_s):
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            try:
                opened = self._opener.open()
            except CameraError:
                continue
            self.mode, self.lost = opened.mode, False
            self._event(logging.INFO, f"{label} is back: {opened.mode}")
            self._put(opened.first_image, self._clock())
            return opened
        return None
