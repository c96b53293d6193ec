"""The launch files, executed against stand-ins for launch: what they start, and how nodes are brought up."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

pytest.importorskip("lifecycle_msgs", reason="needs ROS 2: run `make test`, or source a ROS 2 install")

from lifecycle_msgs.msg import Transition  # noqa: E402

from diffmocap.graph import description  # noqa: E402
from diffmocap.graph.elements import URDF, Graph  # noqa: E402
from tests import launch_stand_in as stand_in  # noqa: E402

LAUNCH_FOLDER = Path(__file__).resolve().parents[1] / "launch"
GRAPHS = {"webcam": description.webcam, "replay": description.replay, "view": description.view}

CASES = [
    ("webcam", {}),
    ("webcam", {"source": "0", "device": "cuda", "namespace": "robot", "rviz": "false", "camera_pitch": "0.25"}),
    ("webcam", {"camera": "false", "image_topic": "/usb_cam/image_raw", "log_level": "debug"}),
    ("webcam", {"camera": "false", "image_topic": "/usb_cam/image_raw/compressed", "camera_frame": "usb-cam"}),
    ("replay", {"video": "squats.mp4", "on_end": "exit"}),
    ("replay", {"bag": "walk", "on_end": "loop"}),
    ("view", {}),
    ("view", {"joint_sliders": "true"}),
    ("view", {"static_transforms": "true", "camera_height": "1.6"}),
    ("view", {"joint_sliders": "true", "robot_state_publisher": "false"}),
]


@pytest.fixture(autouse=True)
def launch(monkeypatch):
    stand_in.install(monkeypatch)


def described(name: str):
    spec = importlib.util.spec_from_file_location(f"{name}_launch", LAUNCH_FOLDER / f"{name}.launch.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.generate_launch_description()


def started(name: str, given: dict[str, str]) -> list:
    """The entities that the launch file comes to with these arguments."""
    context, entities = stand_in.LaunchContext(), []
    for entity in described(name).entities:
        if isinstance(entity, stand_in.DeclareLaunchArgument):
            context.launch_configurations[entity.name] = given.get(entity.name, entity.default_value)
        else:
            entities += entity.execute(context)
    return entities


def of_type(entities: list, kind: type) -> list:
    return [entity for entity in entities if type(entity) is kind]


def test_every_graph_has_its_launch_file_and_the_other_way_round():
    assert {path.name.removesuffix(".launch.py") for path in LAUNCH_FOLDER.glob("*.launch.py")} == set(GRAPHS)


@pytest.mark.parametrize("name", GRAPHS)
def test_arguments_are_those_of_the_graph(name):
    declared = of_type(described(name).entities, stand_in.DeclareLaunchArgument)
    expected = GRAPHS[name]().arguments
    assert [(d.name, d.default_value, d.description) for d in declared] == [
        (a.name, a.default, a.description) for a in expected
    ]
    assert [d.choices for d in declared] == [list(a.choices) or None for a in expected]


@pytest.mark.parametrize("name, given", CASES)
def test_processes_are_those_of_the_graph(name, given):
    graph: Graph = GRAPHS[name]()
    values, resolved, entities = graph.values(given), graph.resolve(given), started(name, given)
    nodes = {n.name: n for n in entities if isinstance(n, stand_in.Node)}
    assert set(nodes) == {n.name for n in resolved.nodes} | {t.publisher_name for t in resolved.static_transforms}
    for wanted in resolved.nodes:
        node = nodes[wanted.name]
        assert isinstance(node, stand_in.LifecycleNode) == wanted.lifecycle
        assert (node.package, node.executable) == (wanted.package, wanted.executable)
        assert node.namespace == values["namespace"]
        assert node.ros_arguments == ["--log-level", values["log_level"]]
        assert tuple(node.remappings) == wanted.remappings and tuple(node.arguments) == wanted.arguments
        assert bool(node.on_exit) == bool(wanted.ends_graph)
        files = [rule for rule in node.parameters if isinstance(rule, str)]
        assert files == ([values["params_file"]] if wanted.reads_params_file else [])
        given_values = {k: v for rule in node.parameters if isinstance(rule, dict) for k, v in rule.items()}
        assert given_values.keys() == wanted.parameters.keys()
        for parameter, value in wanted.parameters.items():
            launched = given_values[parameter]
            if value is URDF:
                assert launched.value_type is str and launched.value.startswith("<?xml")
            elif isinstance(value, str):
                assert launched.value_type is str and launched.value == value, "the text 0 must stay a text"
            else:
                assert launched == value and type(launched) is type(value)
    assert [tuple(p.cmd) for p in of_type(entities, stand_in.ExecuteProcess)] == [t.command for t in resolved.tools]
    for transform in resolved.static_transforms:
        arguments = nodes[transform.publisher_name].arguments
        options = dict(zip(arguments[::2], arguments[1::2], strict=True))
        assert (options.pop("--frame-id"), options.pop("--child-frame-id")) == (transform.parent, transform.child)
        assert [float(v) for v in options.values()] == [*transform.xyz, *transform.rpy]
        assert list(options) == ["--x", "--y", "--z", "--roll", "--pitch", "--yaw"]


class LifecycleSimulation:
    """Carries out requested transitions, and runs the handlers that fit, as launch does."""

    def __init__(self, entities: list, failing: tuple[str, ...] = ()) -> None:
        self.nodes = of_type(entities, stand_in.LifecycleNode)
        self.handlers = [r.event_handler for r in of_type(entities, stand_in.RegisterEventHandler)]
        self.failing, self.log, self.messages = failing, [], []
        for entity in of_type(entities, stand_in.EmitEvent):
            self.request(entity.event)

    def request(self, event) -> None:
        (node,) = [n for n in self.nodes if event.lifecycle_node_matcher(n)]
        start, goal = {
            Transition.TRANSITION_CONFIGURE: ("configuring", "inactive"),
            Transition.TRANSITION_ACTIVATE: ("activating", "active"),
        }[event.transition_id]
        self.happen(node, start, "unconfigured" if node.name in self.failing and start == "configuring" else goal)

    def happen(self, node, start_state: str, goal_state: str) -> None:
        self.log.append((node.name, goal_state))
        for handler in list(self.handlers):
            if (handler.target_lifecycle_node, handler.start_state, handler.goal_state) == (
                node, start_state, goal_state,
            ):  # fmt: skip
                if handler.handle_once:
                    self.handlers.remove(handler)
                for entity in handler.entities:
                    if isinstance(entity, stand_in.EmitEvent):
                        self.request(entity.event)
                    else:
                        self.messages.append(entity.msg)


def test_nodes_become_active_one_after_the_other_consumers_first():
    simulation = LifecycleSimulation(started("webcam", {}))
    order = ["pose_node", "keypoint_node", "camera_node"]
    assert simulation.log == [(name, state) for name in order for state in ("inactive", "active")]
    assert not simulation.messages


def test_after_a_failure_the_user_configures_by_hand_and_the_rest_follows():
    simulation = LifecycleSimulation(started("webcam", {"namespace": "robot"}), failing=("pose_node",))
    assert simulation.log == [("pose_node", "unconfigured")]
    assert "`ros2 lifecycle set /robot/pose_node configure`" in simulation.messages[0]
    simulation.failing = ()
    pose_node = next(n for n in simulation.nodes if n.name == "pose_node")
    simulation.happen(pose_node, "configuring", "inactive")
    assert simulation.log[-1] == ("camera_node", "active")


def test_a_node_that_is_cycled_later_does_not_start_the_others_again():
    simulation = LifecycleSimulation(started("webcam", {}))
    before = len(simulation.log)
    pose_node = next(n for n in simulation.nodes if n.name == "pose_node")
    for start, goal in (("deactivating", "inactive"), ("activating", "active")):
        simulation.happen(pose_node, start, goal)
    assert len(simulation.log) == before + 2


def test_the_end_of_a_video_shuts_the_launch_down_where_that_is_wanted():
    for on_end, ends in (("exit", True), ("stop", False)):
        entities = started("replay", {"video": "v", "on_end": on_end})
        nodes = {node.name: node for node in of_type(entities, stand_in.LifecycleNode)}
        assert bool(nodes["camera_node"].on_exit) == ends
