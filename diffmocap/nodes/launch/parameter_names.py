"""Parameter files that would be taken without effect: what no node reads is named before or while the nodes start.

rcl itself ignores a section whose node does not exist and a parameter that the node does not declare, so that a slip
of the pen leaves the default in place unsaid.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import rclpy
from rclpy.node import Node

from diffmocap.errors import SettingsError
from diffmocap.graph.params_file import names, sections
from diffmocap.resources import share_path

#: Where the parameters of each node are listed.
PARAMETER_MODULES = {
    "camera_node": "camera_node", "hri_node": "hri.hri_settings", "keypoint_node": "keypoint_node",
    "pose_node": "pose.pose_settings", "retarget_node": "retarget.retarget_settings",
    "sonic_node": "sonic.sonic_settings", "viewer_node": "viewer.viewer_settings",
}  # fmt: skip
_WILDCARDS = ("*", "**")


def check_parameter_file(path: str | Path, nodes: Collection[str], warn: Callable[[str], None]) -> None:
    """Looks at a parameter file before anything starts.

    Args:
        path: of the file.
        nodes: full names of the nodes that are given the file.
        warn: told of sections that are for none of them and not like any of them: one file may serve a whole robot.

    Raises:
        SettingsError: there is no such file, rcl cannot read it, or a section means one of the nodes and misses it.
    """
    if not Path(path).is_file():
        example = share_path("config", "diffmocap.yaml")
        raise SettingsError(f"params_file: there is no file '{path}'; {example} is one to start from")
    _read_as_rcl(path)
    found = [name for name, _ in sections(path)]
    own = {node.rpartition("/")[2]: node for node in nodes}
    known = {*PARAMETER_MODULES, *own}
    for section in found:
        last = section.rpartition("/")[2]
        if last in _WILDCARDS or any(names(section, node) for node in nodes):
            continue
        if last in own and not any(names(other, own[last]) for other in found if other.rpartition("/")[2] == last):
            raise SettingsError(
                f"parameter file {path}: the section '{section}' reaches no node, since this graph's is {own[last]}; "
                f"name it '/**/{last}' for any namespace"
            )
        if last not in known and (meant := get_close_matches(last, known, 1, 0.8)):
            raise SettingsError(f"parameter file {path}: there is no node '{section}'; did you mean '{meant[0]}'?")
        if last not in known:
            warn(f"parameter file {path}: the section '{section}' names no node of this graph")


def refuse_unknown_parameters(node: Node, arguments: Sequence[str]) -> None:
    """For a node that has declared its parameters: those that it was given and does not have.

    A section for every node (``/**``) may hold what another node of this package has.

    Args:
        node: with its parameters declared.
        arguments: the command line.

    Raises:
        SettingsError: an unknown name, with the nearest that exists.
    """
    given = getattr(node, "_parameter_overrides", {})
    unknown = [name for name in given if not node.has_parameter(name) and not name.startswith("qos_overrides.")]
    if not unknown:
        return
    full_name = node.get_fully_qualified_name()
    for name in unknown:
        files = list(_given_in(name, full_name, arguments))
        if files and all(section.rpartition("/")[2] in _WILDCARDS for _, section in files):
            if name in _parameters_of_all_nodes():
                continue
        where = f" in {files[-1][0]}, section '{files[-1][1]}'" if files else ""
        known = [parameter for parameter in node.get_parameters_by_prefix("") if "." not in parameter or "." in name]
        meant = get_close_matches(name, known, 1)
        hint = f"did you mean '{meant[0]}'?" if meant else f"`ros2 param list {full_name}` shows what it has"
        raise SettingsError(f"{node.get_name()} has no parameter '{name}'{where}; {hint}")


def _read_as_rcl(path: str | Path) -> None:
    context = rclpy.Context()
    try:
        context.init(["--ros-args", "--params-file", str(path)])
    except Exception as error:  # of a type that rclpy does not make public
        reason = re.search(r"Error: (.*?)(?:, at /|$)", " ".join(str(error).split()))
        raise SettingsError(f"parameter file {path} cannot be read: {reason[1] if reason else error}") from error
    finally:
        context.try_shutdown()


def _given_in(parameter: str, node: str, arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    """(file, section) of the parameter files on a command line that give the node this parameter."""
    for option, path in zip(arguments, arguments[1:]):
        if option == "--params-file":
            for section, parameters in sections(path):
                if names(section, node) and _holds(parameters, parameter):
                    yield path, section


def _holds(parameters: Mapping[str, Any], name: str) -> bool:
    if name in parameters:
        return True
    group, dot, rest = name.partition(".")
    return bool(dot) and isinstance(parameters.get(group), Mapping) and _holds(parameters[group], rest)


def _parameters_of_all_nodes() -> set[str]:
    modules = (importlib.import_module(f"diffmocap.nodes.{module}") for module in PARAMETER_MODULES.values())
    return {parameter.name for module in modules for parameter in module.PARAMETERS}
