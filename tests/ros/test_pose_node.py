"""pose_node as a process of its own: keypoints go in over DDS, poses come out."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import numpy as np
import pytest
import roma
import torch

from diffmocap.body.joint_angles import JOINT_ANGLE_NAMES, rotations_from_angles
from diffmocap.body.model import BodyModel
from diffmocap.body.skeleton import JOINT_NAMES, KEYPOINT_NAMES
from diffmocap.camera.projection import project
from diffmocap.lifting.network.denoiser import DenoiserConfig, TransformerDenoiser
from diffmocap.lifting.network.weights import save_weights
from diffmocap.types import CameraIntrinsics

STEP_NS = 33_000_000
INTRINSICS = CameraIntrinsics.from_fov(640, 480)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained network: it poses nobody sensibly, but what the node does with it is the same."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "untrained.safetensors"
    save_weights(TransformerDenoiser(DenoiserConfig()), path)
    return path


@pytest.fixture(scope="module")
def standing_px() -> np.ndarray:
    """[25, 2] keypoints of a body that stands 3 m before the camera and faces it."""
    rotations = torch.eye(3).repeat(1, 24, 1, 1)
    rotations[:, 0] = torch.diag(torch.tensor([1.0, -1.0, -1.0]))
    points = BodyModel.load().keypoints(rotations, torch.tensor([[0.0, 0.0, 3.0]]))
    return project(points, torch.tensor(INTRINSICS.matrix).float())[0].numpy()


class Feed:
    """Publishes keypoints and collects all that pose_node says."""

    def __init__(self, graph, points_px: np.ndarray) -> None:
        from diffmocap_msgs.msg import BodyPose, Keypoints2D
        from sensor_msgs.msg import CameraInfo, JointState
        from std_msgs.msg import Header
        from tf2_msgs.msg import TFMessage

        self.graph, self.points_px = graph, points_px
        self.keypoints = graph.node.create_publisher(Keypoints2D, "keypoints", 10)
        self.camera_info = graph.node.create_publisher(CameraInfo, "camera_info", 10)
        self.joint_states = graph.collect(JointState, "joint_states")
        self.body_poses = graph.collect(BodyPose, "body_pose")
        self.transforms = graph.collect(TFMessage, "/tf", 100)
        self.processed = graph.collect(Header, "processed", 100)
        self.stamp_ns = time.time_ns()

    def connect(self) -> None:
        node = self.graph.node
        self.graph.spin_until(
            lambda: self.keypoints.get_subscription_count() and node.count_publishers("processed"), 20.0, "discovery"
        )
        self.graph.spin_for(0.3)

    def message(self, points_px: np.ndarray | None = None, confidence: float = 1.0):
        from diffmocap_msgs.msg import Keypoints2D

        self.stamp_ns += STEP_NS
        made = Keypoints2D(width=640, height=480)
        made.header.frame_id = "some_optical_frame"
        made.header.stamp.sec, made.header.stamp.nanosec = divmod(self.stamp_ns, 10**9)
        made.points = (self.points_px if points_px is None else points_px).astype(np.float32).flatten()
        made.confidence = np.full(25, confidence, np.float32)
        return made

    def send(self, message=None):
        """Sends keypoints and waits until the node has acknowledged them."""
        message = message or self.message()
        self.keypoints.publish(message)
        self.graph.spin_until(
            lambda: self.processed and self.processed[-1].stamp == message.header.stamp, 20.0, "the acknowledgement"
        )
        return message

    def pose(self, message=None):
        """Sends keypoints that show somebody; returns joint states and body pose of them."""
        sent = self.send(message)

        def of_it(messages):  # the state of the track may have been told after it
            return next((m for m in reversed(messages) if m.header.stamp == sent.header.stamp), None)

        self.graph.spin_until(
            lambda: of_it(self.joint_states) and of_it(self.body_poses), 10.0, "joint states and body pose"
        )
        return of_it(self.joint_states), of_it(self.body_poses)


@pytest.fixture
def active(graph, weights, standing_px):
    """An active pose_node with a feed; its process as ``feed.process``."""

    def made(**parameters) -> Feed:
        # On a busy machine keypoints come late, and an untrained network poses nobody.
        given = {
            "weights": str(weights),
            "budget_ms": 0.0,
            "gate": False,
            "max_gap": 30.0,
            "predict_time": 0.0,
            **parameters,
        }
        process = graph.start("pose_node", given)
        feed = Feed(graph, standing_px)
        feed.process = process
        graph.bring_up("pose_node")
        feed.connect()
        return feed

    return made


def rotation(quaternion) -> torch.Tensor:
    xyzw = torch.tensor([quaternion.x, quaternion.y, quaternion.z, quaternion.w])
    return roma.unitquat_to_rotmat(xyzw.double())


def test_keypoints_become_joint_states_body_pose_transform_and_markers(graph, active) -> None:
    from rclpy.qos import DurabilityPolicy, QoSProfile
    from std_msgs.msg import String
    from visualization_msgs.msg import MarkerArray

    feed = active(hypotheses=3, markers_rate=100.0, physics=False, frame_prefix="alice/", publish_link_tf=True)
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    descriptions = graph.collect(String, "robot_description", latched)
    first, _ = feed.pose()
    joint_state, body_pose = feed.pose()

    assert list(joint_state.name) == list(JOINT_ANGLE_NAMES)
    assert len(joint_state.position) == len(joint_state.velocity) == 69
    assert joint_state.header.frame_id == body_pose.header.frame_id == "some_optical_frame"
    step = (np.array(joint_state.position) - np.array(first.position)) / (STEP_NS * 1e-9)
    mean = 0.5 * (np.array(joint_state.velocity) + np.array(first.velocity))
    assert np.allclose(mean, step, atol=1e-4), "positions and velocities are of one trajectory, by the stamps"

    # The three outputs describe one body.
    locals_ = torch.stack([rotation(q) for q in body_pose.rotations])
    from_angles = rotations_from_angles(torch.tensor(list(joint_state.position), dtype=torch.float64))
    assert roma.rotmat_geodesic_distance(from_angles, locals_[1:]).max() < 1e-3
    graph.spin_until(lambda: feed.transforms[-1].transforms[0].header.stamp == body_pose.header.stamp, 10.0, "/tf")
    transform, *limbs = feed.transforms[-1].transforms
    assert (transform.header.frame_id, transform.child_frame_id) == ("some_optical_frame", "alice/human")
    assert all(limb.header.stamp == body_pose.header.stamp for limb in limbs)
    places = {"some_optical_frame": (torch.eye(3).double(), torch.zeros(3).double())}
    for step in (transform, *limbs):
        assert step.child_frame_id not in places, "a frame with two parents"
        t = step.transform.translation
        R, at = places[step.header.frame_id]
        turned = R @ rotation(step.transform.rotation)
        places[step.child_frame_id] = (turned, at + R @ torch.tensor([t.x, t.y, t.z]).double())
    assert len(places) == 2 + 70
    for name, joint in zip(JOINT_NAMES, body_pose.joint_positions, strict=True):
        off = places[f"alice/{name}"][1] - torch.tensor([joint.x, joint.y, joint.z])
        assert float(off.abs().max()) < 2e-6, name
    # URDF axes in SMPL's: x forward is z, y left is x, z up is y.
    urdf = rotation(transform.transform.rotation)
    smpl = locals_[0]
    assert torch.allclose(urdf, smpl[:, [2, 0, 1]], atol=1e-6)
    p, t = body_pose.root_pose.position, transform.transform.translation
    pelvis = body_pose.joint_positions[body_pose.PELVIS]
    assert (p.x, p.y, p.z) == (t.x, t.y, t.z) == (pelvis.x, pelvis.y, pelvis.z)
    joints = np.array([[q.x, q.y, q.z] for q in body_pose.joint_positions])
    expected = BodyModel.load().forward_kinematics(locals_.float()[None], torch.tensor([[p.x, p.y, p.z]]))[1][0]
    assert np.allclose(joints, expected.numpy(), atol=1e-4)
    covariance = np.array(body_pose.rotation_covariance).reshape(24, 3, 3)
    assert (np.linalg.eigvalsh(covariance) > 0).all()

    graph.spin_until(lambda: descriptions, 10.0, "robot_description")
    assert descriptions[0].data.count('type="revolute"') == 69
    assert "file:///" in descriptions[0].data or "package://diffmocap/" in descriptions[0].data

    arrays = graph.collect(MarkerArray, "markers")
    graph.spin_until(lambda: feed.pose() and arrays, 20.0, "markers")
    markers = {marker.ns: marker for marker in arrays[-1].markers}
    assert len(markers["skeleton"].points) == 2 * 23
    assert len(markers["hypotheses"].points) == 3 * 2 * 23
    assert markers["skeleton"].header.frame_id == "some_optical_frame"
    assert markers["ground"].header.frame_id == "map"

    assert graph.set_parameter("pose_node", "publish_link_tf", False).successful
    feed.pose()
    graph.spin_until(lambda: len(feed.transforms[-1].transforms) == 1, 10.0, "the root's frame alone")
    assert not graph.set_parameter("pose_node", "frame_prefix", "bob/").successful, "frames do not change names"
    assert feed.process.end(signal.SIGINT) == 0


def test_covariances_are_told_and_grow_where_an_arm_is_hidden(graph, active) -> None:
    feed = active()

    def covariances(body_pose) -> tuple[np.ndarray, np.ndarray]:
        joints = np.array(body_pose.rotation_covariance).reshape(24, 3, 3)
        return joints, np.array(body_pose.root_covariance).reshape(6, 6)

    _, seen = feed.pose()
    hidden = feed.message()
    for name in ("RElbow", "RWrist"):
        hidden.confidence[KEYPOINT_NAMES.index(name)] = 0.0
    _, unseen = feed.pose(hidden)
    assert graph.set_parameter("pose_node", "hypotheses", 4).successful
    _, several = feed.pose()
    for body_pose in (seen, unseen, several):
        for matrices in covariances(body_pose):
            assert np.allclose(matrices, np.swapaxes(matrices, -1, -2), atol=0.0)
            assert (np.linalg.eigvalsh(matrices) > 0).all()
    before, after = (np.trace(covariances(p)[0], axis1=1, axis2=2) for p in (seen, unseen))
    assert after[seen.RIGHT_SHOULDER] > 1.1 * before[seen.RIGHT_SHOULDER]
    # The joint's axes turned into the optical frame's.
    rotation_covariance, root_covariance = covariances(seen)
    R = rotation(seen.rotations[0]).numpy()
    assert np.allclose(root_covariance[3:, 3:], R @ rotation_covariance[0] @ R.T, atol=1e-6)
    sight = np.array([getattr(seen.root_pose.position, axis) for axis in "xyz"])
    _, axes = np.linalg.eigh(root_covariance[:3, :3])
    assert abs(axes[:, -1] @ sight) > 0.99 * np.linalg.norm(sight), "depth is the least certain"


def test_a_jump_of_the_person_starts_a_new_track_and_is_counted(graph, active) -> None:
    # An untrained network would lose every track that it continues.
    feed = active(warm_start=False, use_previous=False)
    diagnostics = graph.diagnostics()
    for _ in range(3):
        feed.pose()
    feed.points_px = feed.points_px * 0.3
    feed.pose()
    feed.pose()

    def counts(poses: int, reinitialised: int, tracks: int) -> bool:
        status = diagnostics.get("pose_node", {})
        wanted = {"poses": poses, "reinitialised": reinitialised, "tracks": tracks}
        return all(status.get(name) == str(value) for name, value in wanted.items())

    graph.spin_until(lambda: counts(5, 1, 2), 10.0, "the counts in the diagnostics")
    assert graph.set_parameter("pose_node", "tracking", False).successful
    feed.points_px = feed.points_px * 3.0
    feed.pose()
    graph.spin_until(lambda: counts(6, 1, 2), 10.0, "a pose without a new start")


def test_silence_is_told_as_lost_and_no_old_pose_is_published(graph, active) -> None:
    from diffmocap_msgs.msg import Keypoints2D

    feed = active(physics=False, max_gap=3.0, gate=True, weights="")
    diagnostics = graph.diagnostics()
    _, pose = [feed.pose() for _ in range(5)][-1]
    assert (pose.tracking_state, pose.track_id) == (pose.TRACKED, 1) and 0.88 < pose.confidence <= 1.0
    assert all(pose.observed[joint] for joint in (pose.LEFT_KNEE, pose.SPINE2, pose.HEAD))
    assert 1.5 < pose.height < 2.0 and not np.any(pose.betas)
    states = [m.tracking_state for m in feed.body_poses]
    first = feed.body_poses[states.index(pose.TRACKED)]
    assert first.events == pose.EVENT_STARTED and pose.events == 0
    assert set(states[: states.index(pose.TRACKED)]) <= {pose.SEARCHING}

    graph.node.destroy_publisher(feed.keypoints)
    told, poses = len(feed.body_poses), len(feed.joint_states)
    graph.spin_until(lambda: len(feed.body_poses) >= told + 3, 10.0, "what becomes of the track")
    lost, *searching = feed.body_poses[told:]
    assert (lost.tracking_state, lost.track_id, lost.confidence) == (lost.LOST, 1, 0.0)
    assert {(m.tracking_state, m.track_id) for m in searching} == {(lost.SEARCHING, 1)}
    for message in (lost, *searching):
        assert np.isnan([message.root_pose.position.x, message.rotations[3].w, message.joint_positions[7].z]).all()
        assert np.isnan(message.root_covariance).all() and not any(message.observed)
    stamps = [m.header.stamp.sec + 1e-9 * m.header.stamp.nanosec for m in feed.body_poses[told - 1 :]]
    assert np.diff(stamps).min() > 0.0
    assert len(feed.joint_states) == poses, "an old pose as a new one"
    status = graph.spin_until(
        lambda: diagnostics["pose_node"]["level"] == 2 and diagnostics["pose_node"], 10.0, "an error"
    )
    assert "no keypoints for" in status["message"]

    feed.keypoints = graph.node.create_publisher(Keypoints2D, "keypoints", 10)
    feed.stamp_ns += 20_000_000_000
    feed.connect()
    _, pose = feed.pose()
    assert (pose.tracking_state, pose.track_id, pose.events) == (pose.TRACKED, 2, pose.EVENT_STARTED)


def test_nobody_seen_and_bad_keypoints_are_acknowledged_and_counted(graph, active) -> None:
    from sensor_msgs.msg import CameraInfo

    feed = active()
    diagnostics = graph.diagnostics()
    for _ in range(3):  # nobody calibrated this camera
        feed.camera_info.publish(CameraInfo(width=640, height=480))
        graph.spin_for(0.05)
        feed.pose()
    poses = len(feed.joint_states)
    bad = feed.message()
    bad.points[7] = float("nan")
    feed.send(bad)
    no_size = feed.message()
    no_size.width = 0
    feed.send(no_size)
    feed.send(feed.message(confidence=0.0))
    assert len(feed.joint_states) == poses, "a pose out of bad keypoints"
    feed.pose()
    graph.spin_until(
        lambda: (
            diagnostics.get("pose_node", {}).get("poses") == "4"
            and diagnostics["pose_node"]["bad_keypoints"] == "2"
            and diagnostics["pose_node"]["without_person"] == "1"
        ),
        10.0,
        "the counts in the diagnostics",
    )
    assert "not finite" in feed.process.log, "the reason is in the log"
    assert feed.process.log.count("is not calibrated") == 1
    status = diagnostics["pose_node"]
    assert status["device"] == "cpu"
    assert {"lift_p50_ms", "refine_p50_ms", "capture_to_publish_p50_ms"} <= status.keys()


def test_rectified_images_are_known_by_the_topic_that_the_keypoints_come_from(graph, active) -> None:
    """What publishes keypoints subscribes to the images, whose name the graph knows."""
    from rclpy.qos import qos_profile_sensor_data
    from sensor_msgs.msg import CameraInfo, Image

    feed = active(physics=False)
    diagnostics = graph.diagnostics()
    graph.node.create_subscription(Image, "front/image_rect_color", lambda image: None, qos_profile_sensor_data)
    info = CameraInfo(width=640, height=480, distortion_model="plumb_bob", d=[-0.2, 0.1, 0.0, 0.0, 0.0])
    info.k[[0, 2, 4, 5, 8]] = 600.0, 320.0, 600.0, 240.0, 1.0
    info.p[[0, 2, 5, 6, 10]] = 450.0, 320.0, 450.0, 240.0, 1.0

    def comes_from(source: str) -> bool:
        feed.camera_info.publish(info)
        feed.pose()
        return source in diagnostics.get("pose_node", {}).get("camera", "")

    graph.spin_until(lambda: comes_from("P, of rectified images"), 20.0, "rectified images")
    assert graph.set_parameter("pose_node", "rectified", False).successful  # as `ros2 param set` sends the word false
    graph.spin_until(lambda: comes_from("K and D, of raw images"), 20.0, "raw images")


def test_parameters_change_live_and_bad_values_are_refused(graph, active) -> None:
    feed = active(min_keypoints=6)
    feed.pose()
    assert graph.set_parameter("pose_node", "hypotheses", 3).successful
    _, body_pose = feed.pose()
    assert body_pose.hypotheses == 3

    assert graph.set_parameter("pose_node", "min_keypoints", 25).successful
    poses = len(feed.joint_states)
    hidden = feed.message()
    hidden.confidence[0] = 0.0
    feed.send(hidden)
    graph.spin_for(0.2)
    assert len(feed.joint_states) == poses, "min_keypoints had no effect"

    refused = {
        "guidance": 99.0, "steps": 0, "sampler": "magic", "min_cutoff": -1.0, "switch_margin": -1.0, "device": "warp",
        "weights": "/else",
    }  # fmt: skip
    for name, value in refused.items():
        result = graph.set_parameter("pose_node", name, value)
        assert not result.successful and name in result.reason, f"{name}: {result.reason}"
    feed.pose()


def test_physics_brings_efforts_contacts_and_losses_and_is_steered_live(graph, active) -> None:
    """A person who stands still before a level camera."""
    from geometry_msgs.msg import TransformStamped
    from rclpy.qos import DurabilityPolicy, QoSProfile
    from tf2_msgs.msg import TFMessage

    feed = active(
        weights="", physics=True, refinement_frames=10, refinement_budget_ms=0.0, refinement_iterations=1,
        camera_height=0.95,
    )  # fmt: skip
    diagnostics = graph.diagnostics()
    joint_state, body_pose = [feed.pose() for _ in range(14)][-1]
    assert len(joint_state.effort) == 69 and np.isfinite(joint_state.effort).all() and np.any(joint_state.effort)
    assert np.isfinite(joint_state.velocity).all() and np.abs(joint_state.velocity).max() < 5.0
    assert 0.0 <= body_pose.loss_after <= body_pose.loss_before < 1e6
    assert len(body_pose.contacts) == len(set(body_pose.contacts)) > 0

    status = graph.spin_until(
        lambda: diagnostics.get("pose_node", {}).get("ground") and diagnostics["pose_node"], 10.0, "the ground"
    )
    assert status["ground"] == "camera height and pitch given" and status["physics"] == "on"
    assert int(status["refined"]) > 0 and "refine_p50_ms" in status

    for name, value in (("refinement_lag", 10), ("physics_weights.slip", -1.0), ("ground_from", "guess")):
        result = graph.set_parameter("pose_node", name, value)
        assert not result.successful, name
    for name, value in (("physics_weights.slip", 2.0), ("refinement_iterations", 0), ("refinement_lag", 3)):
        assert graph.set_parameter("pose_node", name, value).successful, name
    sent = [feed.send().header.stamp for _ in range(6)]
    graph.spin_until(lambda: feed.joint_states[-1].header.stamp == sent[-4], 10.0, "the pose of three frames before")
    assert feed.body_poses[-1].header.stamp == sent[-4]

    assert graph.set_parameter("pose_node", "physics", False).successful
    joint_state, body_pose = [feed.pose() for _ in range(2)][-1]
    assert len(joint_state.effort) == 0 and not body_pose.contacts and np.isnan(body_pose.loss_after)

    # The transform of a camera 2 m above the floor, as someone else may publish it.
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    transform = TransformStamped(child_frame_id="some_optical_frame")
    transform.header.frame_id, transform.transform.translation.z = "map", 2.0
    q = transform.transform.rotation
    q.x, q.y, q.z, q.w = -0.5, 0.5, -0.5, 0.5
    graph.node.create_publisher(TFMessage, "/tf_static", latched).publish(TFMessage(transforms=[transform]))
    for name, value in (
        ("ground_height_from_tf", True), ("ground_from", "tf"), ("refinement_lag", 0), ("physics", True)
    ):  # fmt: skip
        assert graph.set_parameter("pose_node", name, value).successful, name
    graph.spin_until(
        lambda: feed.pose() and diagnostics["pose_node"].get("ground") == "map on /tf_static", 20.0, "the ground of TF"
    )
    assert not feed.body_poses[-1].contacts, "the floor is a metre below the feet"


def test_what_cannot_be_loaded_fails_configure_and_the_node_lives(graph, weights, tmp_path) -> None:
    corrupt = tmp_path / "corrupt.safetensors"
    corrupt.write_bytes(weights.read_bytes()[:5000])
    node = graph.start("pose_node", {"weights": str(corrupt), "device": "warp"})
    faults = [
        ({}, "unknown device 'warp'"),
        ({"device": "cpu"}, "corrupt"),
        ({"weights": str(tmp_path / "missing.safetensors")}, "does not exist"),
        ({"weights": str(weights), "body_model": str(weights)}, "safetensors"),
    ]
    for change, reason in faults:
        for name, value in change.items():
            assert graph.set_parameter("pose_node", name, value).successful
        told = len(node.log)
        assert not graph.transition("pose_node", "configure"), reason
        assert graph.state("pose_node") == "unconfigured"
        assert reason in node.log[told:]
    assert graph.set_parameter("pose_node", "body_model", "").successful
    assert graph.transition("pose_node", "configure")
    assert graph.state("pose_node") == "inactive"
    if not torch.cuda.is_available():
        result = graph.set_parameter("pose_node", "device", "cuda")
        assert not result.successful and "use device 'cpu'" in result.reason
    assert node.end(signal.SIGTERM) == 0


def test_it_gives_up_steps_when_it_falls_behind_and_takes_them_back(graph, active) -> None:
    feed = active(steps=100, warm_start=False, budget_ms=50.0)
    diagnostics = graph.diagnostics()

    def status() -> dict:
        feed.send()
        return diagnostics.get("pose_node", {})

    graph.spin_until(lambda: "sampler step" in status().get("message", ""), 40.0, "the degradation")
    assert not status()["steps"].startswith("100 ")
    assert graph.set_parameter("pose_node", "steps", 1).successful
    graph.spin_until(lambda: status()["steps"] == "1 of 1", 20.0, "the recovery")
