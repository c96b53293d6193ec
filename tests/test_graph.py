"""The graph's description by itself: arguments, frames, files and names that it refers to."""

from __future__ import annotations

import ast
import importlib
import json
import math
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
import roma
import torch
import yaml

from diffmocap.body.joint_angles import JOINT_ANGLE_NAMES
from diffmocap.errors import SettingsError
from diffmocap.graph import description
from diffmocap.graph.elements import PACKAGE, URDF, Argument, Given, Graph, NodeProcess, StaticTransform, When
from diffmocap.graph.robot_description import robot_description
from diffmocap.graph.rviz_config import RvizConfig
from diffmocap.nodes import start
from diffmocap.nodes.start import NODES
from diffmocap.resources import share_path

GRAPHS = {"webcam": description.webcam, "replay": description.replay, "view": description.view}
COMPLETE = {"webcam": {}, "replay": {"video": "v.mp4"}, "view": {}}


@pytest.fixture(params=GRAPHS)
def graph(request) -> Graph:
    return GRAPHS[request.param]()


def by_name(graph: Graph) -> dict[str, NodeProcess]:
    return {node.name: node for node in graph.nodes}


def matrix(transform: StaticTransform) -> np.ndarray:
    """T_parent_child [4, 4]."""
    made = np.eye(4)
    made[:3, :3] = roma.unitquat_to_rotmat(torch.tensor(transform.quaternion(), dtype=torch.float64)).numpy()
    made[:3, 3] = transform.xyz
    return made


def test_every_argument_is_described_used_and_has_a_default_that_it_accepts(graph):
    assert all(argument.description.endswith(".") for argument in graph.arguments)
    names = [argument.name for argument in graph.arguments]
    assert len(names) == len(set(names))
    resolved = graph.resolve(COMPLETE[graph.name])
    assert resolved.nodes and not any(node.when for node in resolved.nodes)
    everything = repr((graph.nodes, graph.tools, graph.static_transforms))
    used_by_all_nodes = {"namespace", "log_level", "network", "params_file", "respawn"}
    assert graph.values(COMPLETE[graph.name])["namespace"] == "human", "a robot's own topics have none"
    for name in names:
        assert name in used_by_all_nodes or f"argument='{name}'" in everything, f"nothing depends on {name}"


def test_no_plain_value_is_left_open(graph):
    for node in graph.resolve(COMPLETE[graph.name]).nodes:
        values = [*node.parameters.values(), *node.arguments, *(target for _, target in node.remappings)]
        assert all(value is URDF or isinstance(value, (str, int, float, bool)) for value in values), node
    for transform in graph.resolve(COMPLETE[graph.name]).static_transforms:
        assert isinstance(transform.parent, str) and isinstance(transform.child, str)


def test_empty_arguments_leave_the_parameter_file_alone():
    nodes = by_name(description.webcam().resolve())
    assert "device" not in nodes["pose_node"].parameters
    assert "source" not in nodes["camera_node"].parameters
    nodes = by_name(description.webcam().resolve({"device": "cuda:1", "source": "0", "image_topic": "/usb/image"}))
    assert nodes["pose_node"].parameters["device"] == "cuda:1"
    assert nodes["camera_node"].parameters["source"] == "0"
    assert nodes["keypoint_node"].remappings == (("image_raw", "/usb/image"),)


@pytest.mark.parametrize(
    "image_topic, calibration",
    [
        ("/usb_cam/image_raw", "/usb_cam/camera_info"),
        ("/usb_cam/image_raw/compressed", "/usb_cam/camera_info"),
        ("usb_cam/image_raw", "usb_cam/camera_info"),
        ("/image", "/camera_info"),
        ("/compressed", "/camera_info"),
    ],
)
def test_the_calibration_lies_beside_the_images(image_topic, calibration):
    """As image_transport's publishers and subscribers of cameras have it."""
    nodes = by_name(description.webcam().resolve({"camera": False, "image_topic": image_topic}))
    assert nodes["pose_node"].remappings == (("camera_info", calibration),)
    assert nodes["keypoint_node"].remappings == (("image_raw", image_topic),), "it looks beside the images itself"
    own = {"image_topic": image_topic, "camera_info_topic": "/calibration"}
    assert by_name(description.webcam().resolve(own))["pose_node"].remappings == (("camera_info", "/calibration"),)
    mirrored = by_name(description.webcam().resolve(own | {"mirror": "true"}))["keypoint_node"]
    assert ("camera_info", "/calibration") in mirrored.remappings and mirrored.parameters["mirror"] is True


@pytest.mark.parametrize("given", [{}, {"image_topic": "", "camera_info_topic": ""}, {"image_topic": "images"}])
def test_names_that_are_the_usual_ones_are_not_remapped(given):
    assert by_name(description.webcam().resolve(given))["pose_node"].remappings == ()


def test_the_static_transforms_reach_the_frame_of_the_images(graph):
    given = COMPLETE[graph.name] | {"static_transforms": True}
    for name, expected in (("default_cam", "default_cam"), ("", "camera_optical_frame")):
        frames = graph.resolve(given | {"camera_frame": name}).static_transforms
        assert [(t.parent, t.child) for t in frames] == [("map", "camera_link"), ("camera_link", expected)]
    assert graph.resolve(given).static_transforms[1].child == "camera_optical_frame"
    for taken in ("map", "camera_link"):
        with pytest.raises(SettingsError, match=f"'{taken}' already.*static_transforms:=false"):
            graph.resolve(given | {"camera_frame": taken})
        assert not graph.resolve(given | {"camera_frame": taken, "static_transforms": False}).static_transforms


def test_a_frame_of_any_name_is_published_by_a_node_with_a_valid_one():
    for frame in ("0_cam", "robot/usb-cam.1", "kamera_ä"):
        assert re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", StaticTransform("map", frame).publisher_name)


def test_the_physics_hears_of_a_camera_that_was_measured_only():
    """The frames need some height; a guess must not become the floor that feet stand on."""
    guessed = description.webcam().resolve()
    assert not {"camera_height", "camera_pitch", "camera_roll"} & set(by_name(guessed)["pose_node"].parameters)
    assert guessed.static_transforms[0].xyz[2] == 1.0 and guessed.static_transforms[0].rpy == (0.0, 0.0, 0.0)
    given = {"camera_height": 1.4, "camera_pitch": 0.2, "camera_roll": -0.1}
    parameters = by_name(description.webcam().resolve(given))["pose_node"].parameters
    assert given.items() <= parameters.items()


@pytest.mark.parametrize("angle", ["camera_pitch", "camera_roll"])
@pytest.mark.parametrize("own", ["tf", "motion", "parameters"])
def test_an_angle_makes_gravity_come_from_parameters_unless_the_user_says_otherwise(own, angle, tmp_path):
    def ground_from(text: str | None, **given) -> str | None:
        path = tmp_path / "own.yaml"
        if text is not None:
            path.write_text(text)
        values = {angle: "0.0", "params_file": str(path)} | given
        return by_name(description.webcam().resolve(values))["pose_node"].parameters.get("ground_from")

    assert ground_from(None) == "parameters", "the node will say what is wrong with its file"
    for text in ("", "- a\n", "[", "/**/pose_node:\n", "/**/pose_node: {ros__parameters: {steps: 2}}"):
        assert ground_from(text) == "parameters"
    shipped = "/**/pose_node: {ros__parameters: {ground_from: auto}}"
    assert ground_from(shipped) == "parameters"
    chosen = f"/**/pose_node: {{ros__parameters: {{ground_from: {own}}}}}"
    assert ground_from(chosen) is None and ground_from(chosen, namespace="/a/b/") is None
    other = f"/robot/pose_node: {{ros__parameters: {{ground_from: {own}}}}}"
    assert ground_from(other) == "parameters" and ground_from(other, namespace="robot") is None
    assert ground_from("", **{angle: ""}) is None and ground_from("", **{angle: "", "camera_height": "1.4"}) is None


def test_what_is_switched_off_does_not_start():
    graph = description.webcam().resolve({"rviz": False, "camera": "False", "static_transforms": "false"})
    assert set(by_name(graph)) == {"pose_node", "keypoint_node", "robot_state_publisher"}
    assert not graph.static_transforms


def test_a_viewer_of_another_graph_publishes_none_of_its_frames():
    """A second /tf_static with a guessed camera would win over the measured one."""
    graph = description.view().resolve()
    assert set(by_name(graph)) == {"rviz2"}, "robot_description comes from the graph that runs elsewhere"
    assert not by_name(graph)["rviz2"].remappings and not graph.static_transforms
    for off in ({"joint_sliders": "False"}, {"static_transforms": "false", "robot_state_publisher": ""}):
        graph = description.view().resolve(off)
        assert set(by_name(graph)) == {"rviz2"} and not graph.static_transforms
    graph = description.view().resolve({"static_transforms": True, "camera_height": 1.6})
    assert set(by_name(graph)) == {"rviz2"} and graph.static_transforms[0].xyz[2] == 1.6
    limbs = description.view().resolve({"robot_state_publisher": "True"})
    assert set(by_name(limbs)) == {"rviz2", "robot_state_publisher"} and not limbs.static_transforms


@pytest.mark.parametrize("sliders", [True, "true", "1"])
def test_joint_sliders_bring_all_frames_unless_told_otherwise(sliders):
    graph = description.view().resolve({"joint_sliders": sliders})
    assert set(by_name(graph)) == {"rviz2", "robot_state_publisher", "joint_state_publisher_gui"}
    assert [t.child for t in graph.static_transforms] == ["camera_link", "camera_optical_frame", "human"]
    assert not by_name(graph)["robot_state_publisher"].remappings, "it is the one who publishes robot_description"
    own = description.view().resolve({"joint_sliders": sliders, "robot_state_publisher": False})
    assert "robot_state_publisher" not in by_name(own)


def test_a_bag_brings_its_own_clock_and_a_video_does_not():
    graph = description.replay()
    bag = graph.resolve({"bag": "b", "on_end": "loop"})
    assert bag.tools[0].command == ("ros2", "bag", "play", "b", "--clock", "200", "--delay", "3.0", "--loop")
    assert by_name(bag)["pose_node"].parameters["use_sim_time"] is True
    assert "camera_node" not in by_name(bag)
    video = graph.resolve({"video": "v.mp4", "on_end": "exit"})
    assert not video.tools
    assert by_name(video)["camera_node"].ends_graph
    assert not by_name(video)["pose_node"].parameters.get("use_sim_time", False)
    own = by_name(graph.resolve({"bag": "b", "use_sim_time": "false"}))
    assert own["pose_node"].parameters["use_sim_time"] is False


@pytest.mark.parametrize(
    "name, given, reason",
    [
        ("webcam", {"camera_hight": "1"}, "camera_hight"),
        ("webcam", {"rviz": "maybe"}, "rviz"),
        ("webcam", {"log_level": "loud"}, "log_level"),
        ("webcam", {"camera_pitch": "down"}, "camera_pitch"),
        ("view", {"static_transforms": "true", "camera_roll": "left"}, "camera_roll"),
        ("replay", {}, "video:= or bag:="),
        ("replay", {"video": "v", "bag": "b"}, "video:= or bag:="),
        ("view", {"namespace": "bad name"}, "namespace': 'bad name' is not a ROS namespace"),
        ("webcam", {"namespace": "usb-cam"}, "'usb-cam' is not a ROS namespace"),
        ("webcam", {"namespace": "alice/2"}, "'alice/2' is not a ROS namespace"),
        ("webcam", {"image_topic": "/usb-cam/image_raw"}, "image_topic': '/usb-cam/image_raw' is not a ROS topic"),
        ("webcam", {"camera_info_topic": "cam/"}, "'cam/' is not a ROS topic"),
        ("webcam", {"retarget_joint_states": "/7dof/joint_states"}, "'/7dof/joint_states' is not a ROS topic"),
    ],
)
def test_bad_arguments_are_named(name, given, reason):
    with pytest.raises(SettingsError, match=reason):
        GRAPHS[name]().resolve(given)


@pytest.mark.parametrize("namespace", ["", "/", "alice", "/alice", "/house/alice_2/", "_a"])
@pytest.mark.parametrize("topic", ["", "image", "/usb_cam/image_raw", "~/image", "{ns}/image", "_a/_b"])
def test_names_that_ros_takes_are_taken(namespace, topic):
    values = description.webcam().values({"namespace": namespace, "image_topic": topic})
    assert (values["namespace"], values["image_topic"]) == (namespace, topic)


def test_conditions_and_defaults_of_a_small_graph():
    graph = Graph(
        name="small",
        arguments=(
            Argument("count", "3", "A number."),
            Argument("text", "", "A text."),
            Argument("derived", "", "Depends.", default_with=(When("text", None), "7")),
        ),
        nodes=(
            NodeProcess("a", "a", parameters={"n": Given("count", int), "d": Given("derived", float)}),
            NodeProcess("b", "b", when=(When("text", None),)),
            NodeProcess("c", "c", when=(When("count", "3"),)),
        ),
    )
    assert set(by_name(graph.resolve())) == {"a", "c"}
    assert by_name(graph.resolve())["a"].parameters == {"n": 3}
    other = by_name(graph.resolve({"text": "x", "count": 4}))
    assert set(other) == {"a", "b"} and other["a"].parameters == {"n": 4, "d": 7.0}


@pytest.mark.parametrize("height, pitch", [(1.0, 0.0), (1.6, 0.3), (0.4, -0.2)])
def test_the_camera_looks_forward_from_its_height_and_down_by_its_pitch(height, pitch):
    graph = description.webcam().resolve({"camera_height": height, "camera_pitch": pitch})
    map_link, link_optical = graph.static_transforms
    assert (map_link.parent, map_link.child, link_optical.parent) == ("map", "camera_link", "camera_link")
    T_map_optical = matrix(map_link) @ matrix(link_optical)
    assert np.allclose(T_map_optical[:3, 3], [0, 0, height])
    x, y, z = T_map_optical[:3, :3].T
    assert np.allclose(z, [math.cos(pitch), 0, -math.sin(pitch)]), "the optical axis"
    assert np.allclose(x, [0, -1, 0]), "image x is to the right, map y to the left"
    assert np.allclose(y, np.cross(z, x)) and y[2] < 0, "image y is down"


@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize("roll", [0.2, -0.2, math.pi / 2, math.pi])
def test_a_roll_turns_the_picture_s_axes_clockwise_and_leaves_the_optical_axis(name, roll):
    """Clockwise as seen from behind: what was right comes down, and what was down comes left."""

    def axes(**angles) -> np.ndarray:
        given = COMPLETE[name] | {"static_transforms": True, "camera_pitch": 0.3} | angles
        map_link, link_optical = GRAPHS[name]().resolve(given).static_transforms
        return (matrix(map_link) @ matrix(link_optical))[:3, :3].T

    right, down, ahead = axes()
    x, y, z = axes(camera_roll=roll)
    assert np.allclose(z, ahead)
    assert np.allclose(x, math.cos(roll) * right + math.sin(roll) * down)
    assert np.allclose(y, math.cos(roll) * down - math.sin(roll) * right)


def test_quaternions_are_those_of_fixed_axis_roll_pitch_yaw():
    angles = (0.3, -0.7, 2.1)
    expected = roma.euler_to_rotmat("xyz", torch.tensor(angles, dtype=torch.float64)).numpy()
    assert np.allclose(matrix(StaticTransform("a", "b", rpy=angles))[:3, :3], expected)


def test_executables_are_console_scripts_with_a_main(graph, repo_root):
    setup = ast.parse((repo_root / "setup.py").read_text())
    scripts = {n.value for n in ast.walk(setup) if isinstance(n, ast.Constant) and isinstance(n.value, str)}
    for node in graph.nodes:
        if node.package == PACKAGE:
            assert f"{node.executable} = diffmocap.nodes.start:{node.executable}" in scripts
            assert node.executable in NODES and callable(getattr(start, node.executable))
            source = ast.parse((repo_root / "diffmocap" / "nodes" / f"{node.executable}.py").read_text())
            assert any(isinstance(n, ast.FunctionDef) and n.name == "main" for n in source.body)


def test_other_packages_are_declared(graph, repo_root):
    package_xml = (repo_root / "package.xml").read_text()
    needed = {node.package for node in graph.nodes} | {"ament_index_python", "launch", "launch_ros"}
    needed = (needed | set(graph.packages)) - {PACKAGE}
    for package in needed:
        assert f"<exec_depend>{package}</exec_depend>" in package_xml, package


def test_parameter_file_names_existing_nodes_and_parameters_with_valid_values():
    pytest.importorskip("rclpy", reason="needs ROS 2: run `make test`, or source a ROS 2 install")
    from diffmocap.nodes.launch.parameter_names import PARAMETER_MODULES

    document = yaml.safe_load(share_path("config", "diffmocap.yaml").read_text())
    expected = {f"/**/{node.name}" for node in description.webcam().nodes if node.reads_params_file}
    assert set(document) == expected
    for key, section in document.items():
        name = key.rpartition("/")[2]
        settings = {s.name: s for s in importlib.import_module(f"diffmocap.nodes.{PARAMETER_MODULES[name]}").PARAMETERS}
        for parameter, value in section["ros__parameters"].items():
            assert parameter in settings, f"{name} has no parameter {parameter}"
            settings[parameter].check(settings[parameter].converted(value))
            if name == "pose_node":
                assert value == settings[parameter].default, f"{parameter}: the file and the code disagree"


@pytest.mark.parametrize("name", GRAPHS)
def test_a_prefix_is_before_all_frames_of_the_graph_and_two_graphs_share_none(name):
    """A person's frames are those of static transforms and images, of the root and the links, and what RViz shows."""

    def frames(prefix: str) -> set[str]:
        given = COMPLETE[name] | {"static_transforms": True, "robot_state_publisher": True, "frame_prefix": prefix}
        graph = GRAPHS[name]().resolve(given)
        nodes, found = by_name(graph), {f for t in graph.static_transforms for f in (t.parent, t.child)}
        publisher = nodes["robot_state_publisher"].parameters
        found |= {publisher.get("frame_prefix", "") + link for link in links()}
        if "pose_node" in nodes:
            pose = nodes["pose_node"].parameters
            assert pose.get("frame_prefix", "") == publisher.get("frame_prefix", "")
            found |= {nodes["camera_node"].parameters["frame_id"], pose.get("ground_frame", "map")}
        assert shown_in_rviz(nodes["rviz2"].arguments[1]) <= found
        return found

    plain, alice, bob = (frames(prefix) for prefix in ("", "alice/", "bob/"))
    assert {"map", "camera_link", "camera_optical_frame", "human", "pelvis", "left_hand", "left_knee_y_link"} <= plain
    assert alice == {f"alice/{frame}" for frame in plain} and bob == {f"bob/{frame}" for frame in plain}


def links() -> set[str]:
    return {link.get("name") for link in ET.fromstring(robot_description({})).findall("link")}


def shown_in_rviz(config: str | RvizConfig) -> set[str]:
    """Full names of the frames that a configuration of RViz names."""
    text = config.text() if isinstance(config, RvizConfig) else Path(config).read_text()
    manager = yaml.safe_load(text)["Visualization Manager"]
    shown = {d["Class"].rpartition("/")[2]: d for d in manager["Displays"]}
    prefix = shown["RobotModel"]["TF Prefix"]
    # RViz puts the slash between a prefix and a link.
    model = {f"{prefix}/{link}" if prefix else link for link in links()}
    return {manager["Global Options"]["Fixed Frame"], *shown["TF"]["Frames"]} - {"All Enabled"} | model


def test_the_frames_that_a_prefix_renames_can_be_named_by_hand(tmp_path):
    own = tmp_path / "own.yaml"
    own.write_text(
        "/**/pose_node: {ros__parameters: {frame_prefix: a/, ground_frame: odom, publish_link_tf: true}}\n"
        "/**/camera_node: {ros__parameters: {frame_id: left_eye}}\n"
    )
    graph = description.webcam().resolve({"params_file": own})
    nodes = by_name(graph)
    assert nodes["pose_node"].parameters["frame_prefix"] == "a/", "all processes hear what the file says of one"
    assert "ground_frame" not in nodes["pose_node"].parameters and "robot_state_publisher" not in nodes
    assert nodes["camera_node"].parameters["frame_id"] == "left_eye"
    frames = [(t.parent, t.child) for t in graph.static_transforms]
    assert frames == [("a/map", "a/camera_link"), ("a/camera_link", "left_eye")]
    given = {"params_file": own, "frame_prefix": "b/", "camera_frame": "c", "publish_link_tf": False}
    graph = description.webcam().resolve(given)
    nodes = by_name(graph)
    assert nodes["pose_node"].parameters["frame_prefix"] == nodes["robot_state_publisher"].parameters["frame_prefix"]
    assert nodes["camera_node"].parameters["frame_id"] == graph.static_transforms[1].child == "c"
    elsewhere = description.webcam().resolve({"frame_prefix": "b/", "static_transforms": False})
    assert "ground_frame" not in by_name(elsewhere)["pose_node"].parameters, "map is then somebody else's"


def test_the_limbs_frames_have_one_publisher():
    for given in ({"publish_link_tf": True}, {"publish_link_tf": True, "robot_state_publisher": False}):
        nodes = by_name(description.webcam().resolve(given))
        assert nodes["pose_node"].parameters["publish_link_tf"] is True and "robot_state_publisher" not in nodes
    nodes = by_name(description.webcam().resolve({"robot_state_publisher": "True"}))
    assert nodes["pose_node"].parameters["publish_link_tf"] is False and "robot_state_publisher" in nodes
    with pytest.raises(SettingsError, match="publish_link_tf:=false and robot_state_publisher:=false"):
        description.webcam().resolve({"publish_link_tf": True, "robot_state_publisher": True})


@pytest.mark.parametrize(
    "prefix, rviz, reason",
    [("/a/", False, "begin with no '/'"), ("a b/", False, "no blanks"), ("alice", True, "'alice/', or rviz:=false")],
)
def test_prefixes_that_make_no_frames_are_refused(prefix, rviz, reason):
    with pytest.raises(SettingsError, match=reason):
        description.webcam().resolve({"frame_prefix": prefix, "rviz": rviz})
    if rviz:
        graph = description.webcam().resolve({"frame_prefix": prefix, "rviz": False})
        assert graph.static_transforms[0].parent == "alicemap", "as it is, as robot_state_publisher has it"


def test_rviz_gets_a_file_of_its_own_that_goes_with_the_process():
    code = (
        "from diffmocap.graph.rviz_config import RvizConfig\n"
        "print(path := RvizConfig('a/').write(), 'a/map' in path.read_text())"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    path, _, held = run.stdout.strip().rpartition(" ")
    assert held == "True" and not Path(path).parent.exists()


def test_foxglove_shows_what_the_graph_has():
    """Topics are compared with a running graph's in tests/ros; here the rest."""
    path = share_path("config", "diffmocap.foxglove.json")
    layout = json.loads(path.read_text())
    (command,) = re.findall(r"^ +(sed .*foxglove\.json)$", share_path("docs", "ros.md").read_text(), re.MULTILINE)
    alices = subprocess.run(command, shell=True, cwd=path.parents[1], capture_output=True, text=True, check=True).stdout
    renamed = path.read_text().replace("human/", "alice/")
    for name in ("map", "camera_link", "camera_optical_frame", "human"):
        renamed = renamed.replace(f'"{name}"', f'"alice/{name}"').replace(f'"frame:{name}"', f'"frame:alice/{name}"')
    assert json.loads(alices) == json.loads(renamed.replace('"framePrefix": ""', '"framePrefix": "alice/"'))

    def panels(node) -> list[str]:
        return [node] if isinstance(node, str) else panels(node["first"]) + panels(node["second"])

    assert sorted(panels(layout["layout"])) == sorted(layout["configById"])
    assert {name.partition("!")[0] for name in layout["configById"]} == {"3D", "Image", "Plot", "DiagnosticSummary"}
    scene = layout["configById"]["3D!diffmocap"]
    frames = {f for t in description.webcam().resolve().static_transforms for f in (t.parent, t.child)} | links()
    assert {scene["followTf"], scene["layers"]["grid"]["frameId"]} <= frames
    assert {name.removeprefix("frame:") for name in scene["transforms"]} <= frames
    assert scene["scene"]["meshUpAxis"] == "z_up", "STL says nothing of it"
    nodes = {f"human/{node.name}" for node in description.webcam().lifecycle_nodes}
    paths = [path for panel in layout["configById"].values() for path in panel.get("paths", ())]
    joints = 0
    for path in paths:
        if joint := re.fullmatch(r"/human/joint_states\.(position|effort)\[(\d+)\]", path["value"]):
            assert JOINT_ANGLE_NAMES[int(joint[2])] == path["label"]
            joints += 1
        else:
            node, key = re.fullmatch(
                r'/diagnostics\.status\[:\]\{name=="([^"]+)"\}\.values\[:\]\{key=="(\w+)"\}\.value', path["value"]
            ).groups()
            assert node in nodes
            stem = re.sub(r"_(hz|p50_ms|p99_ms)$", "", key)
            source = share_path("diffmocap", "nodes", f"{node.rpartition('/')[2]}.py").read_text()
            assert re.search(rf'\.(tick|latency)\("{stem}"', source), f"{node} tells no {key}"
    assert joints == 6 and len(paths) == 11


def test_rviz_shows_the_topics_that_the_graph_has_in_a_frame_that_it_has():
    config = yaml.safe_load(share_path("config", "diffmocap.rviz").read_text())["Visualization Manager"]
    frames = {f for t in description.webcam().resolve().static_transforms for f in (t.parent, t.child)}
    assert config["Global Options"]["Fixed Frame"] in frames
    shown = {d["Class"].rpartition("/")[2]: d for d in config["Displays"]}
    assert {"RobotModel", "TF", "MarkerArray", "Image"} <= shown.keys()
    # Relative names follow RViz's namespace.
    assert shown["RobotModel"]["Description Topic"]["Value"] == "robot_description"
    assert shown["RobotModel"]["Description Topic"]["Durability Policy"] == "Transient Local"
    assert shown["MarkerArray"]["Topic"]["Value"] == "markers"
    assert shown["Image"]["Topic"]["Value"] == "annotated_image"


def test_mesh_addresses_can_be_followed(tmp_path):
    text = robot_description({})
    files = [part.split('"')[0] for part in text.split('filename="')[1:]]
    assert len(files) == 24
    for address in files:
        assert address.startswith("file:///")
        assert share_path("models", "meshes", address.rpartition("/")[2]).is_file()
    marker = tmp_path / "share/ament_index/resource_index/packages" / PACKAGE
    marker.parent.mkdir(parents=True)
    marker.touch()
    installed = robot_description({"AMENT_PREFIX_PATH": f"/nowhere:{tmp_path}"})
    assert installed.count("package://diffmocap/models/meshes/") == 24


def test_reading_the_description_needs_neither_ros_nor_torch(repo_root):
    """`ros2 launch` runs on the system's Python, which may have no more than the standard library and launch's YAML."""
    code = (
        "import sys, diffmocap.graph.description as d, diffmocap.graph.robot_description as r\n"
        "d.webcam().resolve(); r.robot_description()\n"
        "print(sorted({'torch', 'numpy', 'rclpy'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=repo_root, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


@pytest.mark.parametrize("name", GRAPHS)
def test_the_viewer_starts_where_it_is_asked_for_and_may_be_missing(name, monkeypatch):
    assert "viewer_node" not in by_name(GRAPHS[name]().resolve(COMPLETE[name]))
    given = COMPLETE[name] | {"view": "true", "view_port": "8123", "frame_prefix": "alice/"}
    viewer = by_name(GRAPHS[name]().resolve(given))["viewer_node"]
    assert viewer.parameters["port"] == 8123 and viewer.parameters["map_frame"] == "alice/map"
    assert "host" not in viewer.parameters and viewer.may_end and not viewer.lifecycle
    monkeypatch.setattr("diffmocap.graph.elements.find_spec", lambda module: None)
    assert "pip install viser" in viewer.lacks()
    monkeypatch.setattr("diffmocap.graph.elements.find_spec", lambda module: object())
    assert viewer.lacks() == ""


def test_the_viewer_gets_the_images_that_keypoints_are_found_in():
    given = {"view": True, "image_topic": "/usb_cam/image_raw", "camera": False}
    nodes = by_name(description.webcam().resolve(given))
    assert ("image_raw", "/usb_cam/image_raw") in nodes["viewer_node"].remappings
    assert set(nodes["pose_node"].remappings) < set(nodes["viewer_node"].remappings)


@pytest.mark.parametrize("name", ["webcam", "replay"])
def test_rep_155_is_told_where_it_is_asked_for(name):
    assert "hri_node" not in by_name(GRAPHS[name]().resolve(COMPLETE[name]))
    assert by_name(GRAPHS[name]().resolve(COMPLETE[name] | {"hri": "true"}))["hri_node"].may_end


@pytest.mark.parametrize("name", ["webcam", "replay"])
def test_sonic_is_streamed_to_where_it_is_asked_for(name):
    assert "sonic_node" not in by_name(GRAPHS[name]().resolve(COMPLETE[name]))
    given = {"sonic": "true", "frame_prefix": "alice/", "camera_info_topic": "/cam/info"}
    node = by_name(GRAPHS[name]().resolve(COMPLETE[name] | given))["sonic_node"]
    assert node.lifecycle and node.reads_params_file and not node.may_end
    assert node.parameters["map_frame"] == "alice/map"
    assert dict(node.remappings) == {"camera_info": "/cam/info"}


@pytest.mark.parametrize("name", ["webcam", "replay"])
def test_a_robot_follows_where_it_is_asked_for(name):
    assert "retarget_node" not in by_name(GRAPHS[name]().resolve(COMPLETE[name]))
    given = {
        "retarget": "g1", "retarget_joint_states": "/g1/joint_states", "frame_prefix": "alice/",
        "retarget_joint_trajectory": "/joint_trajectory_controller/joint_trajectory", "camera_info_topic": "/cam/info",
    }  # fmt: skip
    node = by_name(GRAPHS[name]().resolve(COMPLETE[name] | given))["retarget_node"]
    assert node.lifecycle and node.reads_params_file
    assert node.parameters["robot"] == "g1"
    assert (node.parameters["map_frame"], node.parameters["stage_frame"]) == ("alice/map", "alice/stage")
    assert dict(node.remappings) == {
        "/joint_states": "/g1/joint_states", "camera_info": "/cam/info",
        "robot/joint_trajectory": "/joint_trajectory_controller/joint_trajectory",
    }  # fmt: skip
    own = by_name(GRAPHS[name]().resolve(COMPLETE[name] | {"retarget": "g1"}))["retarget_node"]
    assert not own.remappings, "the names in the node stand"
