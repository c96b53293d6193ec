"""The launch files, executed against stand-ins for launch: what they start, and what they refuse to start."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

pytest.importorskip("lifecycle_msgs", reason="needs ROS 2: run `make test`, or source a ROS 2 install")

from diffmocap.errors import SettingsError, SetupError  # noqa: E402
from diffmocap.graph import description  # noqa: E402
from diffmocap.graph.elements import URDF, Graph  # noqa: E402
from diffmocap.graph.rviz_config import RvizConfig  # noqa: E402
from diffmocap.middleware.network import network  # noqa: E402
from tests import launch_stand_in as stand_in  # noqa: E402

LAUNCH_FOLDER = Path(__file__).resolve().parents[1] / "launch"
GRAPHS = {"webcam": description.webcam, "replay": description.replay, "view": description.view}

CASES = [
    ("webcam", {}),
    ("webcam", {"source": "0", "device": "cuda", "namespace": "robot", "rviz": "false", "camera_pitch": "0.25"}),
    ("webcam", {"camera": "false", "image_topic": "/usb_cam/image_raw", "log_level": "debug"}),
    ("webcam", {"camera": "false", "image_topic": "/usb_cam/image_raw/compressed", "camera_frame": "usb-cam"}),
    ("webcam", {"namespace": "alice", "frame_prefix": "alice/", "publish_link_tf": "true", "camera_frame": "eye"}),
    ("replay", {"video": "squats.mp4", "on_end": "exit"}),
    ("replay", {"bag": str(LAUNCH_FOLDER), "on_end": "loop"}),  # any folder that exists
    ("view", {}),
    ("view", {"joint_sliders": "true"}),
    ("view", {"joint_sliders": "true", "namespace": "", "frame_prefix": "alice/"}),
    ("view", {"static_transforms": "true", "camera_height": "1.6", "camera_roll": "-1.5"}),
    ("view", {"joint_sliders": "true", "robot_state_publisher": "false"}),
]


#: What stands against a network, or for a profile, in the environment of the tests themselves.
CHOSEN_BY_THE_USER = (
    "FASTDDS_BUILTIN_TRANSPORTS", "FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE",
    "RMW_IMPLEMENTATION", "ROS_AUTOMATIC_DISCOVERY_RANGE", "ROS_DISCOVERY_SERVER", "ROS_LOCALHOST_ONLY",
    "ROS_STATIC_PEERS",
)  # fmt: skip
PACKAGES = {
    "diffmocap": "camera_node",
    "robot_state_publisher": "robot_state_publisher",
    "rviz2": "rviz2",
    "joint_state_publisher_gui": "joint_state_publisher_gui",
    "tf2_ros": "static_transform_publisher",
    "ros2bag": "-",
}


@pytest.fixture(autouse=True)
def launch(monkeypatch, tmp_path):
    """Returns what installs these packages and no others."""
    stand_in.install(monkeypatch)

    def install(packages: dict[str, str], folder: Path) -> None:
        prefix = stand_in.install_packages(folder, packages)
        if "diffmocap" in packages:
            for name in ("keypoint_node", "pose_node"):
                (prefix / "lib" / "diffmocap" / name).touch()
        monkeypatch.setenv("AMENT_PREFIX_PATH", str(prefix))

    install(PACKAGES, tmp_path / "all")
    return install


def described(name: str):
    spec = importlib.util.spec_from_file_location(f"{name}_launch", LAUNCH_FOLDER / f"{name}.launch.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.generate_launch_description()


def started(name: str, given: dict[str, str], configurations: dict[str, str] | None = None) -> list:
    """The entities that the launch file comes to with these arguments; without what looks after the processes."""
    context, entities = stand_in.LaunchContext(argv=[f"{key}:={value}" for key, value in given.items()]), []
    context.launch_configurations.update(configurations or {})
    for entity in described(name).entities:
        if isinstance(entity, stand_in.DeclareLaunchArgument):
            context.launch_configurations[entity.name] = given.get(entity.name, entity.default_value)
        else:
            entities += entity.execute(context)
    assert isinstance(entities[-1], stand_in.OpaqueFunction), "it follows the processes"
    return entities[:-1]


def handler(entities: list, event_type: str):
    """The handler of one of the graph's own events."""
    from diffmocap.nodes.launch import supervision as launch_supervision

    event = getattr(launch_supervision, event_type)
    handlers = [r.event_handler for r in of_type(entities, stand_in.RegisterEventHandler)]
    example = event.__new__(event)
    (found,) = [h for h in handlers if type(h) is stand_in.EventHandler and h.matcher(example)]
    return found


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


def test_what_launch_leaves_behind_ends():
    """Also a process that begins when launch has ended already."""
    nodes = [entity for entity in started("webcam", {}) if isinstance(entity, stand_in.Node)]
    prefix = next(node.final_prefix for node in nodes if node.package != "diffmocap")
    begun_late = subprocess.run([sys.executable, "-c", "import subprocess, sys; subprocess.run(sys.argv[1:])", *prefix,
                                 "echo", "begun"], capture_output=True, text=True)  # fmt: skip
    assert begun_late.stdout == "" and subprocess.run([*prefix, "echo", "begun"], capture_output=True).stdout

    parent = (
        "import os, subprocess, sys; prefix = [p.replace(sys.argv[1], str(os.getpid())) for p in sys.argv[2:]];"
        "child = subprocess.Popen([*prefix, 'sleep', '60'], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL);"
        "print(child.pid, flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", parent, str(os.getpid()), *prefix]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as launch:
        child = psutil.Process(int(launch.stdout.readline()))
        deadline = time.monotonic() + 20.0
        while "sleep" not in child.cmdline()[:1] and time.monotonic() < deadline:
            time.sleep(0.01)
        launch.kill()
    gone, alive = psutil.wait_procs([child], timeout=10.0)
    assert not alive


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
        assert tuple(node.remappings) == wanted.remappings
        for text, argument in zip(node.arguments, wanted.arguments, strict=True):
            is_file = isinstance(argument, RvizConfig)
            assert (Path(text).read_text() == argument.text()) if is_file else text == argument
        assert callable(node.on_exit) and not node.respawn
        assert node.exec_name == node.executable, "the prefix must not name the process"
        assert node.final_prefix[-4:-2] == ["sh", "-c"] and node.final_prefix[-2].endswith('; umask 077 && exec "$@"')
        assert ("env" in node.final_prefix) == (node.package == "diffmocap"), "signals wait for our nodes alone"
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
    assert not of_type(entities, stand_in.ExecuteProcess), "tools wait until the nodes are active"
    tools = handler(entities, "GraphActive")
    assert tools.handle_once
    started_later = of_type(tools.entities, stand_in.ExecuteProcess)
    assert [tuple(process.cmd) for process in started_later] == [tool.command for tool in resolved.tools]
    for transform in resolved.static_transforms:
        arguments = nodes[transform.publisher_name].arguments
        options = dict(zip(arguments[::2], arguments[1::2], strict=True))
        assert (options.pop("--frame-id"), options.pop("--child-frame-id")) == (transform.parent, transform.child)
        assert [float(v) for v in options.values()] == [*transform.xyz, *transform.rpy]
        assert list(options) == ["--x", "--y", "--z", "--roll", "--pitch", "--yaw"]


def variables_of(entities: list) -> list[tuple[stand_in.ExecuteProcess, dict[str, str]]]:
    """Each process with the environment variables that hold where launch comes to it."""
    found, stack = [], [{}]
    for entity in entities:
        if isinstance(entity, stand_in.PushEnvironment):
            stack.append(dict(stack[-1]))
        elif isinstance(entity, stand_in.PopEnvironment):
            stack.pop()
        elif isinstance(entity, stand_in.SetEnvironmentVariable):
            stack[-1][entity.name] = entity.value
        elif isinstance(entity, stand_in.ExecuteProcess):
            found.append((entity, dict(stack[-1])))
    assert stack == [{}], "a launch file that includes this one keeps its environment"
    return found


@pytest.mark.parametrize("choice, reach", [("local", "LOCALHOST"), ("lan", "SUBNET")])
@pytest.mark.parametrize("name, given", [("webcam", {}), ("replay", {"bag": "."}), ("view", {"joint_sliders": "true"})])
def test_every_process_gets_the_network_and_a_profile_of_fast_dds(monkeypatch, name, given, choice, reach):
    for variable in CHOSEN_BY_THE_USER:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("ROS_DISTRO", "kilted")
    entities = started(name, given | {"network": choice})
    processes = variables_of(entities) + variables_of(handler(entities, "GraphActive").entities)
    assert len(processes) >= 4
    for process, variables in processes:
        assert variables == network(choice, {}).variables, process
        assert variables["ROS_AUTOMATIC_DISCOVERY_RANGE"] == reach
        assert Path(variables["FASTDDS_DEFAULT_PROFILES_FILE"]).is_file()


def test_no_variable_is_set_for_another_middleware_and_that_is_told(monkeypatch, caplog):
    monkeypatch.setenv("RMW_IMPLEMENTATION", "rmw_cyclonedds_cpp")
    assert all(not variables for _, variables in variables_of(started("webcam", {})))
    assert "rmw_cyclonedds_cpp" in caplog.text


def test_what_the_environment_says_against_the_argument_is_told(monkeypatch, caplog):
    for variable in CHOSEN_BY_THE_USER:
        monkeypatch.delenv(variable, raising=False)
    started("webcam", {})
    assert not caplog.text
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "SUBNET")
    for _, variables in variables_of(started("webcam", {})):
        assert "ROS_AUTOMATIC_DISCOVERY_RANGE" not in variables
    assert "ROS_AUTOMATIC_DISCOVERY_RANGE=SUBNET is set and is kept" in caplog.text


def test_what_died_is_started_again_where_that_is_wanted():
    entities = started("webcam", {"respawn": "True"})
    respawned = {n.name: n.respawn for n in entities if isinstance(n, stand_in.Node)}
    assert respawned.pop("rviz2") is False, "the user may close it"
    assert all(respawned.values()) and len(respawned) == 6
    entities = started("replay", {"respawn": "true", "video": "v.mp4", "on_end": "exit"})
    respawned = {n.name: n.respawn for n in entities if isinstance(n, stand_in.Node)}
    assert respawned["pose_node"] and not respawned["camera_node"], "it would play the video again"


def test_a_prefix_of_the_user_stands():
    configurations = {"launch-prefix": "gdb --args", "launch-prefix-filter": "pose.*"}
    nodes = {n.name: n for n in started("webcam", {}, configurations) if isinstance(n, stand_in.Node)}
    assert nodes["pose_node"].prefix is None and nodes["keypoint_node"].prefix is not None
    nodes = [n for n in started("webcam", {}, {"launch-prefix": "gdb --args"}) if isinstance(n, stand_in.Node)]
    assert all(node.prefix is None for node in nodes)


def test_all_missing_packages_are_named_before_anything_starts(launch, tmp_path, monkeypatch):
    monkeypatch.setenv("ROS_DISTRO", "jazzy")
    kept = {name: PACKAGES[name] for name in ("diffmocap", "rviz2", "tf2_ros")}
    launch(kept, tmp_path / "few")
    with pytest.raises(SetupError) as error:
        started("replay", {"bag": str(tmp_path)})
    assert "sudo apt install ros-jazzy-robot-state-publisher ros-jazzy-ros2bag" in str(error.value)
    started("replay", {"video": "v.mp4", "robot_state_publisher": "false"})
    launch({"tf2_ros": "static_transform_publisher"}, tmp_path / "no_diffmocap")
    with pytest.raises(SetupError, match="build ros_ws with colcon"):
        started("webcam", {})


def test_a_package_without_its_executable_is_named(launch, tmp_path):
    launch(PACKAGES | {"robot_state_publisher": "something_else"}, tmp_path / "broken")
    with pytest.raises(SetupError, match="lib/robot_state_publisher/robot_state_publisher"):
        started("webcam", {})


def test_rviz_is_left_out_with_a_warning_where_it_is_not_installed(launch, tmp_path, caplog):
    launch({name: program for name, program in PACKAGES.items() if name != "rviz2"}, tmp_path / "no_rviz")
    names = {n.name for n in started("webcam", {}) if isinstance(n, stand_in.Node)}
    assert "rviz2" not in names and "pose_node" in names
    assert "rviz2 is not installed and is left out" in caplog.text
    caplog.clear()
    started("webcam", {"rviz": "false"})
    assert not caplog.text


@pytest.mark.parametrize(
    "name, given, reason",
    [
        ("webcam", {"params_file": "/nowhere.yaml"}, "there is no file '/nowhere.yaml'"),
        ("replay", {"bag": "/nowhere"}, "bag: there is no file or folder"),
        ("replay", {}, "give one of the arguments"),
    ],
)
def test_what_is_not_there_is_named_before_anything_starts(name, given, reason):
    with pytest.raises(SettingsError, match=reason):
        started(name, given)


def test_unknown_arguments_are_refused_on_the_command_line_of_the_file_itself(monkeypatch):
    monkeypatch.setattr("sys.argv", ["/opt/ros/jazzy/bin/ros2", "launch", "diffmocap", "webcam.launch.py"])
    with pytest.raises(SettingsError, match="unknown argument 'sorce'; did you mean 'source'"):
        started("webcam", {"sorce": "0"})
    started("webcam", {"source": "0", "sigterm_timeout": "3"})
    monkeypatch.setattr("sys.argv", ["/opt/ros/jazzy/bin/ros2", "launch", "my_robot", "robot.launch.py"])
    started("webcam", {"robot": "r2"})


class Lives:
    """The processes of a launch, whose ends are told as launch tells them."""

    def __init__(self, name: str, given: dict[str, str]) -> None:
        self.entities = started(name, given)
        self.context = stand_in.LaunchContext()
        self.nodes = {node.name: node for node in self.entities if isinstance(node, stand_in.Node)}
        self.tools = of_type(handler(self.entities, "GraphActive").entities, stand_in.ExecuteProcess)

    def end(self, process, code: int) -> list | None:
        handlers = [r.event_handler for r in of_type(self.entities, stand_in.RegisterEventHandler)]
        (starts,) = [h for h in handlers if type(h) is stand_in.OnProcessStart]
        assert starts.target_action(process)
        starts.on_start(stand_in.ProcessStarted(action=process, pid=1), self.context)
        return process.on_exit(stand_in.ProcessExited(action=process, pid=1, returncode=code), self.context)

    def failure(self, process, code: int) -> str:
        """What the graph fails with when the process ends; empty where it goes on."""
        answer = self.end(process, code)
        if not answer or isinstance(answer[0], stand_in.Shutdown):
            return ""
        event = answer[0].event
        failed = handler(self.entities, "GraphFailed")
        assert failed.matcher(event)
        self.context.locals.event = event
        with pytest.raises(Exception) as error:  # launch returns 1 after an exception alone
            failed.entities.execute(self.context)
        return str(error.value)


def test_the_death_of_a_node_fails_the_graph():
    lives = Lives("webcam", {})
    assert lives.failure(lives.nodes["pose_node"], 1).startswith("pose_node has ended with exit code 1 before it was")
    assert "keypoint_node was killed by SIGKILL" in lives.failure(lives.nodes["keypoint_node"], -9)
    assert lives.failure(lives.nodes["robot_state_publisher"], 0) == "robot_state_publisher has ended with exit code 0"
    assert "transform_to_camera_link" in lives.failure(lives.nodes["transform_to_camera_link"], -11)
    assert not lives.failure(lives.nodes["rviz2"], 0) and not lives.failure(lives.nodes["rviz2"], -11)
    lives.context.is_shutdown = True
    assert lives.end(lives.nodes["pose_node"], -9) is None, "it is being shut down"


@pytest.mark.parametrize("respawn", ["false", "true"])
def test_the_graph_goes_on_without_its_viewer(respawn):
    pytest.importorskip("viser", reason="the viewer needs viser")
    Path(os.environ["AMENT_PREFIX_PATH"], "lib", "diffmocap", "viewer_node").touch()
    lives = Lives("webcam", {"view": "true", "rviz": "false", "respawn": respawn})
    viewer = lives.nodes["viewer_node"]
    assert [lives.failure(viewer, code) for code in (0, 1, -9, -15)] == [""] * 4
    assert "keypoint_node" in lives.failure(lives.nodes["keypoint_node"], 1)


def test_the_end_of_a_source_shuts_the_launch_down_where_that_is_wanted(tmp_path):
    lives = Lives("replay", {"video": "v", "on_end": "exit"})
    (shutdown,) = lives.end(lives.nodes["camera_node"], 0)
    assert isinstance(shutdown, stand_in.Shutdown)
    assert "camera_node" in lives.failure(lives.nodes["camera_node"], 1)
    lives = Lives("replay", {"video": "v", "on_end": "stop"})
    assert "camera_node" in lives.failure(lives.nodes["camera_node"], 0), "it ends by itself with on_end exit alone"
    for on_end in ("exit", "stop"):
        lives = Lives("replay", {"bag": str(tmp_path), "on_end": on_end})
        assert bool(lives.end(lives.tools[0], 0)) == (on_end == "exit")
        assert "ros2 bag play" in lives.failure(lives.tools[0], 1), "it could not be played"


def test_a_process_that_never_comes_up_is_not_started_for_ever():
    lives = Lives("webcam", {"respawn": "true"})
    assert "pose_node" in lives.failure(lives.nodes["pose_node"], 1), "it was never active"
    publisher = lives.nodes["robot_state_publisher"]
    assert [bool(lives.failure(publisher, 1)) for _ in range(4)] == [False, False, False, True]
