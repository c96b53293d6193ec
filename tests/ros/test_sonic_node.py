"""sonic_node over DDS and a real socket: what a subscriber hears of a person, and what it does not."""

from __future__ import annotations

import math
import os
import re
import socket

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2: run `make test`, or source a ROS 2 install")
zmq = pytest.importorskip("zmq", reason="needs pyzmq: pip install 'diffmocap[sonic]', or run `make test`")

from diffmocap.cli.main import main  # noqa: E402
from diffmocap.robots.sonic.pose import sonic_pose  # noqa: E402
from tests.robots.standing_person import Person  # noqa: E402
from tests.robots.test_sonic import read  # noqa: E402

OPTICAL_FROM_WORLD = np.array([[0.0, -1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]])
QUICK = {"port": 0, "stand_time": 0.5, "blend_time": 0.3, "max_age": 0.0, "pose_timeout": 5.0}
TURNS = {"left_elbow": (0.0, -1.0, 0.0), "right_shoulder": (0.0, 0.0, 0.4)}


class Listener:
    """Shows a person to the node, and hears it as SONIC does."""

    def __init__(self, graph, node) -> None:
        from diffmocap_msgs.msg import BodyPose
        from sensor_msgs.msg import CameraInfo

        self.graph, self.node, self.person = graph, node, Person()
        self.poses = graph.node.create_publisher(BodyPose, "body_pose", 10)
        self.infos = graph.node.create_publisher(CameraInfo, "camera_info", 10)
        self.state, self.track_id, self.turns = BodyPose.TRACKED, 1, TURNS
        self.heard: list[bytes] = []
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.SUB)
        self.socket.setsockopt(zmq.SUBSCRIBE, b"pose")
        self.timer = graph.node.create_timer(1 / 30, self.show)

    def connect(self) -> str:
        """To where the node says that it is."""
        address = re.search(r"tcp://[\d.]+:\d+", self.node.log).group()
        self.socket.connect(address)
        return address

    def show(self) -> None:
        from diffmocap_msgs.msg import BodyPose
        from geometry_msgs.msg import Point, Quaternion
        from scipy.spatial.transform import Rotation

        local, frame = self.person.local(self.turns), self.person.frame(self.turns, yaw=math.pi)
        local[0] = OPTICAL_FROM_WORLD @ frame.rotations[0]
        joints = frame.positions @ OPTICAL_FROM_WORLD.T + [0.0, 1.0, 3.0]
        message = BodyPose(
            tracking_state=self.state, track_id=self.track_id, height=self.person.height,
            rotations=[Quaternion(x=x, y=y, z=z, w=w) for x, y, z, w in Rotation.from_matrix(local).as_quat().tolist()],
            joint_positions=[Point(x=x, y=y, z=z) for x, y, z in joints.tolist()],
        )  # fmt: skip
        message.header.stamp = self.graph.node.get_clock().now().to_msg()
        message.header.frame_id = "camera_optical_frame"
        self.poses.publish(message)
        while self.socket.poll(0):
            self.heard.append(self.socket.recv())

    def calibrated(self) -> None:
        from sensor_msgs.msg import CameraInfo

        self.infos.publish(CameraInfo(width=640, height=480, k=[600.0, 0, 320.0, 0, 600.0, 240.0, 0, 0, 1.0]))

    def ask(self, what: str):
        from std_srvs.srv import Trigger

        return self.graph.call(Trigger, f"sonic_node/{what}", Trigger.Request())

    def started(self) -> None:
        """Asks until it is granted."""

        def granted():
            self.calibrated()
            self.graph.spin_for(0.2)
            return self.ask("engage").success

        self.graph.spin_until(granted, 30.0, "that a stream is granted")

    def close(self) -> None:
        self.socket.close(0)
        self.context.term()


@pytest.fixture
def listener(graph):
    """A node that is active, and who listens to it."""
    node = graph.start("sonic_node", QUICK)
    graph.bring_up("sonic_node")
    made = Listener(graph, node)
    made.connect()
    yield made
    made.close()


def test_sonic_hears_a_tracked_person_where_somebody_asked_for_it(graph, listener, capsys) -> None:
    from diffmocap_msgs.msg import BodyPose

    graph.spin_until(lambda: "allow_assumed_fov" in listener.ask("engage").message, 30.0, "a refusal")
    listener.started()
    graph.spin_until(lambda: len(listener.heard) > 5, 30.0, "messages")
    fields = read(listener.heard[-1])
    expected = sonic_pose(listener.person.frame(TURNS), 1.66)
    np.testing.assert_allclose(fields["smpl_pose"][-1], expected.pose, atol=0.05)  # the stand straightens a little
    np.testing.assert_allclose(fields["smpl_joints"][-1], expected.joints, atol=0.05)
    assert abs(fields["body_quat"][-1] @ (1.0, 0.0, 0.0, 0.0)) > 0.99, "who stood looks ahead"
    assert fields["joint_pos"].shape == (5, 29) and not fields["joint_pos"][:, :23].any()

    # What no image shows is not sent, and a lost person is not followed when they come back.
    listener.state = BodyPose.LOST
    graph.spin_for(0.5)
    listener.heard.clear()
    listener.state = BodyPose.TRACKED
    graph.spin_for(1.0)
    assert listener.heard == []
    listener.started()
    graph.spin_until(lambda: len(listener.heard) > 5, 30.0, "messages again")
    numbers = [read(message)["frame_index"] for message in listener.heard]
    assert numbers[0][0] > fields["frame_index"][-1], "the stream goes on"
    assert all(later[0] <= earlier[-1] + 1 for earlier, later in zip(numbers, numbers[1:], strict=False))

    listener.state = BodyPose.PREDICTED
    graph.spin_for(0.1)
    listener.heard.clear()
    graph.spin_for(0.1)
    assert listener.heard == []
    listener.state = BodyPose.TRACKED

    assert main(["robot", "release", "--sonic", "--namespace", "/"]) == 0
    graph.spin_for(0.2)
    listener.heard.clear()
    graph.spin_for(0.5)
    assert listener.heard == []
    assert main(["robot", "stop", "--sonic", "--namespace", "/"]) == 1
    assert "engage and release" in capsys.readouterr().err
    assert graph.transition("sonic_node", "deactivate")
    assert not listener.ask("engage").success, "not active"
    assert graph.transition("sonic_node", "cleanup")
    assert graph.state("sonic_node") == "unconfigured"
    assert listener.node.end() == 0, listener.node.log


def test_a_bad_pose_is_left_out_and_silence_ends_the_stream(graph, listener) -> None:
    from diffmocap_msgs.msg import BodyPose
    from geometry_msgs.msg import Quaternion

    diagnostics = graph.diagnostics()
    assert graph.set_parameter("sonic_node", "pose_timeout", 0.5).successful
    listener.started()
    graph.spin_until(lambda: listener.heard, 30.0, "messages")
    listener.timer.cancel()
    nothing = [Quaternion(w=0.0)] * 24
    listener.poses.publish(BodyPose(tracking_state=BodyPose.TRACKED, track_id=1, height=1.7, rotations=nothing))
    graph.spin_until(lambda: "holding" in listener.node.log, 30.0, "the end of the stream")

    def told() -> dict:
        return next((status for name, status in diagnostics.items() if "sonic_node" in name), {})

    graph.spin_until(lambda: told().get("state") == "holding" and told().get("bad_poses") == "1", 30.0, "diagnostics")
    assert told()["level"] > 0
    assert not graph.set_parameter("sonic_node", "skeleton_height", 0.2).successful
    assert not graph.set_parameter("sonic_node", "port", 1234).successful, "takes effect at configure"


def test_a_port_that_is_taken_and_a_missing_package_are_said(graph, tmp_path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        node = graph.start("sonic_node", QUICK | {"port": taken.getsockname()[1]})
        assert not graph.transition("sonic_node", "configure")
        assert "is another streamer running" in node.log
    assert graph.transition("sonic_node", "configure"), "free again"
    assert node.end() == 0, node.log
    (tmp_path / "zmq.py").write_text("raise ImportError('hidden by the test')\n")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    node = graph.start("sonic_node", QUICK, "-r", "__node:=other", environment={"PYTHONPATH": path})
    assert not graph.transition("other", "configure")
    assert "pip install 'diffmocap[sonic]'" in node.log
    assert graph.state("other") == "unconfigured", "the graph survives it"
