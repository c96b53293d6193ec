"""Streams with odd stamps, slow ones, and topics of another type than was expected; over DDS where nodes are asked."""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from .case import Case
from .graph import NodeGraph

COUNT, RATE_HZ = 90, 15.0
#: The network alone, so that a busy machine keeps up with all of them.
QUICK = {"physics": False, "steps": 1, "budget_ms": 0.0, "queue_depth": 16}
_JPEG_HZ = 10.0


def _clip() -> dict[str, np.ndarray]:
    from diffmocap.resources import share_path

    return dict(np.load(share_path("media", "demo.npz")))


def _sender(graph: NodeGraph, stamp_ns: Callable[[], int]) -> Callable[[int], None]:
    """Publishes keypoints of the bundled clip with the stamps given."""
    from diffmocap_msgs.msg import Keypoints2D

    points = _clip()["keypoints2d"][..., :2].astype(np.float32)
    publisher = graph.node.create_publisher(Keypoints2D, "keypoints", 10)
    graph.spin(20.0, lambda: publisher.get_subscription_count() > 0)
    graph.spin(0.5)

    def send(i: int) -> None:
        message = Keypoints2D(width=640, height=480, points=points[2 * i % len(points)].flatten())
        message.confidence = np.ones(25, np.float32)
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns(), 10**9)
        publisher.publish(message)

    return send


def without_stamps(folder: Path) -> float:
    """Joint states of 90 keypoints whose stamps are all zero."""
    from sensor_msgs.msg import JointState

    with NodeGraph("pose_node", QUICK, folder) as graph:
        states = graph.collect(JointState, "joint_states")
        graph.play(COUNT, RATE_HZ, _sender(graph, lambda: 0))
        return float(len(states))


def from_the_future(folder: Path) -> float:
    """Transforms of 30 keypoints that are stamped two hours ahead."""
    from tf2_msgs.msg import TFMessage

    with NodeGraph("pose_node", QUICK, folder) as graph:
        transforms = graph.collect(TFMessage, "/tf")
        graph.play(30, RATE_HZ, _sender(graph, lambda: time.time_ns() + 7200 * 10**9))
        return float(len(transforms))


def without_clock(folder: Path) -> str:
    """What /diagnostics say eight seconds after a start with use_sim_time where nobody publishes /clock."""
    with NodeGraph("pose_node", QUICK | {"use_sim_time": True}, folder) as graph:
        graph.spin(8.0)
        return graph.said()


def coarse_clock(folder: Path) -> float:
    """Error of the age of joint states as the node tells it, on a simulated time that comes 40 times a second [ms]."""
    from rosgraph_msgs.msg import Clock
    from sensor_msgs.msg import JointState

    with NodeGraph("pose_node", QUICK | {"use_sim_time": True}, folder) as graph:
        states = graph.collect(JointState, "joint_states")
        publisher = graph.node.create_publisher(Clock, "/clock", 10)

        def tell() -> None:
            message = Clock()
            message.clock.sec, message.clock.nanosec = divmod(time.time_ns(), 10**9)
            publisher.publish(message)

        graph.node.create_timer(0.025, tell)
        send = _sender(graph, time.time_ns)
        graph.play(120, RATE_HZ, send)
        told_ms = float(graph.status["capture_to_publish_p50_ms"])
        ages_s = [sent_s - m.header.stamp.sec - 1e-9 * m.header.stamp.nanosec for sent_s, m in states[-60:]]
        return abs(told_ms - 1e3 * float(np.median(ages_s)))


def two_sources(folder: Path) -> str:
    """What /diagnostics say of two publishers of keypoints that both send."""
    with NodeGraph("pose_node", QUICK, folder) as graph:
        senders = [_sender(graph, time.time_ns) for _ in range(2)]

        def send(i: int) -> None:
            for one in senders:
                one(i)

        graph.play(60, RATE_HZ, send)
        return graph.said()


@cache
def _slow(rate_hz: float) -> tuple[list[Any], np.ndarray]:
    """Results of the pipeline for the bundled clip at this rate, and the true joint velocities [rad/s] between them."""
    import roma
    import torch

    from diffmocap.body.joint_angles import angles_from_rotations

    try:
        from diffmocap.pipeline.pose_pipeline import PosePipeline
    except ModuleNotFoundError:  # a checkout in which it was one file
        from diffmocap.pipeline import PosePipeline
    from diffmocap.types import CameraIntrinsics, Keypoints2D

    clip, step = _clip(), round(30.0 / rate_hz)
    points = clip["keypoints2d"][::step, :, :2].astype(np.float32)
    camera, pipeline = CameraIntrinsics.from_fov(640, 480), PosePipeline.load()
    results = [
        pipeline.step(
            Keypoints2D(np.ascontiguousarray(px), np.ones(25, np.float32), 640, 480, 10**9 + round(i * 1e9 / rate_hz)),
            camera,
        )
        for i, px in enumerate(points)
    ]
    rotations = roma.rotvec_to_rotmat(torch.tensor(clip["poses"][::step].reshape(-1, 24, 3)).double())
    angles, last = [], None
    for rotation in rotations:
        last = angles_from_rotations(rotation, last)
        angles.append(last.numpy())
    return results, np.diff(np.array(angles), axis=0) * rate_hz


def tracks(rate_hz: float, folder: Path) -> float:
    """Tracks that the images of the bundled clip at this rate became."""
    results, _ = _slow(rate_hz)
    return float(sum(r.outcome.value != "tracked" for r in results))


def speed(rate_hz: float, folder: Path) -> float:
    """Mean joint speed that was published over the true one."""
    results, truth = _slow(rate_hz)
    published = np.array([r.joint_velocities for r in results[1:]])
    return float(np.abs(published).mean() / np.abs(truth).mean())


def _images(
    folder: Path, remap: str, topic: str, kind: str = "CompressedImage", **parameters: Any
) -> tuple[float, str]:
    """Keypoints that came of the images of a topic, and what the diagnostics then say."""
    import cv2
    from diffmocap_msgs.msg import Keypoints2D
    from rclpy.qos import qos_profile_sensor_data
    from sensor_msgs.msg import CompressedImage, PointCloud2

    from diffmocap.resources import share_path

    types = {"CompressedImage": CompressedImage, "PointCloud2": PointCloud2}
    jpeg = cv2.imencode(".jpg", cv2.VideoCapture(str(share_path("media", "demo.mp4"))).read()[1])[1]
    message = types[kind]()
    if kind == "CompressedImage":
        message.format, message.data = "jpeg", array("B", jpeg.tobytes())
    with NodeGraph("keypoint_node", {"queue_depth": 16} | parameters, folder, (f"image_raw:={remap}",)) as graph:
        keypoints = graph.collect(Keypoints2D, "keypoints")
        publisher = graph.node.create_publisher(types[kind], topic, qos_profile_sensor_data)
        graph.spin(3.0, lambda: publisher.get_subscription_count() > 0)
        graph.spin(0.5)

        def send(i: int) -> None:
            message.header.stamp.sec, message.header.stamp.nanosec = divmod(time.time_ns(), 10**9)
            publisher.publish(message)

        graph.play(round(5.0 * _JPEG_HZ), _JPEG_HZ, send)
        graph.spin(2.0)
        return float(len(keypoints)), graph.said()


def compressed(remap: str, topic: str, folder: Path) -> float:
    """Keypoints of 50 compressed images with the default parameters."""
    return _images(folder, remap, topic)[0]


def wrong_type(folder: Path) -> str:
    """What is said of a topic of point clouds."""
    return _images(folder, "/cam", "/cam", "PointCloud2")[1]


def unfit_reliability(folder: Path) -> str:
    """What is said of a best-effort driver where a reliable one is asked for."""
    return _images(folder, "/cam", "/cam/compressed", image_transport="compressed", reliability="reliable")[1]


CASES = (
    Case("stamps", "all zero", f"joint states of {COUNT}", str(COUNT), without_stamps),
    Case("stamps", "two hours ahead", "transforms on /tf", "0", from_the_future),
    Case("stamps", "use_sim_time without a clock", "", "ERROR: no time on /clock", without_clock),
    Case("stamps", "simulated time 40 times a second", "ms error of the ages", "< 5", coarse_clock),
    Case("stamps", "two sources of keypoints", "", "WARN: two publishers", two_sources),
    *(Case("slow cameras", f"bundled clip at {hz:g} Hz", "tracks", "1", partial(tracks, hz)) for hz in (1.0, 2.0, 5.0)),
    *(
        Case("slow cameras", f"joint speed at {hz:g} Hz", "of the true one", "about 1", partial(speed, hz))
        for hz in (1.0, 2.0, 5.0)
    ),
    Case(
        "topics of another type", "compressed images on image_topic itself", "keypoints of 50", "50",
        partial(compressed, "/cam", "/cam"),
    ),
    Case(
        "topics of another type", "compressed images beside image_topic", "keypoints of 50", "50",
        partial(compressed, "/cam", "/cam/compressed"),
    ),
    Case(
        "topics of another type", "image_topic ends in /compressed", "keypoints of 50", "50",
        partial(compressed, "/cam/compressed", "/cam/compressed"),
    ),
    Case("topics of another type", "point clouds on image_topic", "", "ERROR: the type is named", wrong_type),
    Case(
        "topics of another type", "best-effort driver, reliability: reliable", "", "ERROR: reliability is named",
        unfit_reliability,
    ),
)  # fmt: skip
