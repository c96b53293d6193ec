"""Where files go that belong into the user's home, also where that cannot be written.

rcl makes ``$ROS_LOG_DIR``, ``$ROS_HOME/log`` or ``~/.ros/log``, and no node starts where it cannot. Matplotlib, which
MediaPipe imports, wants a folder for its fonts, and complains at every start where it has none.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path


def home_defaults(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that send to a temporary folder what cannot be written where it belongs."""
    temporary = Path(tempfile.gettempdir()) / f"diffmocap-{os.getuid()}"
    wanted = {"ROS_LOG_DIR": log_folder(environment), "MPLCONFIGDIR": _matplotlib_folder(environment)}
    changes = {}
    for variable, folder in wanted.items():
        other = temporary / variable.lower()
        if (folder is None or not _writable(folder)) and _writable(other):
            other.mkdir(parents=True, exist_ok=True)
            changes[variable] = str(other)
    return changes


def log_folder(environment: Mapping[str, str]) -> Path | None:
    """The folder that rcl takes; None where there is no home to take one from."""
    if chosen := environment.get("ROS_LOG_DIR"):
        return Path(chosen).expanduser()
    if chosen := environment.get("ROS_HOME"):
        return Path(chosen).expanduser() / "log"
    home = environment.get("HOME", "")
    return Path(home) / ".ros" / "log" if home else None


def _matplotlib_folder(environment: Mapping[str, str]) -> Path | None:
    if chosen := environment.get("MPLCONFIGDIR"):
        return Path(chosen)
    home = environment.get("HOME", "")
    configuration = environment.get("XDG_CONFIG_HOME") or (str(Path(home) / ".config") if home else "")
    return Path(configuration) / "matplotlib" if configuration else None


def _writable(folder: Path) -> bool:
    """Whether the folder, or what of it is missing, can be made and written; nothing is made."""
    folder = folder.absolute()
    while folder != folder.parent and not os.path.lexists(folder):
        folder = folder.parent
    return folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)
