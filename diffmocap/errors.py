"""Errors a user can act on.

Every message says what was wrong, what was expected and what to do. The nodes catch
``DiffmocapError`` at their edge, log the message once and live on.
"""

from __future__ import annotations


class DiffmocapError(Exception):
    """Base of all errors that this package raises on purpose."""


class CameraError(DiffmocapError):
    """A camera, file or URL could not be opened or read."""


class CalibrationError(DiffmocapError):
    """The views of a board do not determine the camera."""


class ImageError(DiffmocapError):
    """An image has no pixels, or an encoding that cannot be used."""


class KeypointError(DiffmocapError):
    """Keypoints have the wrong shape or hold values that are not finite."""


class StampError(DiffmocapError):
    """An acquisition time that cannot be right."""


class AbandonedError(DiffmocapError):
    """Work that was asked to end before its result was there."""


class ModelFileError(DiffmocapError):
    """A weights, body or task file is missing, corrupt or of the wrong kind."""


class DeviceError(DiffmocapError):
    """A compute device is unknown or not present on this machine."""


class SettingsError(DiffmocapError):
    """A setting lies outside its range."""


class MotionFileError(DiffmocapError):
    """A motion-capture file is missing, corrupt or of the wrong kind."""


class RobotError(DiffmocapError):
    """A robot's description or model cannot be used, or a pose that it is to follow."""


class SetupError(DiffmocapError):
    """Something the command needs is not installed (ROS 2, message packages)."""


class GraphError(DiffmocapError):
    """A node of the ROS graph ended, refused a lifecycle transition or does not answer."""
