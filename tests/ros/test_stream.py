"""What nodes say of the streams that they get, over DDS: silence, wrong types, wrong stamps, too much, two sources."""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable

import cv2
import numpy as np

OK, WARN, ERROR = 0, 1, 2
PERIOD_S = 1 / 30
#: Poses need no trained network, and no physics, for what is looked at here.
#: The figure is no person, which the gate would find.
QUICK = {"physics": False, "steps": 1, "budget_ms": 0.0, "gate": False}


class Keypoints:
    """Publishes keypoints of a figure, every ``period_s``, while it waits for what the node says of them."""

    def __init__(self, graph, name: str, qos=10) -> None:
        from diffmocap_msgs.msg import Keypoints2D

        self.graph, self.type = graph, Keypoints2D
        self.publisher = graph.node.create_publisher(Keypoints2D, "keypoints", qos)
        self.diagnostics = graph.diagnostics()
        self.name = name
        self.period_s = PERIOD_S
        self.sent = 0
        rng = np.random.default_rng(0)
        self.points = (rng.uniform(-1, 1, (25, 2)) * [60, 160] + [320, 240]).astype(np.float32)

    def send(self, stamp_ns: int | None = None, confidence: float = 1.0) -> None:
        message = self.type(width=640, height=480, points=self.points.flatten())
        message.confidence = np.full(25, confidence, np.float32)
        stamp_ns = time.time_ns() if stamp_ns is None else stamp_ns
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, 10**9)
        self.publisher.publish(message)
        self.sent += 1

    def until(self, condition: Callable[[dict], bool], what: str, send: Callable[[], None], timeout_s=60.0) -> dict:
        """The node's status once it fulfils the condition."""
        due_s = time.monotonic()

        def fulfilled():
            nonlocal due_s
            if time.monotonic() >= due_s:
                due_s = time.monotonic() + self.period_s
                send()
            status = self.diagnostics.get(self.name)
            return status if status and condition(status) else None

        return self.graph.spin_until(fulfilled, timeout_s, what)

    def until_said(self, level: int, text: str, send: Callable[[], None] = lambda: None) -> dict:
        """A busy machine may drop input as well, which is a warning."""

        def said(status: dict) -> bool:
            wanted = max(level, WARN) if " dropped: " in status["message"] else level
            return text in status["message"] and status["level"] == wanted

        return self.until(said, f"'{text}' at level {level}", send)


def test_pose_node_says_what_is_wrong_with_its_input(graph):
    from rclpy.qos import QoSProfile, ReliabilityPolicy
    from sensor_msgs.msg import JointState
    from tf2_msgs.msg import TFMessage

    node = graph.start("pose_node", QUICK)
    joint_states = graph.collect(JointState, "joint_states")
    transforms = graph.collect(TFMessage, "/tf", 100)
    graph.bring_up("pose_node")
    best_effort = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
    feed = Keypoints(graph, "pose_node", best_effort)
    feed.until_said(ERROR, "a publisher of /keypoints offers another reliability", feed.send)
    graph.node.destroy_publisher(feed.publisher)
    feed.until_said(ERROR, "nobody publishes /keypoints; start keypoint_node")
    feed.publisher = graph.node.create_publisher(feed.type, "keypoints", 10)

    status = feed.until_said(OK, "nobody in view for", lambda: feed.send(confidence=0.0))
    assert int(status["without_person"]) > 0

    status = feed.until_said(ERROR, "2.0 h ahead of the clock", lambda: feed.send(time.time_ns() + 7200 * 10**9))
    assert int(status["refused"]) > 0 and not joint_states and not transforms
    assert graph.set_parameter("pose_node", "max_stamp_offset", 0.0).successful
    feed.until(lambda s: int(s["poses"]) > 0, "poses", lambda: feed.send(time.time_ns() + 7200 * 10**9))
    assert joint_states and transforms
    assert graph.set_parameter("pose_node", "max_stamp_offset", 60.0).successful

    feed.until(lambda s: "2.0 h" not in s["message"], "that the refusal is over", feed.send)
    joint_states.clear()
    feed.until_said(WARN, "the keypoints have no stamps", lambda: feed.send(0))
    feed.until(lambda s: len(joint_states) > 5, "poses without stamps", lambda: feed.send(0))
    stamps_s = [s.header.stamp.sec + 1e-9 * s.header.stamp.nanosec for s in joint_states]
    assert abs(stamps_s[-1] - time.time()) < 30.0 and np.diff(stamps_s).min() > 0
    assert node.log.count("the keypoints have no stamps") == 1

    assert graph.set_parameter("pose_node", "steps", 300).successful
    status = feed.until_said(WARN, "budget_ms is 0, so that no step is given up: lower steps (300)", feed.send)
    assert "% of the keypoints of the last 5 s dropped: a pose takes" in status["message"]
    assert graph.set_parameter("pose_node", "steps", 1).successful
    feed.period_s = 0.25  # a machine with other work keeps up with that, too
    feed.until(lambda s: "dropped:" not in s["message"], "that it keeps up again", feed.send)
    feed.period_s = PERIOD_S
    assert node.log.count("budget_ms is 0") == 1

    other = graph.node.create_publisher(JointState, "joint_states", 10)
    feed.until_said(WARN, "/joint_states is published by /test_observer, too", feed.send)
    graph.node.destroy_publisher(other)
    second = Keypoints(graph, "pose_node")

    def both():
        feed.send()
        second.send()

    feed.until_said(WARN, "2 publishers of /keypoints (/test_observer, /test_observer)", both)
    assert "Traceback" not in node.log


def test_keypoint_node_finds_the_transport_and_names_a_wrong_type(graph, repo_root):
    from diffmocap_msgs.msg import Keypoints2D
    from rclpy.qos import qos_profile_sensor_data
    from sensor_msgs.msg import CompressedImage, PointCloud2

    node = graph.start("keypoint_node", {}, "-r", "image_raw:=/cam")
    keypoints = graph.collect(Keypoints2D, "keypoints")
    diagnostics = graph.diagnostics()
    cloud = graph.node.create_publisher(PointCloud2, "/cam", qos_profile_sensor_data)
    graph.bring_up("keypoint_node")
    text = "/cam has the type sensor_msgs/msg/PointCloud2 (from /test_observer), and sensor_msgs/msg/Image is expected"
    graph.spin_until(lambda: text in diagnostics.get("keypoint_node", {}).get("message", ""), 30.0, "the wrong type")
    assert diagnostics["keypoint_node"]["level"] == ERROR
    graph.node.destroy_publisher(cloud)

    # A topic of compressed images under the name itself, without stamps.
    ok, image = cv2.VideoCapture(str(repo_root / "media" / "demo.mp4")).read()
    jpeg = CompressedImage(format="jpeg", data=array("B", cv2.imencode(".jpg", image)[1].tobytes()))
    publisher = graph.node.create_publisher(CompressedImage, "/cam", qos_profile_sensor_data)
    graph.spin_until(lambda: publisher.get_subscription_count() == 1, 60.0, "the subscription")

    def seen():
        publisher.publish(jpeg)
        graph.spin_for(PERIOD_S)
        return len(keypoints) > 3

    graph.spin_until(seen, 60.0, "keypoints")
    assert ok and sum(keypoints[-1].confidence > 0) > 15
    assert abs(keypoints[-1].header.stamp.sec - time.time()) < 30.0
    assert node.log.count("the images have no stamps") == 1
    assert "images are at /cam (sensor_msgs/msg/CompressedImage)" in node.log

    # The driver goes, and another one brings raw images.
    from sensor_msgs.msg import Image

    from diffmocap.nodes.images.image_messages import image_to_message

    graph.node.destroy_publisher(publisher)
    raw = graph.node.create_publisher(Image, "/cam", qos_profile_sensor_data)
    graph.spin_until(lambda: raw.get_subscription_count() == 1, 60.0, "the subscription to raw images")
    keypoints.clear()
    raw_seen = image_to_message(image, time.time_ns(), "other_camera")

    def seen_again():
        raw.publish(raw_seen)
        graph.spin_for(PERIOD_S)
        return any(k.header.frame_id == "other_camera" for k in keypoints)

    graph.spin_until(seen_again, 60.0, "keypoints of raw images")
    assert "Traceback" not in node.log


def test_a_simulated_time_that_is_missing_is_said(graph):
    from rosgraph_msgs.msg import Clock
    from sensor_msgs.msg import JointState

    node = graph.start("pose_node", QUICK | {"use_sim_time": True})
    joint_states = graph.collect(JointState, "joint_states")
    graph.bring_up("pose_node")
    feed = Keypoints(graph, "pose_node")
    feed.until_said(ERROR, "no time has come on /clock", feed.send)
    assert not joint_states
    # A bag of another year, whose player tells the time 40 times a second.
    publisher = graph.node.create_publisher(Clock, "/clock", 10)
    began_s, start_ns, told_s = time.monotonic(), 1_600_000_000 * 10**9, []

    def now_ns() -> int:
        return start_ns + round(1e9 * (time.monotonic() - began_s))

    def tell():
        message = Clock()
        message.clock.sec, message.clock.nanosec = divmod(now_ns(), 10**9)
        publisher.publish(message)
        told_s.append(time.monotonic())

    graph.node.create_timer(0.025, tell)
    status = feed.until(
        lambda s: int(s["poses"]) > 5 and "on /clock" not in s["message"] and "clock_period_ms" in s,
        "poses on the simulated time",
        lambda: feed.send(now_ns()),
    )
    assert joint_states[-1].header.stamp.sec < 1_600_001_000
    period_ms = 1e3 * (told_s[-1] - told_s[0]) / (len(told_s) - 1)  # more than 25 on a busy machine
    assert 0.3 * period_ms < float(status["clock_period_ms"]) < 3.0 * period_ms
    assert node.log.count("no time has come on /clock:") <= 2 and "Traceback" not in node.log
