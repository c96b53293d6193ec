"""Where ROS 2 writes its log files, also where the user's home cannot be written.

rcl makes ``$ROS_LOG_DIR``, ``$ROS_HOME/log`` or ``~/.ros/log``, and no node starts where it cannot.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path


def log_defaults(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that send the logs to a temporary folder; empty where they can be written where they belong."""
    wanted = log_folder(environment)
    if wanted is not None and _writable(wanted):
        return {}
    other = Path(tempfile.gettempdir()) / f"diffmocap-ros-log-{os.getuid()}"
    return {"ROS_LOG_DIR": str(other)} if other != wanted and _writable(other) else {}


def log_folder(environment: Mapping[str, str]) -> Path | None:
    """The folder that rcl takes; None where there is no home to take one from."""
    if chosen := environment.get("ROS_LOG_DIR"):
        return Path(chosen).expanduser()
    if chosen := environment.get("ROS_HOME"):
        return Path(chosen).expanduser() / "log"
    home = environment.get("HOME", "")
    return Path(home) / ".ros" / "log" if home else None


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False
