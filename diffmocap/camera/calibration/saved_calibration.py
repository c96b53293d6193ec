"""Where the calibration of a camera is saved, and found at the next start, when no file is named.

As with ROS's camera_info_manager it is ``$ROS_HOME/camera_info/NAME.yaml``, and the name is that of the camera.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from diffmocap.camera.devices import Source, list_devices

#: Longest name, with room for an ending in the 255 bytes that file systems allow. Paths differ most at their ends.
_LONGEST_NAME = 60


def camera_name(source: Source) -> str:
    """Name of a camera in letters, digits and underscores.

    It is the model's name for a device that Linux knows, as v4l2_camera has it, so the calibration stays with the
    camera at whichever port; cameras of one model share it. Streams, files and folders are named by their addresses,
    without what is secret in them.
    """
    if source.kind == "device":
        path = f"/dev/video{source.target}" if isinstance(source.target, int) else str(source.target)
        models = {os.path.realpath(device): model for device, model in list_devices()}
        model = models.get(os.path.realpath(path), "unknown")
        text = path.removeprefix("/dev/") if model == "unknown" else model.lower()
    elif source.kind == "url":
        text = source.label
    else:
        text = str(Path(source.target).absolute())
    return re.sub(r"\W+", "_", text).strip("_")[-_LONGEST_NAME:] or "camera"


def saved_calibration_path(source: Source) -> Path | None:
    """The file of a camera's calibration, whether or not it exists; None for a user without a home folder."""
    try:
        ros_home = os.environ.get("ROS_HOME") or Path.home() / ".ros"
    except RuntimeError:
        return None
    return Path(ros_home).expanduser() / "camera_info" / f"{camera_name(source)}.yaml"
