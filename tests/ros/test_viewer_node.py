"""viewer_node over DDS: what is published arrives on the page, what is set there at pose_node; for nobody, nothing."""

from __future__ import annotations

import re
import time

import numpy as np
import pytest

pytest.importorskip("viser", reason="the viewer needs viser: pip install viser, or run `make test`")

from benchmarks.live_viewer.page_client import PageClient  # noqa: E402
from diffmocap.viewer.body import Skin  # noqa: E402


def address(graph, node) -> str:
    return graph.spin_until(lambda: re.search(r"the viewer is at (http://\S+)", node.log), 60.0, "the address")[1]


class Stage:
    """Publishes what a graph would, of a person at one place; and a stand-in for pose_node with its parameters."""

    def __init__(self, graph) -> None:
        import rclpy
        from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
        from diffmocap_msgs.msg import BodyPose, Keypoints2D
        from geometry_msgs.msg import Point, Quaternion
        from sensor_msgs.msg import Image

        from diffmocap.errors import SettingsError
        from diffmocap.nodes.images.image_messages import image_to_message
        from diffmocap.nodes.parameters import Parameters, own

        self.graph, create = graph, graph.node.create_publisher
        self.poses, self.keypoints = create(BodyPose, "body_pose", 10), create(Keypoints2D, "keypoints", 10)
        self.images = create(Image, "image_raw", 10)
        self.diagnostics = create(DiagnosticArray, "/diagnostics", 10)
        self.stamp_ns = time.time_ns()
        joints = Skin.load().joints_m.astype(float) + [0.25, 0.0, 3.0]
        self.pose = BodyPose(
            joint_positions=[Point(x=x, y=y, z=z) for x, y, z in joints.tolist()],
            rotations=[Quaternion(w=1.0) for _ in joints], score=-0.1, hypotheses=1,
            tracking_state=BodyPose.TRACKED, track_id=1,
        )  # fmt: skip
        self.pose.header.frame_id = "camera_optical_frame"
        self.keypoint_message = Keypoints2D(width=640, height=480)
        self.image = image_to_message(np.full((480, 640, 3), 90, np.uint8), 0, "camera_optical_frame")
        status = DiagnosticStatus(name="pose_node", level=b"\1", message="behind the budget",
                                  values=[KeyValue(key="lift_p50_ms", value="4.5")])  # fmt: skip
        self.health = DiagnosticArray(status=[status])
        self.node = rclpy.create_node("pose_node", context=graph.context)

        def validate(values) -> None:
            if values["steps"] > 40:
                raise SettingsError("steps: the budget allows 40")

        self.parameters = Parameters(
            self.node, [own("steps", 1, "Sampler steps.", 1, 50), own("weights", "", "File.", live=False)],
            validate=validate,
        )  # fmt: skip
        graph._executor.add_node(self.node)

    def publish(self) -> None:
        """One frame of everything, and the graph's callbacks."""
        self.stamp_ns += 33_000_000
        for message, publisher in (
            (self.image, self.images), (self.keypoint_message, self.keypoints), (self.pose, self.poses),
        ):  # fmt: skip
            message.header.stamp.sec, message.header.stamp.nanosec = divmod(self.stamp_ns, 10**9)
            publisher.publish(message)
        self.diagnostics.publish(self.health)
        self.graph.spin_for(0.03)

    def listeners(self) -> list[int]:
        """How many hear poses, keypoints, images."""
        return [publisher.get_subscription_count() for publisher in (self.poses, self.keypoints, self.images)]

    def close(self) -> None:
        """Ends the stand-in."""
        self.graph._executor.remove_node(self.node)
        self.node.destroy_node()


@pytest.fixture
def stage(graph):
    made = Stage(graph)
    yield made
    made.close()


def test_what_the_graph_publishes_is_on_the_page_while_somebody_looks(graph, stage) -> None:
    node = graph.start("viewer_node", {"port": 0})
    page = address(graph, node)
    assert page.startswith("http://127.0.0.1:")
    graph.spin_for(1.0)
    assert stage.listeners() == [0, 0, 0], "nobody looks: nothing is listened to"

    seen: dict[str, dict] = {}

    def note(message: dict) -> bool:
        if message["type"] == "SetBonePositionMessage" and message["bone_index"] == 0:
            seen["pelvis"] = message
        if message["type"] == "CameraFrustumMessage" and message["props"]["_image_data"]:
            seen["picture"] = message
        if message["type"] == "GuiUpdateMessage" and "behind the budget" in str(message["updates"].get("content")):
            seen["trouble"] = message
        if message["type"] == "GuiSliderMessage" and message["props"]["label"] == "steps":
            seen["steps"] = message
        return len(seen) == 4

    with PageClient(page) as client:
        assert client.read_until(note, stage.publish), f"arrived: {sorted(seen)}\n{node.log}"
        assert stage.listeners() == [1, 1, 1]
        position = stage.pose.joint_positions[0]
        assert np.allclose(seen["pelvis"]["position"], (position.x, position.y, position.z))
        assert (seen["steps"]["props"]["min"], seen["steps"]["props"]["max"]) == (1, 50)

        def set_steps(value: int) -> None:
            client.send({"type": "GuiUpdateMessage", "uuid": seen["steps"]["uuid"], "updates": {"value": value}})

        set_steps(7)
        client.read_until(lambda message: stage.parameters["steps"] == 7, stage.publish)
        assert stage.parameters["steps"] == 7
        set_steps(50)
        told = client.read_until(lambda message: message["type"] == "NotificationShowMessage", stage.publish)
        assert told is not None and "the budget allows 40" in str(told["props"]) and stage.parameters["steps"] == 7

        stale = client.read_until(
            lambda message: "no pose for 1." in str(message.get("updates")), lambda: graph.spin_for(0.01)
        )
        assert stale is not None, "a graph that is silent is shown as such"
    graph.spin_until(lambda: stage.listeners() == [0, 0, 0], 30.0, "the end of listening")
    assert node.end() == 0, node.log


@pytest.mark.parametrize(
    "parameters, code, words",
    [
        ({"host": "192.0.2.1"}, 1, "cannot listen at host '192.0.2.1'.*127.0.0.1"),
        ({"host": "0.0.0.0", "port": 0}, None, "everybody who reaches this computer.*no password.*ssh -L"),
    ],
)
def test_an_address_for_others_is_warned_of_and_a_wrong_one_refused(graph, parameters, code, words) -> None:
    node = graph.start("viewer_node", parameters)
    graph.spin_until(lambda: re.search(words, node.log, re.S), 60.0, "the message")
    if code is not None:
        assert node.process.wait(30.0) == code
