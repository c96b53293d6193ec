"""What camera_node knows of its camera's lens, and the calibration that a calibrator sends it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from sensor_msgs.msg import CameraInfo

from diffmocap.camera.calibration.calibration_file import load_calibration, write_calibration
from diffmocap.camera.calibration.saved_calibration import saved_calibration_path
from diffmocap.camera.devices import Source
from diffmocap.camera.focal_length import estimated_intrinsics, focal_length_35mm
from diffmocap.camera.intrinsics import crop_warning, fitted
from diffmocap.camera.message_info import intrinsics_from_camera_info
from diffmocap.camera.mirror import mirrored
from diffmocap.errors import SettingsError
from diffmocap.types import CameraIntrinsics

_UNSAVED = "the calibration is used until this node is configured again, but cannot be saved"
_NAME_A_FILE = "set the parameter calibration_file to a file that can be written"


class CameraCalibration:
    """Intrinsics of the published pictures, from the best that is known.

    That is a calibration; else a field of view that the user knows; else the focal length in the video's or photo's
    metadata, an estimate; else nothing, and the intrinsics are default ones. A calibration file describes the pictures
    as the source gives them, so ``mirror`` applies to it as to them.

    Args:
        path: calibration file; empty for the one that :meth:`set` saved for this camera, where there is one.
        vertical_fov_deg: known field of view, 0 where unknown.
        mirror: the pictures are published with left and right exchanged.
        source: what the pictures come from.
        inform, warn: get texts for the log.

    Attributes:
        origin: in words, what the intrinsics come from.

    Raises:
        SettingsError: the file that was named is missing or holds no calibration. A saved one that cannot be used is
            warned of and ignored.
    """

    def __init__(
        self,
        path: str,
        vertical_fov_deg: float,
        mirror: bool,
        source: Source,
        inform: Callable[[str], None],
        warn: Callable[[str], None],
    ) -> None:
        self._path, self._fov_deg, self._mirror = path, vertical_fov_deg, mirror
        self._inform, self._warn = inform, warn
        self._saved_path = saved_calibration_path(source)
        self._known = load_calibration(path) if path else self._saved()
        self._focal_mm = 0.0 if self._known or vertical_fov_deg else focal_length_35mm(source)
        self._told = ""
        self.origin = ""

    def intrinsics(self, width: int, height: int) -> CameraIntrinsics:
        """Of published pictures of this size [px]."""
        if (known := self._known) is not None:
            self.origin = "calibration"
            warning = crop_warning((known.width, known.height), (width, height))
            if warning and self._is_new(warning):
                self._warn(f"calibration_file: {warning}")
            made = fitted(known, width, height)
        elif self._fov_deg:
            self.origin = "vertical_fov_deg"
            made = replace(CameraIntrinsics.from_fov(width, height, self._fov_deg), is_default=False)
        elif self._focal_mm:
            self.origin = f"focal length of {self._focal_mm:.4g} mm that the file tells, an estimate"
            made = estimated_intrinsics(self._focal_mm, width, height)
            text = (
                f"camera_info is estimated from the focal length in the file, {self._focal_mm:.4g} mm as on 35 mm film:"
                f" fx = {made.fx:.0f} px. Distances depend on it; a calibration_file is better"
            )
            if self._is_new(text):
                self._inform(text)
        else:
            self.origin = "none"
            made = CameraIntrinsics.from_fov(width, height)
        return mirrored(made) if self._mirror else made

    def set(self, info: CameraInfo, width: int, height: int) -> tuple[bool, str]:
        """Takes the calibration of the published pictures, of the size given, and writes it to the calibration file.

        Returns:
            Whether all went well, and what happened, for people.
        """
        size = info.width or width, info.height or height
        try:
            made = intrinsics_from_camera_info(info, *size)
        except SettingsError as error:
            return False, str(error)
        if made.is_default:
            self._known = None
            return True, "the camera counts as not calibrated now (K is zero); no file was changed"
        self._known = mirrored(made) if self._mirror else made
        path = Path(self._path).expanduser() if self._path else self._saved_path
        if path is None:
            return False, f"{_UNSAVED}: this user has no home folder; {_NAME_A_FILE}"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_calibration(path, self._known, path.stem)
        except OSError as error:
            return False, f"{_UNSAVED} as '{path}' ({error.strerror}); {_NAME_A_FILE}"
        return True, f"saved as {path}, which the next start reads, and in use"

    def _saved(self) -> CameraIntrinsics | None:
        """The calibration that was saved for this camera, None where there is none."""
        path = self._saved_path
        try:
            if path is None or not path.is_file():
                return None
            known = load_calibration(path)
        except (OSError, SettingsError) as error:
            self._warn(f"the calibration saved for this camera is ignored: {error}")
            return None
        instead = f" instead of vertical_fov_deg {self._fov_deg:g}" if self._fov_deg else ""
        self._inform(f"camera_info is from '{path}'{instead}, the calibration saved for this camera")
        return known

    def _is_new(self, text: str) -> bool:
        """Whether this was not the last to be told; each severity needs a call of its own, or rclpy raises an error."""
        is_new, self._told = self._told != text, text
        return is_new
