"""The supervisor runs real nodes: from a video to joint states, and whatever may go wrong on the way."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import yaml

from diffmocap.errors import GraphError, SettingsError
from diffmocap.graph import description
from diffmocap.resources import share_path

FAST = {"camera_node": {"pacing": "fast"}, "pose_node": {"budget_ms": 0.0}}


def replay(video: Path | str, **arguments) -> dict:
    return {"video": str(video), "on_end": "exit", "rviz": False, "robot_state_publisher": False, **arguments}


@pytest.fixture()
def left_behind():
    """Children of this process, zombies included, that the test itself started (other tests may keep helpers)."""
    before = set(psutil.Process().children())
    return lambda: set(psutil.Process().children()) - before


def wait_until_gone(pids: list[int], timeout_s: float) -> None:
    deadline_s = time.monotonic() + timeout_s
    while any(psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE for pid in pids):
        assert time.monotonic() < deadline_s, "nodes live on"
        time.sleep(0.1)


def test_a_video_becomes_joint_states_and_every_process_ends_well(ros_env, excerpt, tmp_path, left_behind) -> None:
    from rclpy.qos import DurabilityPolicy, QoSProfile
    from sensor_msgs.msg import CameraInfo, JointState
    from tf2_msgs.msg import TFMessage

    from diffmocap.cli.supervisor import Supervisor

    steps, lines, states, statics, images = [], [], [], [], []
    arguments = replay(excerpt, namespace="studio", camera_height=1.5)
    parameters = FAST | {"camera_node": {"pacing": "fast", "reliability": "reliable"}}  # this test misses no image
    with Supervisor(
        description.replay(), arguments, tmp_path, parameters, log=lambda name, line: lines.append((name, line))
    ) as supervisor:
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        supervisor.node.create_subscription(JointState, "joint_states", states.append, 100)
        supervisor.node.create_subscription(CameraInfo, "camera_info", images.append, 100)
        supervisor.node.create_subscription(TFMessage, "/tf_static", statics.append, latched)
        supervisor.bring_up(timeout_s=90.0, progress=steps.append)
        assert steps[1:] == [f"{name} is active" for name in ("pose_node", "keypoint_node", "camera_node")]
        assert len(supervisor.pids) == 3
        deadline_s = time.monotonic() + 90.0
        while not supervisor.finished:
            supervisor.spin_once(0.1)
            assert time.monotonic() < deadline_s, lines
        codes = supervisor.stop()
    assert codes == {"pose_node": 0, "keypoint_node": 0, "camera_node": 0}
    assert len(states) >= 10
    stamps, taken = ([m.header.stamp.sec * 10**9 + m.header.stamp.nanosec for m in got] for got in (states, images))
    assert stamps == sorted(set(stamps))
    assert set(stamps) <= set(taken), "the stamps of the images come through"
    frames = {t.child_frame_id: t for t in statics[0].transforms}
    assert frames["camera_link"].transform.translation.z == 1.5
    assert any("is at its end" in line for name, line in lines if name == "camera_node")
    assert not left_behind(), "a process or a zombie is left"


def test_a_node_that_cannot_be_configured_is_named_with_its_own_words(ros_env, tmp_path, left_behind) -> None:
    from diffmocap.cli.supervisor import Supervisor

    no_video = tmp_path / "no_video.mp4"
    no_video.write_text("this is no video")
    with Supervisor(description.replay(), replay(no_video), tmp_path / "log") as supervisor:
        pids = supervisor.pids
        with pytest.raises(GraphError, match="camera_node did not configure") as error:
            supervisor.bring_up(timeout_s=90.0)
        assert "no_video.mp4" in str(error.value)
    wait_until_gone(pids, 1.0)
    assert not left_behind()


def test_a_node_that_dies_is_noticed(ros_env, tmp_path) -> None:
    from diffmocap.cli.supervisor import Supervisor

    with Supervisor(description.webcam(), {"camera": False}, tmp_path) as supervisor:
        assert set(supervisor.running) == {"pose_node", "keypoint_node"}
        supervisor.running["keypoint_node"].process.kill()
        with pytest.raises(GraphError, match="keypoint_node has ended with exit code -9"):
            supervisor.bring_up(timeout_s=60.0)


def test_a_killed_node_comes_back_and_leaves_nothing_in_shared_memory(ros_env, tmp_path) -> None:
    from diffmocap.cli.supervisor import Supervisor
    from diffmocap.middleware.shared_memory import owned_segments

    lines = []
    arguments = {"camera": False, "respawn": True}
    with Supervisor(description.webcam(), arguments, tmp_path, log=lambda name, line: lines.append(line)) as supervisor:
        supervisor.bring_up(timeout_s=90.0)
        killed = supervisor.running["keypoint_node"].process
        segments = owned_segments(killed.pid)
        assert segments and all(path.stat().st_mode & 0o077 == 0 for path in segments), "readable by their user alone"
        killed.kill()
        deadline_s = time.monotonic() + 90.0
        while not any("started again" in line for line in lines):
            supervisor.spin_once(0.05)
            assert time.monotonic() < deadline_s
        # Ports are named by number, and the next process has them again.
        assert not any(path.exists() for path in segments if "port" not in path.name)
        while not supervisor.all_active:
            supervisor.spin_once(0.05)
            assert time.monotonic() < deadline_s, lines
        assert supervisor.running["keypoint_node"].process.pid != killed.pid and len(supervisor.pids) == 2


def test_a_parameter_file_that_reaches_no_node_starts_nothing(ros_env, tmp_path, left_behind) -> None:
    from diffmocap.cli.supervisor import Supervisor

    path = tmp_path / "own.yaml"
    path.write_text("/**/pose_nod: {ros__parameters: {steps: 2}}")
    with pytest.raises(SettingsError, match="did you mean 'pose_node'"):
        with Supervisor(description.webcam(), {"params_file": path}, tmp_path / "log"):
            pass
    assert not left_behind()


def shown_in_rviz() -> set[str]:
    """The topics, relative to RViz's namespace."""
    displays = yaml.safe_load(share_path("config", "diffmocap.rviz").read_text())["Visualization Manager"]["Displays"]
    return {d[key]["Value"] for d in displays for key in ("Topic", "Description Topic") if key in d}


def shown_in_foxglove() -> set[str]:
    text = share_path("config", "diffmocap.foxglove.json").read_text()
    panels = json.loads(text)["configById"]
    scene, image = panels["3D!diffmocap"], panels["Image!diffmocap"]
    topics = {*scene["topics"], *(layer["topic"] for layer in scene["layers"].values() if "topic" in layer)}
    topics |= {image["imageMode"]["imageTopic"], panels["DiagnosticSummary!diffmocap"]["topicToRender"]}
    topics |= {re.match(r"[\w/]+", path["value"])[0] for panel in panels.values() for path in panel.get("paths", ())}
    assert all(topic in text for topic in topics)
    return topics


def test_another_driver_is_heard_with_its_calibration_and_its_frame(ros_env, tmp_path) -> None:
    from rclpy.qos import DurabilityPolicy, QoSProfile
    from tf2_msgs.msg import TFMessage

    from diffmocap.cli.supervisor import Supervisor

    statics = []
    arguments = {"camera": False, "image_topic": "/usb_cam/image_raw", "camera_frame": "default_cam"}
    with Supervisor(description.webcam(), arguments, tmp_path) as supervisor:
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        supervisor.node.create_subscription(TFMessage, "/tf_static", statics.append, latched)
        supervisor.bring_up(timeout_s=90.0)
        deadline_s = time.monotonic() + 20.0
        count = supervisor.node.count_subscribers
        while not (statics and count("/usb_cam/image_raw") == count("/usb_cam/camera_info") == 1):
            supervisor.spin_once(0.1)
            assert time.monotonic() < deadline_s, supervisor.node.get_topic_names_and_types()
        assert count("/human/image_raw") == count("/human/camera_info") == 0
        topics = {name for name, _ in supervisor.node.get_topic_names_and_types()}
        shown = shown_in_foxglove() | {f"/human/{topic}" for topic in shown_in_rviz()}
        assert len(shown) == 5 and shown <= topics, "what the layouts show is there, in the default namespace"
        robots = {"/joint_states", "/robot_description", "/robot_state_publisher/robot_description"}
        assert not topics & robots, "these are a robot's"
    assert {t.child_frame_id for t in statics[0].transforms} == {"camera_link", "default_cam"}


SCRIPT = """
import sys, time
from pathlib import Path
from diffmocap.cli.supervisor import Supervisor
from diffmocap.graph import description
from diffmocap.resources import share_path
with Supervisor(description.webcam(), {"camera": "false"}, Path(sys.argv[1])) as supervisor:
    print(*supervisor.pids, flush=True)
    while True:
        supervisor.spin_once(0.1)
"""


@pytest.mark.parametrize("send", [signal.SIGTERM, signal.SIGKILL])
def test_no_node_outlives_its_supervisor(ros_env, tmp_path, send) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(tmp_path)], env=ros_env, stdout=subprocess.PIPE, text=True
    )
    try:
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(pids) == 2
        parent.send_signal(send)
        parent.wait(20.0)
        wait_until_gone(pids, 15.0)
    finally:
        parent.kill()
        parent.wait()
