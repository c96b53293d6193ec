"""keypoint_node as a process: images in, keypoints with their stamps out, bad images survived."""

from __future__ import annotations

import signal
from array import array
from itertools import count

import cv2
import numpy as np
import pytest

from tests.demo_frames import EXCERPT_FRAMES, PERSON_FRAME


def stamped(message, sec: int, frame_id: str = "optical"):
    message.header.stamp.sec, message.header.frame_id = sec, frame_id
    return message


def by_stamp(keypoints) -> dict:
    return {message.header.stamp.sec: message for message in keypoints}


def test_images_in_keypoints_out(graph, person, repo_root):
    from diffmocap_msgs.msg import Keypoints2D
    from rclpy.qos import qos_profile_sensor_data
    from sensor_msgs.msg import Image

    from diffmocap.nodes.images.image_messages import image_to_message

    node = graph.start("keypoint_node", {"queue_depth": 8})
    keypoints = graph.collect(Keypoints2D, "keypoints")
    annotated = graph.collect(Image, "annotated_image", qos_profile_sensor_data)
    diagnostics = graph.diagnostics()
    publisher = graph.node.create_publisher(Image, "image_raw", qos_profile_sensor_data)
    graph.bring_up("keypoint_node")
    graph.spin_until(lambda: publisher.get_subscription_count() == 1, 60.0, "the subscription")

    def send(sec, image=person, **changes):
        message = stamped(image_to_message(image, 0, ""), sec)
        for field, value in changes.items():
            setattr(message, field, value)
        publisher.publish(message)

    def wait_for(sec):
        graph.spin_until(lambda: sec in by_stamp(keypoints), 20.0, f"keypoints of stamp {sec}")
        return by_stamp(keypoints)[sec]

    graph.spin_for(0.5)
    send(1)
    first = wait_for(1)
    assert (first.width, first.height, first.header.frame_id) == (640, 480, "optical")
    assert sum(first.confidence > 0) == 23
    with np.load(repo_root / "media" / "demo.npz") as truth:  # the right wrist
        assert np.linalg.norm(first.points[8:10] - truth["keypoints2d"][PERSON_FRAME, 4]) < 15

    # Bad ones between good ones.
    send(2, width=0, height=0, step=0, data=array("B"))
    send(3, encoding="32FC1")
    send(4, step=5)
    send(5)
    assert sum(wait_for(5).confidence > 0) == 23
    send(6, np.full((480, 640, 3), 127, np.uint8))
    nobody = wait_for(6)
    assert not nobody.confidence.any() and not nobody.points.any() and nobody.width == 640
    assert {2, 3, 4}.isdisjoint(by_stamp(keypoints))
    assert "the image has no pixels: 0 x 0" in node.log and "Traceback" not in node.log
    assert len(node.log.splitlines()) < 6, node.log  # throttled
    graph.spin_until(lambda: diagnostics.get("keypoint_node", {}).get("images") == "3", 60.0, "the diagnostics")
    status = diagnostics["keypoint_node"]
    assert (status["bad_images"], status["without_person"], status["dropped"]) == ("3", "1", "0")
    assert float(status["detect_p50_ms"]) > 0 and "keypoints_hz" in status and status["device"] == "cpu"

    # Live parameters.
    assert not annotated
    assert graph.set_parameter("keypoint_node", "annotated_image", True).successful
    assert graph.set_parameter("keypoint_node", "min_visibility", 0.99).successful
    refused = graph.set_parameter("keypoint_node", "min_visibility", 2)
    assert not refused.successful
    send(7)
    assert 0 < sum(wait_for(7).confidence > 0) < 23
    graph.spin_until(lambda: annotated, 60.0, "the annotated image")
    assert annotated[0].header.stamp.sec == 7 and annotated[0].width == 640
    assert (np.frombuffer(annotated[0].data, np.uint8).reshape(480, 640, 3) != person).any()

    # Inactive it is silent; active again it works again.
    assert graph.transition("keypoint_node", "deactivate")
    graph.spin_until(lambda: publisher.get_subscription_count() == 0, 60.0, "the subscription to end")
    send(8)
    assert graph.transition("keypoint_node", "activate")
    graph.spin_until(lambda: publisher.get_subscription_count() == 1, 60.0, "the subscription")

    def answered():  # until the node knows of the publisher, what it sends is lost
        send(9)
        graph.spin_for(0.2)
        return 9 in by_stamp(keypoints)

    graph.spin_until(answered, 60.0, "keypoints of stamp 9")
    assert 8 not in by_stamp(keypoints)

    # One image in five does not come: stamps of 30 Hz say so, on /diagnostics and once in the log.
    small, numbers = image_to_message(np.full((48, 64, 3), 127, np.uint8), 0, ""), count()

    def told_while_images_come():
        if (number := next(numbers)) % 5 != 3:
            small.header.stamp.sec, small.header.stamp.nanosec = 10 + number // 30, number % 30 * 10**9 // 30
            publisher.publish(small)
        status = diagnostics["keypoint_node"]
        return status["level"] == 1 and "are missing by their stamps" in status["message"]

    graph.spin_until(told_while_images_come, 30.0, "the warning of missing images")
    status = diagnostics["keypoint_node"]
    assert int(status["missing"]) >= 3
    assert status["reliability"] == "best_effort", "as its publisher offers it"
    assert node.log.count("are missing by their stamps") == 1
    assert node.end(signal.SIGTERM) == 0
    assert "Traceback" not in node.log


@pytest.mark.parametrize("topic", ["/usb_cam/image_raw", "/usb_cam/image_raw/compressed"])
def test_compressed_images_on_another_topic(graph, person, topic):
    from diffmocap_msgs.msg import Keypoints2D
    from rclpy.qos import qos_profile_sensor_data
    from sensor_msgs.msg import CompressedImage

    node = graph.start("keypoint_node", {"image_transport": "compressed"}, "-r", f"image_raw:={topic}")
    keypoints = graph.collect(Keypoints2D, "keypoints")
    publisher = graph.node.create_publisher(CompressedImage, "/usb_cam/image_raw/compressed", qos_profile_sensor_data)
    graph.bring_up("keypoint_node")
    graph.spin_until(lambda: publisher.get_subscription_count() == 1, 60.0, "the subscription")
    jpeg = array("B", cv2.imencode(".jpg", person)[1].tobytes())

    def answered():  # until the node knows of the publisher, what it sends is lost
        publisher.publish(stamped(CompressedImage(format="jpeg", data=jpeg[:100]), 1))
        publisher.publish(stamped(CompressedImage(format="jpeg", data=jpeg), 2))
        graph.spin_for(0.2)
        return keypoints and "cannot decode" in node.log

    graph.spin_until(answered, 60.0, "keypoints")
    assert {message.header.stamp.sec for message in keypoints} == {2}
    assert sum(keypoints[0].confidence > 0) == 23
    assert "cannot decode a compressed image of 100 bytes" in node.log
    assert node.end(signal.SIGINT) == 0


def test_mirrored_images_of_another_driver(graph, person, repo_root):
    """The person's right wrist is found where it is in the picture the right way round."""
    from diffmocap_msgs.msg import Keypoints2D
    from rclpy.qos import qos_profile_sensor_data
    from sensor_msgs.msg import CameraInfo, CompressedImage

    node = graph.start(
        "keypoint_node", {"mirror": True, "image_transport": "compressed"}, "-r", "image_raw:=/usb_cam/image_raw"
    )
    graph.bring_up("keypoint_node")
    keypoints = graph.collect(Keypoints2D, "keypoints")
    infos = graph.collect(CameraInfo, "keypoints/camera_info")
    publisher = graph.node.create_publisher(CompressedImage, "/usb_cam/image_raw/compressed", qos_profile_sensor_data)
    calibration = graph.node.create_publisher(CameraInfo, "/usb_cam/camera_info", qos_profile_sensor_data)
    graph.spin_until(lambda: publisher.get_subscription_count() and calibration.get_subscription_count(), 60.0, "it")
    data = array("B", cv2.imencode(".png", cv2.flip(person, 1))[1].tobytes())
    image = stamped(CompressedImage(format="png", data=data), 7)
    info = CameraInfo(width=640, height=480, k=np.array([900.0, 0, 300, 0, 900, 230, 0, 0, 1]))

    def send():
        publisher.publish(image)
        calibration.publish(info)
        graph.spin_for(0.3)
        return keypoints and infos

    graph.spin_until(send, 60.0, "keypoints and their calibration")
    with np.load(repo_root / "media" / "demo.npz") as truth:  # the right wrist
        assert np.linalg.norm(keypoints[0].points[8:10] - truth["keypoints2d"][PERSON_FRAME, 4]) < 15
    assert infos[0].k[2] == 640 - 300 and infos[0].k[0] == 900
    assert node.end(signal.SIGTERM) == 0 and "Traceback" not in node.log


def test_a_task_file_that_is_none(graph, tmp_path):
    missing = tmp_path / "missing.task"
    node = graph.start("keypoint_node", {"task_file": str(missing)})
    assert not graph.transition("keypoint_node", "configure")
    assert f"there is no task file '{missing}'" in node.log and "Traceback" not in node.log
    assert graph.set_parameter("keypoint_node", "task_file", "").successful
    graph.bring_up("keypoint_node")
    assert graph.state("keypoint_node") == "active"


def test_a_video_through_both_nodes(graph, excerpt):
    """The camera's stamps reach the keypoints, and nothing is lost when the file waits for the graph."""
    from diffmocap_msgs.msg import Keypoints2D
    from rclpy.qos import qos_profile_sensor_data
    from sensor_msgs.msg import CameraInfo
    from std_msgs.msg import Header

    camera = graph.start("camera_node", {"source": str(excerpt), "pacing": "fast", "on_end": "exit"})
    node = graph.start("keypoint_node")
    infos = graph.collect(CameraInfo, "camera_info", qos_profile_sensor_data)
    acknowledge = graph.node.create_publisher(Header, "processed", 10)
    keypoints = []

    def take(message):
        keypoints.append(message)
        acknowledge.publish(message.header)

    graph.node.create_subscription(Keypoints2D, "keypoints", take, 10)
    graph.bring_up("keypoint_node", "camera_node")
    graph.spin_until(lambda: camera.process.poll() is not None, 60.0, "the end of the video")
    assert camera.process.returncode == 0
    stamps = [(m.header.stamp.sec, m.header.stamp.nanosec) for m in keypoints]
    assert stamps == sorted(set(stamps)) and len(stamps) == EXCERPT_FRAMES
    assert set(stamps) >= {(m.header.stamp.sec, m.header.stamp.nanosec) for m in infos}
    assert all((m.width, m.height) == (640, 480) for m in keypoints)
    assert sum(sum(m.confidence > 0) >= 20 for m in keypoints) > 0.8 * EXCERPT_FRAMES
    assert node.end(signal.SIGINT) == 0
    assert camera.log.count("\n") == 2 and "Traceback" not in node.log
