"""From a graph description to launch actions: what the files in ``launch/`` share."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from functools import cache, partial

import launch.logging
from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    OpaqueFunction,
    PopEnvironment,
    PushEnvironment,
    SetEnvironmentVariable,
)
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode, Node
from launch_ros.parameter_descriptions import ParameterValue

from diffmocap.graph.elements import PACKAGE, URDF, Graph, NodeProcess, StaticTransform, ToolProcess
from diffmocap.graph.robot_description import robot_description
from diffmocap.graph.rviz_config import RvizConfig
from diffmocap.middleware.network import network
from diffmocap.nodes.launch.checks import check_arguments, check_files, installed
from diffmocap.nodes.launch.supervision import Part, Supervision
from launch import Action, LaunchContext, LaunchDescription


def launch_description(graph: Graph) -> LaunchDescription:
    """Declares the graph's arguments and starts what they ask for.

    The nodes are made by a function because their parameters depend on the arguments' values: an
    argument left empty must not override the parameter file.
    """
    declared = [
        DeclareLaunchArgument(
            argument.name,
            default_value=argument.default,
            description=argument.description,
            choices=list(argument.choices) or None,
        )
        for argument in graph.arguments
    ]
    return LaunchDescription([*declared, OpaqueFunction(function=_start, args=[graph])])


def _start(context: LaunchContext, graph: Graph) -> list:
    warn = launch.logging.get_logger("diffmocap").warning
    check_arguments(graph, context)
    given = {argument.name: LaunchConfiguration(argument.name).perform(context) for argument in graph.arguments}
    values = graph.values(given)
    resolved = installed(graph.resolve(given), warn)
    namespaces = (context.launch_configurations.get("ros_namespace", ""), values["namespace"])
    check_files(resolved, values, "/" + "/".join(name.strip("/") for name in namespaces if name.strip("/")), warn)

    chosen = network(values["network"], context.environment)
    for remark in chosen.remarks:
        warn(remark)

    respawn = values.get("respawn") == "true"
    supervision = Supervision()
    processes = []
    for transform in resolved.static_transforms:
        make = partial(_static_transform_publisher, transform, values, _prefix(context, "static_transform_publisher"))
        processes.append(supervision.add(Part(transform.publisher_name, respawn=respawn), make))
    for node in resolved.nodes:
        part = Part(
            node.name,
            ends_graph=bool(node.ends_graph),
            may_end=node.may_end,
            may_wait=node.may_wait,
            respawn=respawn and not node.ends_graph and not node.may_end,
        )
        prefix = _prefix(context, node.executable, holds_signals=node.package == PACKAGE)
        processes.append(supervision.add(part, partial(_node, node, values, prefix)))
    tools = []
    for tool in resolved.tools:
        part = Part(" ".join(tool.command[:4]), ends_graph=bool(tool.ends_graph), may_finish=True)
        tools.append(supervision.add(part, partial(_tool, tool, _prefix(context, tool.command[0]))))
    handlers = supervision.handlers(_with_variables(chosen.variables, tools))
    return [*handlers, *_with_variables(chosen.variables, processes), OpaqueFunction(function=supervision.watch)]


def _with_variables(variables: Mapping[str, str], actions: Sequence[Action]) -> list[Action]:
    """The actions under these environment variables, and nothing else of a launch file that includes this one.

    Also launch's own ROS node, which the first lifecycle node makes.
    """
    setting = [SetEnvironmentVariable(name, value) for name, value in variables.items()]
    return [PushEnvironment(), *setting, *actions, PopEnvironment()] if setting and actions else list(actions)


def _node(node: NodeProcess, values: dict[str, str], prefix: str | None, **watched) -> Node:
    # Without ParameterValue the text "0" would arrive as a number.
    parameters = {
        name: ParameterValue(robot_description() if value is URDF else value, value_type=str)
        if isinstance(value, str) or value is URDF
        else value
        for name, value in node.parameters.items()
    }
    kind = LifecycleNode if node.lifecycle else Node
    return kind(
        package=node.package,
        executable=node.executable,
        exec_name=node.executable,
        prefix=prefix,
        name=node.name,
        namespace=values["namespace"],
        parameters=([values["params_file"]] if node.reads_params_file else []) + ([parameters] if parameters else []),
        remappings=list(node.remappings),
        arguments=[str(a.write()) if isinstance(a, RvizConfig) else a for a in node.arguments],
        ros_arguments=["--log-level", values["log_level"]],
        output="screen",
        **watched,
    )


def _tool(tool: ToolProcess, prefix: str | None, **watched) -> ExecuteProcess:
    return ExecuteProcess(cmd=list(tool.command), name=tool.command[0], prefix=prefix, output="screen", **watched)


def _static_transform_publisher(
    transform: StaticTransform, values: dict[str, str], prefix: str | None, **watched
) -> Node:
    options = zip(("--x", "--y", "--z", "--roll", "--pitch", "--yaw"), (*transform.xyz, *transform.rpy))
    return Node(
        package="tf2_ros",
        executable="static_transform_publisher",
        exec_name="static_transform_publisher",
        prefix=prefix,
        name=transform.publisher_name,
        namespace=values["namespace"],
        arguments=[
            *(text for option, value in options for text in (option, str(value))),
            "--frame-id",
            transform.parent,
            "--child-frame-id",
            transform.child,
        ],
        ros_arguments=["--log-level", values["log_level"]],
        **watched,
    )


def _prefix(context: LaunchContext, executable: str, holds_signals: bool = False) -> str | None:
    """What an executable is started through; None leaves that to the user's ``--launch-prefix``.

    A umask of 077, since what is seen through a camera concerns its user alone. A process that ``holds_signals`` gets
    them once it can take them: Python meets an earlier SIGINT with a traceback. The node unblocks them. And the kernel
    ends what launch leaves behind: one that is interrupted while it starts processes never signals some of them.
    """
    prefix = context.launch_configurations.get("launch-prefix")
    if prefix and re.match(context.launch_configurations.get("launch-prefix-filter", ""), executable):
        return None
    bound = "setpriv --pdeathsig TERM " if _works("setpriv", "--pdeathsig", "TERM", "true") else ""
    held = "env --block-signal=INT,TERM " if holds_signals and _works("env", "--block-signal=INT,TERM", "true") else ""
    # Where launch has ended before setpriv began, another process is the parent by now.
    return f"""{bound}{held}sh -c '[ "$PPID" = {os.getpid()} ] || exit 143; umask 077 && exec "$@"' sh"""


@cache
def _works(*command: str) -> bool:
    """Whether this machine has a program that knows these options: coreutils since 8.31, util-linux since 2.33."""
    try:
        return subprocess.run(command, capture_output=True).returncode == 0
    except OSError:
        return False
