"""ROS bags: they are no source of camera_node, and a launch file plays them."""

from __future__ import annotations

import shlex
from pathlib import Path

from diffmocap.camera.cut_mcap import MAGIC

_IN_FOLDERS = (".mcap", ".db3", ".mcap.zstd", ".db3.zstd")
_BEGINNINGS = (MAGIC, b"#ROSBAG V2.0")


def bag_at(path: Path) -> bool:
    """Whether this file or folder is a bag."""
    try:
        if path.is_dir():
            return any(each.name.endswith(_IN_FOLDERS) for each in path.iterdir())
        if not path.is_file():
            return False
        with path.open("rb") as file:
            begin = file.read(16)
    except OSError:  # the error, with its reason, is raised when it is read
        return False
    return path.name.endswith((*_IN_FOLDERS, ".bag")) or begin.startswith(_BEGINNINGS)


def how_to_play(path: Path) -> str:
    """Which command plays a bag, in words for an error."""
    where = shlex.quote(str(path.resolve()))
    if path.suffix == ".bag":
        return (
            f"'{path}' is a bag of ROS 1, not a video; convert it (pip install rosbags; rosbags-convert --src {where} "
            f"--dst {shlex.quote(str(path.resolve().with_suffix('')))}) and play what that makes: "
            "ros2 launch diffmocap replay.launch.py bag:=FOLDER"
        )
    return f"'{path}' is a bag, not a video; play it with: ros2 launch diffmocap replay.launch.py bag:={where}"
