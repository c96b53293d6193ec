"""What to ask of a source of images. Imports nothing heavy: the command line reads the settings early."""

from __future__ import annotations

from dataclasses import dataclass

from diffmocap.settings import check_settings, setting


@dataclass(frozen=True)
class CaptureSettings:
    """What is requested of a :class:`diffmocap.camera.capture.Capture`; its ``mode`` holds what the source delivers."""

    width: int = setting(0, "Image width to ask of a camera; 0: its default.", 0, 16384, "px")
    height: int = setting(0, "Image height to ask of a camera; 0: its default.", 0, 16384, "px")
    fps: float = setting(
        0.0,
        "Frame rate to ask of a camera, of images in files, and of a video without times; 0: the camera's own, or 30.",
        0.0,
        1000.0,
        "Hz",
    )
    mirror: bool = setting(
        False, "The source shows people as a mirror does: exchange left and right, also of the calibration."
    )
    reconnect: bool = setting(True, "Open a camera or stream again, after growing pauses, when it was lost.")

    def __post_init__(self) -> None:
        check_settings(self)
