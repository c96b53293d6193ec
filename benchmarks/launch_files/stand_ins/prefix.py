"""The ament prefix in which the stand-ins are found: index markers, executables, an extension of ``ros2``."""

from __future__ import annotations

import shutil
from collections.abc import Collection
from pathlib import Path

_HERE = Path(__file__).resolve().parent

#: Package -> executable; ros2bag has none, it extends `ros2`.
PACKAGES = {
    "robot_state_publisher": "robot_state_publisher",
    "tf2_ros": "static_transform_publisher",
    "rviz2": "rviz2",
    "joint_state_publisher_gui": "joint_state_publisher_gui",
    "ros2bag": None,
}

#: A C++ node has started before anybody can press Ctrl-C; Python imports for a second or more, and ends silently then.
_EXECUTABLE = """#!/usr/bin/env python3
import os, signal, sys
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda *_: os._exit(0))
sys.path.insert(0, {folder!r})
from {module} import main
sys.exit(main())
"""
_MANIFEST = """<?xml version="1.0"?>
<package format="3">
  <name>{name}</name><version>0.0.1</version><description>Stand-in for {name}</description>
  <maintainer email="maintainers@users.noreply.github.com">diffmocap maintainers</maintainer>
  <license>Apache-2.0</license>
</package>
"""
_SETUP = """export AMENT_PREFIX_PATH="{folder}${{AMENT_PREFIX_PATH:+:$AMENT_PREFIX_PATH}}"
export PYTHONPATH="{folder}/python${{PYTHONPATH:+:$PYTHONPATH}}"
"""


def make_prefix(folder: Path, without: Collection[str] = ()) -> None:
    """Write the prefix; what was there is removed, so that the folder must be new or one of ours.

    Raises:
        SystemExit: the folder holds something else.
    """
    marker = folder / ".stand_ins"
    if folder.exists() and any(folder.iterdir()) and not marker.is_file():
        raise SystemExit(f"{folder} is not empty and no prefix of stand-ins: name a new folder")
    shutil.rmtree(folder, ignore_errors=True)
    index = folder / "share/ament_index/resource_index/packages"
    index.mkdir(parents=True)
    marker.touch()
    (folder / "python").mkdir()
    for package, executable in PACKAGES.items():
        if package in without:
            continue
        (index / package).touch()
        share = folder / "share" / package
        share.mkdir()
        (share / "package.xml").write_text(_MANIFEST.format(name=package))
        if executable is not None:
            path = folder / "lib" / package / executable
            path.parent.mkdir(parents=True)
            path.write_text(_EXECUTABLE.format(folder=str(_HERE), module=executable))
            path.chmod(0o755)
    if "ros2bag" not in without:
        _bag_command(folder / "python")
    (folder / "setup.bash").write_text(_SETUP.format(folder=folder.resolve()))


def _bag_command(folder: Path) -> None:
    """`ros2` finds its commands by the entry points of installed Python packages."""
    information = folder / "ros2bag_stand_in-0.0.1.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: ros2bag_stand_in\nVersion: 0.0.1\n")
    (information / "entry_points.txt").write_text("[ros2cli.command]\nbag = ros2bag_stand_in:BagCommand\n")
    (folder / "ros2bag_stand_in.py").symlink_to(_HERE / "ros2_bag.py")
