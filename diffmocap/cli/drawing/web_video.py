"""Videos that play in a browser: VP8 in WebM, written by the OpenCV that is there anyway.

Of what browsers play, OpenCV's wheels write VP8 and VP9, both free of patents' fees; VP9 takes six times as long for
files of nine tenths of the size (rows of three pictures, 1600 x 480: 25 and 150 ms of a core a frame). H.264 would be
smaller and faster, but no wheel of OpenCV holds an encoder, and the ffmpeg of imageio-ffmpeg is 30 MB under the GPL.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from diffmocap.errors import SettingsError
from diffmocap.files.whole_file import whole_file
from diffmocap.keypoints.native_noise import without_native_noise

SUFFIX = ".webm"
#: Frames that wait for the encoder, at most.
_WAITING = 8
_ADVICE = "check that its folder can be written and has free space"


class WebVideo:
    """A context manager that takes images and writes them on a thread of its own, while the next one is drawn.

    A video that stood there before stays until the new one is whole.

    Args:
        path: of the video, ending in ``.webm``.
        fps: frames a second, at least 1.
        width, height: of the images [px]; even numbers.

    Raises:
        SettingsError: the file cannot be written, also when the context ends and not all of it is on the disk.
    """

    def __init__(self, path: Path, fps: float, width: int, height: int) -> None:
        self.path = path
        self._frames = 0
        self._size = (width, height)
        _check_folder(path)
        self._whole = ExitStack()
        self._partial = self._whole.enter_context(whole_file(path))
        with without_native_noise():  # FFmpeg warns about any codec name in this container
            self._writer = cv2.VideoWriter(
                str(self._partial), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*"VP80"), max(fps, 1.0), self._size
            )
        if not self._writer.isOpened():
            self._partial.unlink(missing_ok=True)
            raise SettingsError(f"cannot write the video {path}: {_ADVICE}")
        self._images: queue.Queue[np.ndarray | None] = queue.Queue(_WAITING)
        self._thread = threading.Thread(target=self._encode, name="video encoder", daemon=True)
        self._thread.start()

    def write(self, image: np.ndarray) -> None:
        """The next frame, uint8 [height, width, 3] BGR; it must not be changed afterwards."""
        if image.shape != (*self._size[::-1], 3):  # OpenCV drops such a frame silently
            raise SettingsError(f"a frame of {image.shape} does not fit a video of {self._size}")
        self._frames += 1
        self._images.put(image)

    def __enter__(self) -> WebVideo:
        return self

    def __exit__(self, *error: Any) -> None:
        self._images.put(None)
        self._thread.join()
        self._writer.release()
        try:
            if error[0] is None:
                self._check()
        except SettingsError:
            error = sys.exc_info()
            raise
        finally:
            self._whole.__exit__(*error)

    def _encode(self) -> None:
        level = cv2.utils.logging.getLogLevel()
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)  # a full disk is a warning for each frame
        try:
            while (image := self._images.get()) is not None:
                self._writer.write(image)
        finally:
            cv2.utils.logging.setLogLevel(level)

    def _check(self) -> None:
        """Checks the file on disk, since OpenCV reports no error when the disk is full."""
        _check_folder(self.path)
        with without_native_noise():
            video = cv2.VideoCapture(str(self._partial))
            found = round(video.get(cv2.CAP_PROP_FRAME_COUNT)) if video.isOpened() else 0
            video.release()
        if abs(found - self._frames) > 1:  # the container keeps the duration to a millisecond
            raise SettingsError(f"the video {self.path} is not complete, {found} of {self._frames} frames: {_ADVICE}")


def _check_folder(path: Path) -> None:
    """Raises SettingsError where nothing can be written beside ``path``."""
    probe = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(probe, "wb") as f:
            f.write(bytes(65_536))
            f.flush()
            os.fsync(f.fileno())
    except OSError as error:
        raise SettingsError(f"cannot write the video {path}: {error.strerror}; {_ADVICE}") from error
    finally:
        with suppress(OSError):
            probe.unlink()
