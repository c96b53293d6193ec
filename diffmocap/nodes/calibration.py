"""The newest camera_info, and what to assume until one comes."""

from __future__ import annotations

import time
from collections.abc import Callable

from sensor_msgs.msg import CameraInfo

from diffmocap.errors import SettingsError
from diffmocap.nodes.messages import intrinsics_from_camera_info
from diffmocap.types import CameraIntrinsics

#: A calibration that comes later than the first images is not worth a warning.
PATIENCE_S = 2.0


class Calibration:
    """Intrinsics for the images at hand.

    Without a usable calibration the default field of view stands in, and ``warn`` says so once and loudly.

    Args:
        warn: gets that text; called again only after a calibration came and another fault began.
        solved: called when a calibration comes that takes the warning back.
    """

    def __init__(self, warn: Callable[[str], None], solved: Callable[[], None] = lambda: None) -> None:
        self._warn, self._solved = warn, solved
        self._warned = ""
        self._info: CameraInfo | None = None
        self._started_s = time.monotonic()
        self._cached: tuple[tuple, CameraIntrinsics] | None = None

    def receive(self, info: CameraInfo) -> None:
        """A camera_info message; the newest counts."""
        self._info = info

    def intrinsics(self, width: int, height: int, vertical_fov_deg: float) -> CameraIntrinsics:
        """For images of this size [px]; ``is_default`` where nothing better than the field of view is known."""
        info = self._info
        key = (width, height, vertical_fov_deg, None if info is None else _content(info))
        if self._cached is None or self._cached[0] != key:
            self._cached = (key, self._made(info, width, height, vertical_fov_deg))
        if info is None and time.monotonic() - self._started_s > PATIENCE_S:
            self._say(f"no camera_info has come: assuming a vertical field of view of {vertical_fov_deg:g} degrees")
        return self._cached[1]

    def _made(self, info: CameraInfo | None, width: int, height: int, vertical_fov_deg: float) -> CameraIntrinsics:
        assumed = CameraIntrinsics.from_fov(width, height, vertical_fov_deg)
        if info is None:
            return assumed
        try:
            made = intrinsics_from_camera_info(info, width, height, vertical_fov_deg)
        except SettingsError as error:
            self._say(f"{error}. Assuming a vertical field of view of {vertical_fov_deg:g} degrees until then")
            return assumed
        if made.is_default:
            self._say(
                f"the camera is not calibrated (K is zero): assuming a vertical field of view of {vertical_fov_deg:g} "
                "degrees"
            )
        elif self._warned:
            self._warned = ""
            self._solved()
        return made

    def _say(self, text: str) -> None:
        if self._warned != text:
            self._warned = text
            self._warn(
                f"{text}. Distances and the tilt of the body depend on it: calibrate with camera_calibration, or set "
                "the parameter vertical_fov_deg"
            )


def _content(info: CameraInfo) -> tuple:
    return (info.width, info.height, info.distortion_model, tuple(info.k), tuple(info.d))
