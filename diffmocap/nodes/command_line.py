"""What a node's executable says to a command line with anything but ROS arguments; read before the node is imported."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from importlib.util import find_spec


def answer(name: str, arguments: Sequence[str]) -> tuple[int, str] | None:
    """Exit code and text instead of running the node ``name``; None where it runs.

    ``arguments`` are those after the executable's name. ROS itself takes what it does not know for the program's own,
    so that a parameter without ``-p`` would be lost without a word.
    """
    own = _outside_of_ros_args(arguments)
    if {"-h", "--help"} & set(own):
        return 0, _help(name)
    if own:
        return 2, (
            f"{name}: error: unknown argument '{own[0]}': parameters and other names are given as ROS arguments, such "
            f"as --ros-args -p NAME:=VALUE -r __ns:=/human; --help says more"
        )
    return None


def _outside_of_ros_args(arguments: Sequence[str]) -> list[str]:
    own, of_ros = [], False
    for argument in arguments:
        if argument == "--ros-args" or (of_ros and argument == "--"):
            of_ros = argument == "--ros-args"
        elif not of_ros:
            own.append(argument)
    return own


def _help(name: str) -> str:
    from diffmocap.graph import description  # a node that runs need not wait for it

    with open(find_spec(f"diffmocap.nodes.{name}").origin, encoding="utf-8") as source:
        purpose = ast.get_docstring(ast.parse(source.read())).partition("\n")[0]
    managed = any(node.name == name and node.lifecycle for node in description.webcam().nodes)
    begins = (
        f"It is a lifecycle node, and works once it is configured and activated:\n\n"
        f"    ros2 lifecycle set /human/{name} configure && ros2 lifecycle set /human/{name} activate\n\n"
        "The launch files do that for the whole graph: ros2 launch diffmocap webcam.launch.py --show-args"
        if managed
        else "The launch files start it with the graph: ros2 launch diffmocap webcam.launch.py --show-args"
    )
    return (
        f"usage: ros2 run diffmocap {name} [--ros-args -r __ns:=/human -p NAME:=VALUE --params-file YAML ...]\n\n"
        f"{purpose}\n\n{begins}\n\n"
        f"`ros2 param describe /human/{name} NAME` explains a parameter, docs/parameters.md all of them."
    )
