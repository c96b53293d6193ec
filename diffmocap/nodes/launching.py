"""From a graph description to launch actions: what the files in ``launch/`` share."""

from __future__ import annotations

from collections.abc import Sequence

from launch import LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    ExecuteProcess,
    LogInfo,
    OpaqueFunction,
    RegisterEventHandler,
    Shutdown,
)
from launch.events import matches_action
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode, Node
from launch_ros.event_handlers import OnStateTransition
from launch_ros.events.lifecycle import ChangeState
from launch_ros.parameter_descriptions import ParameterValue
from lifecycle_msgs.msg import Transition

from diffmocap.graph.elements import URDF, Graph, NodeProcess, StaticTransform, ToolProcess
from diffmocap.graph.robot_description import robot_description


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
    given = {argument.name: LaunchConfiguration(argument.name).perform(context) for argument in graph.arguments}
    values = graph.values(given)
    resolved = graph.resolve(given)
    processes = [(node, _node(node, values)) for node in resolved.nodes]
    namespace = values["namespace"].strip("/")
    managed = [
        (f"/{namespace}/{node.name}" if namespace else f"/{node.name}", action)
        for node, action in processes
        if node.lifecycle
    ]
    return [
        *_bring_up(managed),
        *[_static_transform_publisher(transform, values) for transform in resolved.static_transforms],
        *[action for _, action in processes],
        *[_tool(tool) for tool in resolved.tools],
        *[_request(action, Transition.TRANSITION_CONFIGURE) for _, action in managed[:1]],
    ]


def _node(node: NodeProcess, values: dict[str, str]) -> Node:
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
        name=node.name,
        namespace=values["namespace"],
        parameters=([values["params_file"]] if node.reads_params_file else []) + ([parameters] if parameters else []),
        remappings=list(node.remappings),
        arguments=list(node.arguments),
        ros_arguments=["--log-level", values["log_level"]],
        output="screen",
        on_exit=[Shutdown(reason=f"{node.name} has ended")] if node.ends_graph else None,
    )


def _bring_up(managed: Sequence[tuple[str, LifecycleNode]]) -> list[RegisterEventHandler]:
    """Handlers that take (full name, node) to active one after the other, once the first is asked to configure.

    They follow state transitions, so that after a failure the user can configure the node by hand and
    the rest goes on from there.
    """
    handlers = []
    for i, (name, node) in enumerate(managed):
        handlers += [
            _once(node, "configuring", "inactive", [_request(node, Transition.TRANSITION_ACTIVATE)]),
            RegisterEventHandler(
                OnStateTransition(
                    target_lifecycle_node=node,
                    start_state="configuring",
                    goal_state="unconfigured",
                    entities=[
                        LogInfo(
                            msg=f"{name} could not be configured, its error stands above. Set that right and run "
                            f"`ros2 lifecycle set {name} configure`; the launch goes on from there."
                        )
                    ],
                )
            ),
        ]
        for _, following in managed[i + 1 : i + 2]:
            request = _request(following, Transition.TRANSITION_CONFIGURE)
            handlers.append(_once(node, "activating", "active", [request]))
    return handlers


def _once(node: LifecycleNode, start_state: str, goal_state: str, actions: list) -> RegisterEventHandler:
    return RegisterEventHandler(
        OnStateTransition(
            target_lifecycle_node=node,
            start_state=start_state,
            goal_state=goal_state,
            entities=actions,
            handle_once=True,
        )
    )


def _request(node: LifecycleNode, transition: int) -> EmitEvent:
    return EmitEvent(event=ChangeState(lifecycle_node_matcher=matches_action(node), transition_id=transition))


def _tool(tool: ToolProcess) -> ExecuteProcess:
    return ExecuteProcess(
        cmd=list(tool.command),
        output="screen",
        on_exit=[Shutdown(reason=f"{' '.join(tool.command[:3])} has ended")] if tool.ends_graph else None,
    )


def _static_transform_publisher(transform: StaticTransform, values: dict[str, str]) -> Node:
    options = zip(("--x", "--y", "--z", "--roll", "--pitch", "--yaw"), (*transform.xyz, *transform.rpy))
    return Node(
        package="tf2_ros",
        executable="static_transform_publisher",
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
    )
