"""Opening a video source, and what to say where that fails."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from diffmocap.camera.containers.codecs import why_not_decoded
from diffmocap.camera.containers.container import Container
from diffmocap.camera.containers.reading import read_container
from diffmocap.camera.devices import Source, explain_device
from diffmocap.camera.image_files import ImageFiles, image_paths
from diffmocap.camera.picture import Correction, correction_of, leave_turning_to_us
from diffmocap.camera.settings import CaptureSettings
from diffmocap.errors import CameraError

_log = logging.getLogger(__name__)

DEFAULT_FPS = 30.0
#: Some cameras fail to deliver while their exposure settles.
FIRST_READS = 5


@dataclass(frozen=True)
class CaptureMode:
    """What the source delivers: pixels, frames a second, number of frames (0 where unknown)."""

    width: int
    height: int
    fps: float
    frames: int = 0

    def __str__(self) -> str:
        length = f", {self.frames} frames" if self.frames else ""
        return f"{self.width} x {self.height} at {self.fps:.4g} frames a second{length}"


@dataclass
class OpenedVideo:
    """An open ``cv2.VideoCapture`` with its first image, which alone proves that there is a picture.

    Attributes:
        video: the capture, behind its first image.
        first_image: uint8 [H, W, 3] BGR, corrected.
        mode: what it gives.
        correct: to be called with each further image.
        first_position_s: OpenCV's position of the first image.
        container: what a file says about itself.
    """

    video: Any
    first_image: np.ndarray
    mode: CaptureMode
    correct: Correction
    first_position_s: float
    container: Container

    @property
    def position_s(self) -> float:
        """OpenCV's position of the image that was grabbed last; 0 where it has none."""
        return self.video.get(cv2.CAP_PROP_POS_MSEC) * 1e-3


@dataclass(frozen=True)
class VideoOpener:
    """How to open a source, as often as needed.

    Attributes:
        source: what to open.
        settings: what to ask of it.
        open_video: ``cv2.VideoCapture`` or its stand-in.
        event: called with a ``logging`` level and a text.
    """

    source: Source
    settings: CaptureSettings = CaptureSettings()
    open_video: Callable[..., Any] = cv2.VideoCapture
    event: Callable[[int, str], None] = _log.log

    def open(self) -> OpenedVideo:
        """Opens the source and reads its first image.

        Raises:
            CameraError: where it does not open or delivers no image.
        """
        _quiet_opencv()
        kind, target = self.source.kind, self.source.target
        container = read_container(target) if kind == "file" else Container()
        if kind == "device":
            video = self.open_video(target, cv2.CAP_V4L2 if os.path.isdir("/dev") else cv2.CAP_ANY)
            self._request_mode(video)
        elif kind == "url":
            limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, 5000, cv2.CAP_PROP_READ_TIMEOUT_MSEC, 5000]
            video = self.open_video(target, cv2.CAP_FFMPEG, limits)
        elif kind == "images":
            video = ImageFiles(image_paths(str(target)), self.settings.fps or DEFAULT_FPS, self.event)
        else:
            video = self.open_video(target, cv2.CAP_ANY)
        if kind in ("url", "file") and video.isOpened():
            leave_turning_to_us(video)
        stored = _first_image(video, attempts=FIRST_READS if kind == "device" else 1)
        if stored is None:
            text = _explain(self.source, container, video)
            video.release()
            raise CameraError(text)
        correct = correction_of(video, container, stored, self.settings.mirror)
        image = correct(stored)
        fps = container.mean_fps or video.get(cv2.CAP_PROP_FPS)
        if not (math.isfinite(fps) and (container.mean_fps or 1.0 <= fps <= 1000.0)):
            fps = self.settings.fps or DEFAULT_FPS
        frames = container.frames or video.get(cv2.CAP_PROP_FRAME_COUNT)
        frames = int(frames) if math.isfinite(frames) and 0 < frames < 1e9 and kind != "device" else 0
        mode = CaptureMode(image.shape[1], image.shape[0], float(fps), frames)
        opened = OpenedVideo(video, image, mode, correct, 0.0, container)
        opened.first_position_s = opened.position_s
        return opened

    def difference(self, mode: CaptureMode) -> str | None:
        """In words, where a camera gives another mode than it was asked for."""
        wanted = self.settings
        asked, got = (wanted.width, wanted.height, wanted.fps), (mode.width, mode.height, mode.fps)
        if not any(a and abs(a - g) > 0.05 * a for a, g in zip(asked, got, strict=True)):
            return None
        width, height, fps = (f"{a:.4g}" if a else "any" for a in asked)
        return f"{self.source.label} was asked for {width} x {height} at {fps} and gives {mode}"

    def _request_mode(self, video: Any) -> None:
        if not video.isOpened():
            return
        video.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        if self.settings.width:
            video.set(cv2.CAP_PROP_FRAME_WIDTH, self.settings.width)
        if self.settings.height:
            video.set(cv2.CAP_PROP_FRAME_HEIGHT, self.settings.height)
        if self.settings.fps:
            video.set(cv2.CAP_PROP_FPS, self.settings.fps)
            if video.get(cv2.CAP_PROP_FPS) < 0.9 * self.settings.fps:  # raw video does not fit through USB 2, JPEG does
                video.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter_fourcc(*"MJPG"))
                video.set(cv2.CAP_PROP_FPS, self.settings.fps)


def _first_image(video: Any, attempts: int) -> np.ndarray | None:
    for _ in range(attempts if video.isOpened() else 0):
        ok, image = video.read()
        if ok and image is not None and image.size:
            return image
    return None


def _explain(source: Source, container: Container, video: Any) -> str:
    if source.kind == "device":
        return explain_device(source)
    if source.kind == "url":
        return f"{source.label} delivers no image; check the address, the network and that the stream is running"
    if source.kind == "images":
        return f"none of the images of {source.label} can be read; they are damaged or of another kind"
    size = Path(str(source.target)).stat().st_size
    if size == 0:
        return f"{source.label} is an empty file, expected a video"
    if container.missing_bytes:
        return f"{source.label} is damaged: {container.missing_bytes} bytes are missing at its end; copy it again"
    if reason := why_not_decoded(container.codec, int(video.get(cv2.CAP_PROP_FOURCC))):
        return f"{source.label} {reason}"
    return (
        f"{source.label} ({size} bytes) is no video that OpenCV can read, or it is damaged; expected mp4, mkv, avi, "
        "mov or webm. Check it with ffprobe, or convert it: ffmpeg -i INPUT -c:v libx264 -pix_fmt yuv420p OUTPUT.mp4"
    )


def _quiet_opencv() -> None:
    """The errors here say it better than OpenCV's and FFmpeg's own lines, unless someone asked for them."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    if "OPENCV_LOG_LEVEL" not in os.environ:
        set_level = getattr(cv2, "setLogLevel", None) or cv2.utils.logging.setLogLevel  # older, and newer than 4.12
        set_level(0)
