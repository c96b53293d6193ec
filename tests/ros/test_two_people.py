"""Two people's graphs and a robot in one ROS domain: nobody hears, names or places what is another's."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np

from diffmocap.graph import description


def keypoints(seen: float, frame: str):
    """Somebody's keypoints, spread over the image."""
    from diffmocap_msgs.msg import Keypoints2D

    message = Keypoints2D(width=640, height=480)
    message.header.frame_id, message.header.stamp.sec = frame, int(time.time())
    message.points = (np.random.default_rng(0).random(50) * 300 + 100).astype(np.float32)
    message.confidence = np.full(25, seen, np.float32)
    return message


def test_two_graphs_and_a_robot_share_a_domain(graph, tmp_path: Path) -> None:
    from rclpy.qos import DurabilityPolicy, QoSProfile
    from sensor_msgs.msg import JointState
    from tf2_msgs.msg import TFMessage

    from diffmocap.cli.supervisor import Supervisor

    latched = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    moving, static = graph.collect(TFMessage, "/tf", 100), graph.collect(TFMessage, "/tf_static", latched)
    states = {name: graph.collect(JointState, f"{name}/joint_states") for name in ("/alice", "/bob")}
    robots = graph.collect(JointState, "/joint_states")
    webcam = description.webcam()
    webcam = replace(webcam, nodes=tuple(node for node in webcam.nodes if node.name == "pose_node"))
    feeds = {}
    with ExitStack() as both:
        for name, links in (("alice", True), ("bob", False)):
            given = {"namespace": name, "frame_prefix": f"{name}/", "publish_link_tf": links}
            parameters = {"pose_node": {"budget_ms": 0.0, "physics": False, "gate": False}}
            supervisor = both.enter_context(Supervisor(webcam, given, tmp_path / name, parameters))
            feeds[name] = (supervisor, graph.node.create_publisher(type(keypoints(0.0, "")), f"/{name}/keypoints", 10))
        for supervisor, _ in feeds.values():
            supervisor.bring_up(timeout_s=120.0)
        for name, (_, publisher) in feeds.items():
            graph.spin_until(publisher.get_subscription_count, 30.0, f"discovery of {name}")
            publisher.publish(keypoints(1.0, f"{name}/camera_optical_frame"))
            graph.spin_until(lambda name=name: states[f"/{name}"], 30.0, f"joint states of {name}")
        graph.spin_until(lambda: len(moving) >= 2 and len(static) >= 2, 30.0, "the frames of both")
        topics = {name for name, _ in graph.node.get_topic_names_and_types()}

    parents: dict[str, set[str]] = {}
    for transform in (t for message in (*moving, *static) for t in message.transforms):
        parents.setdefault(transform.child_frame_id, set()).add(transform.header.frame_id)
    assert all(len(above) == 1 for above in parents.values()), "a frame has two parents"
    frames = {name: {f for f in parents.keys() | set.union(*parents.values()) if f.startswith(f"{name}/")}
              for name in feeds}  # fmt: skip
    assert frames["alice"] | frames["bob"] == parents.keys() | set.union(*parents.values()), "all frames are someone's"
    assert len(frames["alice"]) == 3 + 1 + 70 and len(frames["bob"]) == 3 + 1
    for name in feeds:
        assert parents[f"{name}/human"] == {f"{name}/camera_optical_frame"}, "from map to the body there is one tree"
        assert parents[f"{name}/camera_optical_frame"] == {f"{name}/camera_link"}
        assert parents[f"{name}/camera_link"] == {f"{name}/map"}
        assert {f"/{name}/joint_states", f"/{name}/robot_description", f"/{name}/body_pose"} <= topics
        assert len(states[f"/{name}"]) == 1, "each hears its own keypoints alone"
    assert not robots and "/robot_description" not in topics
