"""What is looked up before a launch file starts anything, so that what cannot work starts no process at all."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path

from ament_index_python.packages import PackageNotFoundError, get_package_prefix

from diffmocap.errors import SettingsError, SetupError
from diffmocap.graph.elements import PACKAGE, Graph
from diffmocap.middleware.ros_environment import require_ros
from diffmocap.nodes.launch.parameter_names import check_parameter_file
from launch import LaunchContext

#: Arguments that launch and launch_ros themselves take of any launch file.
LAUNCH_ARGUMENTS = (
    "launch-prefix",
    "launch-prefix-filter",
    "sigterm_timeout",
    "sigkill_timeout",
    "emulate_tty",
    "ros_namespace",
)


def check_arguments(graph: Graph, context: LaunchContext) -> None:
    """Refuses arguments that the graph does not have, which launch would ignore.

    Only of our own launch file on the command line: the arguments of one that includes it are not ours to judge.

    Raises:
        SettingsError: an unknown argument, with the nearest that exists.
    """
    if not any(Path(word).name == f"{graph.name}.launch.py" for word in sys.argv):
        return
    known = [argument.name for argument in graph.arguments]
    for word in context.argv:
        name, assigns, _ = word.partition(":=")
        if assigns and name not in (*known, *LAUNCH_ARGUMENTS):
            meant = get_close_matches(name, known, 1)
            hint = f"did you mean '{meant[0]}'?" if meant else f"expected one of {', '.join(known)}"
            raise SettingsError(f"unknown argument '{name}'; {hint}")


def installed(graph: Graph, warn: Callable[[str], None]) -> Graph:
    """A resolved graph without the optional nodes whose packages are not installed, which are warned of.

    Raises:
        SetupError: anything else that is not installed, all in one message.
    """
    require_ros()
    missing = [package for package in graph.packages if _prefix(package) is None]
    if PACKAGE in missing:
        raise SetupError(
            f"ROS 2 does not find the package {PACKAGE}: build ros_ws with colcon and source ros_ws/install/setup.bash"
        )
    if missing:
        raise SetupError(f"not installed: {', '.join(missing)}. {_how_to_install(missing)}")
    left_out = [node.package for node in graph.nodes if node.optional and _prefix(node.package) is None]
    for package in left_out:
        warn(f"{package} is not installed and is left out. {_how_to_install([package])}")
    for node in graph.nodes:
        if lacking := node.lacks():
            warn(f"{lacking}. It is left out")
    there = tuple(node for node in graph.nodes if node.package not in left_out and not node.lacks())
    graph = replace(graph, nodes=there)
    for package, executable in _executables(graph):
        path = Path(_prefix(package), "lib", package, executable)
        if not path.is_file():
            raise SetupError(f"the package {package} lacks its executable {path}; install or build it again")
    return graph


def check_files(graph: Graph, values: dict[str, str], namespace: str, warn: Callable[[str], None]) -> None:
    """Looks at the files that a resolved graph is given.

    Raises:
        SettingsError: a parameter file that is not there, cannot be read or reaches no node; a bag that is not there.
    """
    readers = [f"{namespace.rstrip('/')}/{node.name}" for node in graph.nodes if node.reads_params_file]
    if readers:
        check_parameter_file(values["params_file"], readers, warn)
    bag = values.get("bag")
    if bag and not Path(bag).exists():
        raise SettingsError(f"bag: there is no file or folder '{bag}'; expected what `ros2 bag record` wrote")


def _prefix(package: str) -> str | None:
    try:
        return get_package_prefix(package)
    except PackageNotFoundError:
        return None


def _executables(graph: Graph) -> list[tuple[str, str]]:
    found = [(node.package, node.executable) for node in graph.nodes]
    return found + [("tf2_ros", "static_transform_publisher")] * bool(graph.static_transforms)


def _how_to_install(packages: list[str]) -> str:
    distribution = os.environ.get("ROS_DISTRO", "$ROS_DISTRO")
    names = " ".join(f"ros-{distribution}-{package.replace('_', '-')}" for package in packages)
    return f"On Ubuntu: sudo apt install {names}"
