"""What a description of a ROS graph is made of: arguments, processes, static transforms.

Plain data without ROS. A value may be a :class:`Given`, the value of a launch argument; an argument left empty
leaves a parameter to the parameter file, so that what the user wrote there stands.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from typing import Any

from diffmocap.errors import SettingsError
from diffmocap.graph.names import check_name
from diffmocap.graph.params_file import parameter_in_file

PACKAGE = "diffmocap"
BOOLEANS = ("true", "false", "True", "False")


@dataclass(frozen=True)
class Argument:
    """A launch argument.

    Attributes:
        name, description: as shown by ``ros2 launch --show-args``.
        default: text; empty leaves the matter to the parameter file, or switches off what depends on it.
        choices: accepted values, or empty for any.
        default_with: (condition, text): the default where that condition on another argument holds.
        in_file: the parameter that holds the value where the argument is left empty, so that all processes that need it
            agree with the node that reads it from its parameter file.
        names: "namespace" or "topic" where the value is the name of one.
    """

    name: str
    default: str
    description: str
    choices: tuple[str, ...] = ()
    default_with: tuple[When, str] | None = None
    in_file: InFile | None = None
    names: str = ""


@dataclass(frozen=True)
class InFile:
    """A parameter of a node in the graph's parameter file; ``unless`` it has this value, which is the usual one."""

    node: str
    parameter: str
    unless: Any = None


@dataclass(frozen=True)
class Given:
    """The value of a launch argument, made by ``type``; ``otherwise``, a value or a Given, where it is left empty."""

    argument: str
    type: Callable[[str], Any] = str
    otherwise: Any = None


@dataclass(frozen=True)
class When:
    """Holds where an argument has the value ``is_``; with ``is_`` None, where it is not empty."""

    argument: str
    is_: str | None = "true"

    def holds(self, values: Mapping[str, str]) -> bool:
        value = values[self.argument]
        return bool(value) if self.is_ is None else value == self.is_


@dataclass(frozen=True)
class Implied:
    """A parameter's value where any of the conditions holds; the parameter file's stands, if it is not ``over``."""

    value: Any
    any_of: tuple[When, ...]
    over: Any


class _Urdf:
    """Stands for the text of the body's URDF where a parameter wants it."""


URDF = _Urdf()


@dataclass(frozen=True)
class NodeProcess:
    """A node in a process of its own.

    Attributes:
        executable, package: what to run.
        name: node name.
        parameters: on top of the parameter file.
        remappings: (from, to) pairs; an empty target maps nothing.
        arguments: command line.
        lifecycle: whether it has to be configured and activated.
        reads_params_file: whether the graph's parameter file is meant for it.
        when: starts only where all of these hold.
        ends_graph: where it holds, the graph has done its work when this process ends by itself.
        optional: left out, with a warning, where its package is not installed.
        modules: Python modules that it imports and that an environment may lack: it is then left out, with a warning.
        may_end: the graph goes on when it ends; a window that the user closes.
        may_wait: where it cannot be configured the graph waits until somebody configures it: a camera may be
            plugged in later.
    """

    executable: str
    name: str
    package: str = PACKAGE
    parameters: Mapping[str, Any] = field(default_factory=dict)
    remappings: tuple[tuple[str, str | Given], ...] = ()
    arguments: tuple[str | Given, ...] = ()
    lifecycle: bool = False
    reads_params_file: bool = False
    when: tuple[When, ...] = ()
    ends_graph: When | bool = False
    optional: bool = False
    modules: tuple[str, ...] = ()
    may_end: bool = False
    may_wait: bool = False

    def lacks(self) -> str:
        """What to do about the :attr:`modules` that this Python does not have; empty where it has all."""
        missing = [name for name in self.modules if find_spec(name) is None]
        if not missing:
            return ""
        return (
            f"{self.name} needs {', '.join(missing)}: pip install {' '.join(missing)} in the environment of "
            f"{sys.executable} (`diffmocap doctor` says all that is missing)"
        )


@dataclass(frozen=True)
class ToolProcess:
    """A ROS command-line tool, started when all lifecycle nodes are active; fields as in :class:`NodeProcess`.

    ``options`` are flags with the condition under which they are appended.
    """

    command: tuple[str | Given, ...]
    package: str
    options: tuple[tuple[When, str], ...] = ()
    when: tuple[When, ...] = ()
    ends_graph: When | bool = False


@dataclass(frozen=True)
class StaticTransform:
    """``T_parent_child``: translation [m]; roll, pitch, yaw [rad] about the parent's fixed x, y, z in that order."""

    parent: str | Given
    child: str | Given
    xyz: tuple[float | Given, float | Given, float | Given] = (0.0, 0.0, 0.0)
    rpy: tuple[float | Given, float | Given, float | Given] = (0.0, 0.0, 0.0)
    when: tuple[When, ...] = ()

    @property
    def publisher_name(self) -> str:
        """Name for a node that publishes it; names of frames may hold what names of nodes must not."""
        return "transform_to_" + re.sub(r"\W", "_", self.child, flags=re.ASCII)

    def quaternion(self) -> tuple[float, float, float, float]:
        """Rotation as x, y, z, w, of a resolved transform."""
        (cr, sr), (cp, sp), (cy, sy) = ((math.cos(a / 2), math.sin(a / 2)) for a in self.rpy)
        return (
            sr * cp * cy - cr * sp * sy,
            cr * sp * cy + sr * cp * sy,
            cr * cp * sy - sr * sp * cy,
            cr * cp * cy + sr * sp * sy,
        )


@dataclass(frozen=True)
class Graph:
    """Everything that one launch file starts.

    Attributes:
        nodes: in the order in which lifecycle nodes are brought up: each is active before the next one
            is configured, consumers first, so that no image is lost at the start.
        tools: command-line tools beside them.
        exactly_one_of: arguments of which one and only one has to be given.
        at_most_one_true: switches of which one at most may be on, and why.
    """

    name: str
    arguments: tuple[Argument, ...]
    nodes: tuple[NodeProcess, ...]
    tools: tuple[ToolProcess, ...] = ()
    static_transforms: tuple[StaticTransform, ...] = ()
    exactly_one_of: tuple[str, ...] = ()
    at_most_one_true: tuple[tuple[str, ...], str] = ((), "")

    @property
    def lifecycle_nodes(self) -> tuple[NodeProcess, ...]:
        return tuple(node for node in self.nodes if node.lifecycle)

    @property
    def packages(self) -> tuple[str, ...]:
        """The ROS packages that must be installed to start it, each once."""
        needed = [node.package for node in self.nodes if not node.optional] + [tool.package for tool in self.tools]
        needed += ["tf2_ros"] if self.static_transforms else []
        return tuple(dict.fromkeys(needed))

    def values(self, given: Mapping[str, Any] | None = None) -> dict[str, str]:
        """All argument values as text, defaults filled in.

        Raises:
            SettingsError: an unknown argument, a value outside its choices or that is no name, none or both of two
                alternatives.
        """
        values = {argument.name: argument.default for argument in self.arguments}
        for name, value in (given or {}).items():
            if name not in values:
                raise SettingsError(f"unknown argument '{name}'; expected one of {', '.join(values)}")
            values[name] = str(value)
        for argument in self.arguments:
            if argument.in_file is not None and values[argument.name] == "":
                values[argument.name] = _text_in_file(argument.in_file, values)
        for argument in self.arguments:
            if set(BOOLEANS) <= set(argument.choices) and values[argument.name]:
                values[argument.name] = str(parse_bool(argument.name, values[argument.name])).lower()
        for argument in self.arguments:
            if values[argument.name] == "" and argument.default_with and argument.default_with[0].holds(values):
                values[argument.name] = argument.default_with[1]
            if argument.choices and values[argument.name] not in argument.choices:
                raise SettingsError(
                    f"argument '{argument.name}': expected one of {', '.join(filter(None, argument.choices))}, "
                    f"got '{values[argument.name]}'"
                )
            if argument.names:
                check_name(f"argument '{argument.name}'", argument.names, values[argument.name])
        if self.exactly_one_of and sum(bool(values[name]) for name in self.exactly_one_of) != 1:
            raise SettingsError(f"give one of the arguments {' or '.join(f'{n}:=' for n in self.exactly_one_of)}")
        switches, why = self.at_most_one_true
        if sum(values[name] == "true" for name in switches) > 1:
            raise SettingsError(f"{why}; set one of {' and '.join(f'{n}:=false' for n in switches)}")
        return values

    def resolve(self, given: Mapping[str, Any] | None = None) -> Graph:
        """The graph for these arguments: plain values, and only what then starts.

        Raises:
            SettingsError: as :meth:`values`, a value of the wrong type, or frames that are no tree.
        """
        values = self.values(given)
        return replace(
            self,
            nodes=tuple(_resolved_node(node, values) for node in self.nodes if _starts(node, values)),
            tools=tuple(_resolved_tool(tool, values) for tool in self.tools if _starts(tool, values)),
            static_transforms=_tree(
                tuple(_resolved_transform(t, values) for t in self.static_transforms if _starts(t, values))
            ),
        )


def parse_bool(name: str, value: str) -> bool:
    """True or False from the texts that ROS launch takes.

    Raises:
        SettingsError: any other text.
    """
    if value.lower() not in ("true", "1", "false", "0"):
        raise SettingsError(f"argument '{name}': expected true or false, got '{value}'")
    return value.lower() in ("true", "1")


def _starts(part: NodeProcess | ToolProcess | StaticTransform, values: Mapping[str, str]) -> bool:
    return all(condition.holds(values) for condition in part.when)


def _resolved(value: Any, values: Mapping[str, str]) -> Any:
    """A plain value; for an argument left empty what stands in for it, usually None."""
    if not isinstance(value, Given):
        return value
    text = values[value.argument]
    if text == "":
        return _resolved(value.otherwise, values)
    try:
        return parse_bool(value.argument, text) if value.type is bool else value.type(text)
    except ValueError as error:
        raise SettingsError(f"argument '{value.argument}': expected {value.type.__name__}, got '{text}'") from error


def _resolved_node(node: NodeProcess, values: Mapping[str, str]) -> NodeProcess:
    parameters = {name: _resolved_parameter(node, name, value, values) for name, value in node.parameters.items()}
    remappings = ((source, _resolved(target, values)) for source, target in node.remappings)
    return replace(
        node,
        parameters={name: value for name, value in parameters.items() if value is not None},
        remappings=tuple((source, target) for source, target in remappings if target not in (None, source)),
        arguments=tuple(_resolved(argument, values) for argument in node.arguments),
        when=(),
        ends_graph=_ends_graph(node, values),
    )


def _resolved_parameter(node: NodeProcess, name: str, value: Any, values: Mapping[str, str]) -> Any:
    if not isinstance(value, Implied):
        return _resolved(value, values)
    if not any(condition.holds(values) for condition in value.any_of):
        return None
    chosen = parameter_in_file(values["params_file"], _full_name(node.name, values), name)
    return _resolved(value.value, values) if chosen in (None, value.over) else None


def _text_in_file(where: InFile, values: Mapping[str, str]) -> str:
    """What the parameter file says there as text; empty where it is silent or there is none."""
    if "params_file" not in values:
        return ""
    chosen = parameter_in_file(values["params_file"], _full_name(where.node, values), where.parameter)
    return "" if chosen in (None, where.unless) else str(chosen)


def _full_name(node: str, values: Mapping[str, str]) -> str:
    return f"/{values['namespace'].strip('/')}/{node}".replace("//", "/")


def _resolved_transform(transform: StaticTransform, values: Mapping[str, str]) -> StaticTransform:
    return replace(
        transform,
        parent=_resolved(transform.parent, values),
        child=_resolved(transform.child, values),
        xyz=tuple(_resolved(v, values) for v in transform.xyz),
        rpy=tuple(_resolved(v, values) for v in transform.rpy),
        when=(),
    )


def _tree(transforms: tuple[StaticTransform, ...]) -> tuple[StaticTransform, ...]:
    """The same, once it is sure that each frame has one place: a name that the user gives may be one of ours."""
    placed = {transform.parent for transform in transforms[:1]}
    for transform in transforms:
        if transform.child in placed:
            raise SettingsError(
                f"the static transforms have a frame '{transform.child}' already; expected another name for the frame "
                "of the images: rename it in the camera's driver, or set static_transforms:=false and publish your own"
            )
        placed.add(transform.child)
    return transforms


def _resolved_tool(tool: ToolProcess, values: Mapping[str, str]) -> ToolProcess:
    flags = tuple(flag for condition, flag in tool.options if condition.holds(values))
    command = tuple(_resolved(part, values) for part in tool.command) + flags
    return replace(tool, command=command, options=(), when=(), ends_graph=_ends_graph(tool, values))


def _ends_graph(process: NodeProcess | ToolProcess, values: Mapping[str, str]) -> bool:
    ends = process.ends_graph
    return ends.holds(values) if isinstance(ends, When) else ends
