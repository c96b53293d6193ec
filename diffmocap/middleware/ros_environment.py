"""The environment that ROS 2 needs where it came as wheels from PyPI; a real install sets up its own.

Plain wheels leave unset where packages find their `share` folder (``AMENT_PREFIX_PATH``), and they need what
:mod:`diffmocap.middleware.network` sets for every process, also for one that is started by itself. What the user has
set already is kept. No ROS module is imported here.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, MutableMapping
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from diffmocap.errors import SetupError
from diffmocap.middleware.home_folder import home_defaults, log_folder
from diffmocap.middleware.network import LOCAL, network


def rclpy_from_wheels() -> bool:
    """Whether the ``rclpy`` that this Python imports is the one of the PyPI wheels."""
    spec = find_spec("rclpy")
    if spec is None or spec.origin is None:
        return False
    try:
        wheel = metadata.distribution("ros-rclpy")
    except metadata.PackageNotFoundError:
        return False
    # A sourced ROS 2 install comes first in PYTHONPATH and hides the wheel.
    return Path(spec.origin).resolve() == Path(str(wheel.locate_file("rclpy/__init__.py"))).resolve()


def require_ros() -> None:
    """Raise SetupError that says what to do where ROS 2 or the message packages cannot be imported."""
    missing = [name for name in ("rclpy", "diffmocap_msgs", "tf2_msgs") if find_spec(name) is None]
    if "rclpy" in missing:
        raise SetupError(
            "ROS 2 is not there: rclpy cannot be imported. With a ROS 2 install: source its setup.bash and that of "
            "ros_ws/install. Without: run `make setup` in the repository and use .venv/bin/diffmocap"
        )
    if missing:
        raise SetupError(
            f"the ROS 2 message packages {', '.join(missing)} cannot be imported. With a ROS 2 install: build ros_ws "
            "with colcon and source ros_ws/install/setup.bash. Without: run `make setup` in the repository"
        )


def wheel_defaults(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that the wheels need and that ``environment`` lacks; empty where ROS 2 is a real install."""
    if not rclpy_from_wheels():
        return {}
    prefixes = [path for path in environment.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if path]
    if sys.prefix not in prefixes:
        prefixes.insert(0, sys.prefix)
    changes = {"AMENT_PREFIX_PATH": os.pathsep.join(prefixes), "RMW_IMPLEMENTATION": "rmw_fastrtps_cpp"}
    return changes | network(LOCAL, {**environment, **changes}).variables


def child_environment(base: Mapping[str, str] | None = None) -> dict[str, str]:
    """Environment for a node that is started as a process of its own; ``base`` defaults to this process's."""
    environment = dict(os.environ if base is None else base)
    return environment | wheel_defaults(environment) | home_defaults(environment)


def prepare_process(environment: MutableMapping[str, str] = os.environ) -> None:
    """Set the variables in this process; they count only before ``rclpy.init``."""
    environment.update(wheel_defaults(environment))
    changes = home_defaults(environment)
    if "ROS_LOG_DIR" in changes:
        wanted = log_folder(environment) or "the home folder"
        print(f"diffmocap: ROS's log files go to {changes['ROS_LOG_DIR']}: {wanted} cannot be written", file=sys.stderr)
    environment.update(changes)
