"""hri_node over DDS: what a listener of REP-155 gets of a person, and that it goes with them."""

from __future__ import annotations

import json
import math
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2: run `make test`, or source a ROS 2 install")
pytest.importorskip("hri_msgs", reason="needs hri_msgs: run `make test`, or install ros-<distro>-hri-msgs")

from diffmocap.nodes.hri.rep155 import joint_names  # noqa: E402
from tests.robots.standing_person import Person  # noqa: E402

OPTICAL_FROM_WORLD = np.array([[0.0, -1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]])


class Seen:
    """Publishes a person's pose and keypoints, and listens as ROS4HRI's libraries do."""

    def __init__(self, graph) -> None:
        from diffmocap_msgs.msg import BodyPose, Keypoints2D
        from hri_msgs.msg import IdsList
        from tf2_msgs.msg import TFMessage

        self.graph, self.person = graph, Person()
        self.poses = graph.node.create_publisher(BodyPose, "body_pose", 10)
        self.keypoints = graph.node.create_publisher(Keypoints2D, "keypoints", 10)
        self.ids = graph.collect(IdsList, "/humans/bodies/tracked")
        self.tf = graph.collect(TFMessage, "/tf")
        self.got: dict[str, list] = {}
        self.stamp_ns = 1_000_000_000

    def listen(self, body: str) -> None:
        from hri_msgs.msg import NormalizedRegionOfInterest2D, Skeleton2D
        from rclpy.qos import DurabilityPolicy, QoSProfile
        from sensor_msgs.msg import JointState
        from std_msgs.msg import String

        place = f"/humans/bodies/{body}"
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self.got = {
            "joints": self.graph.collect(JointState, f"{place}/joint_states"),
            "skeleton": self.graph.collect(Skeleton2D, f"{place}/skeleton2d"),
            "roi": self.graph.collect(NormalizedRegionOfInterest2D, f"{place}/roi"),
            "urdf": self.graph.collect(String, f"/human_description_{body}", latched),
        }

    def show(self, state: int = 2, track_id: int = 1) -> None:
        from diffmocap_msgs.msg import BodyPose, Keypoints2D
        from geometry_msgs.msg import Point, Quaternion
        from scipy.spatial.transform import Rotation

        self.stamp_ns += 33_000_000
        turns = {"left_elbow": (0.0, -1.0, 0.0)}
        local, frame = self.person.local(turns), self.person.frame(turns, yaw=math.pi)
        local[0] = OPTICAL_FROM_WORLD @ frame.rotations[0]
        joints = frame.positions @ OPTICAL_FROM_WORLD.T + [0.0, 1.0, 3.0]
        message = BodyPose(
            tracking_state=state, track_id=track_id, height=self.person.height, confidence=0.9,
            rotations=[Quaternion(x=x, y=y, z=z, w=w) for x, y, z, w in Rotation.from_matrix(local).as_quat().tolist()],
            joint_positions=[Point(x=x, y=y, z=z) for x, y, z in joints.tolist()],
        )  # fmt: skip
        points = np.array([[20.0 * n, 10.0 * n] for n in range(25)], np.float32)
        points[3] = (-50.0, 100.0)  # outside of the image
        seen = Keypoints2D(width=640, height=480, points=points.reshape(50), confidence=np.full(25, 0.75, np.float32))
        for message_, publisher in ((message, self.poses), (seen, self.keypoints)):
            message_.header.stamp.sec, message_.header.stamp.nanosec = divmod(self.stamp_ns, 10**9)
            message_.header.frame_id = "camera_optical_frame"
            publisher.publish(message_)
        self.graph.spin_for(0.02)
        self.hips = joints[[1, 2]].mean(0)

    def until(self, condition) -> None:
        def shown():
            self.show()
            return condition()

        self.graph.spin_until(shown, 30.0, "what is listened for")

    @property
    def now(self) -> list[str]:
        return list(self.ids[-1].ids) if self.ids else []


def test_a_person_is_a_body_of_rep_155(graph) -> None:
    from rcl_interfaces.srv import GetParameters

    node = graph.start("hri_node")
    seen = Seen(graph)
    seen.until(lambda: seen.now)
    (body,) = seen.now
    assert re.fullmatch("[a-z]{5}", body)
    seen.listen(body)
    seen.until(lambda: all(seen.got.values()))

    joints = seen.got["joints"][-1]
    assert list(joints.name) == joint_names(body)
    angles = dict(zip(joints.name, joints.position, strict=True))
    assert angles[f"l_elbow_{body}"] == pytest.approx(1.0, abs=0.15) and angles[f"r_elbow_{body}"] < 0.2
    root = ElementTree.fromstring(seen.got["urdf"][-1].data)
    assert {f"body_{body}", f"head_{body}", f"l_wrist_{body}"} <= {link.get("name") for link in root.findall("link")}
    request = GetParameters.Request(names=[f"human_description_{body}"])
    answer = graph.call(GetParameters, "hri_node/get_parameters", request)
    assert answer.values[0].string_value == seen.got["urdf"][-1].data

    skeleton = seen.got["skeleton"][-1].skeleton
    assert (skeleton[0].x, skeleton[0].y) == (0.0, 0.0) and skeleton[0].c == 0.75
    right_wrist, left_ear = skeleton[4], skeleton[16]
    assert right_wrist.x == pytest.approx(80 / 640) and left_ear.y == pytest.approx(180 / 480)
    assert skeleton[3].c == 0.0, "outside of the image"
    roi = seen.got["roi"][-1]
    assert (roi.xmin, roi.ymin) == (0.0, 0.0) and roi.xmax == pytest.approx(480 / 640)
    assert roi.c == pytest.approx(0.9) and roi.header.frame_id == "camera_optical_frame"

    transform = seen.tf[-1].transforms[0]
    assert transform.header.frame_id == "camera_optical_frame" and transform.child_frame_id == f"body_{body}"
    t = transform.transform.translation
    assert np.allclose((t.x, t.y, t.z), seen.hips, atol=1e-6)

    # What pyhri, the Python library of ROS4HRI, told of this body when it listened to this node.
    view = json.loads((Path(__file__).parents[1] / "data/pyhri_view.json").read_text())
    assert view["frame"].replace("<id>", body) == transform.child_frame_id
    assert view["ns"].replace("<id>", body) == f"/humans/bodies/{body}"
    assert view["source"] == transform.header.frame_id
    assert np.allclose(view["skeleton2d"], [(p.x, p.y, p.c) for p in skeleton])
    assert np.allclose(view["roi"], (roi.xmin, roi.ymin, roi.xmax, roi.ymax, roi.c))
    q = transform.transform.rotation
    assert np.allclose(view["translation"], (t.x, t.y, t.z), atol=1e-6)
    assert abs(np.dot(view["rotation"], (q.x, q.y, q.z, q.w))) == pytest.approx(1.0)

    # Another track is another body; a lost one is none.
    seen.show(track_id=2)
    graph.spin_until(lambda: seen.show(track_id=2) or seen.now not in ([], [body]), 30.0, "another body")
    seen.show(state=4, track_id=2)
    graph.spin_until(lambda: not seen.now, 30.0, "nobody")
    seen.until(lambda: seen.now)
    graph.spin_until(lambda: not seen.now, 30.0, "silence")
    assert node.end() == 0, node.log
