"""camera_node as a process: files and their end, pacing, cameras that are not there."""

from __future__ import annotations

import signal

import cv2
import numpy as np
import pytest

FRAMES = 20


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """20 frames at 25 a second; the grey level tells the number of the frame."""
    path = tmp_path_factory.mktemp("clip") / "numbered.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 25.0, (64, 48))
    for index in range(FRAMES):
        writer.write(np.full((48, 64, 3), 10 * index, np.uint8))
    writer.release()
    return path


def ns(message) -> int:
    return message.header.stamp.sec * 1_000_000_000 + message.header.stamp.nanosec


def numbers(images) -> list[int]:
    return [round(float(np.mean(message.data)) / 10) for message in images]


def test_a_file_is_played_to_its_end_and_the_process_ends_well(graph, clip):
    from rclpy.qos import qos_profile_sensor_data
    from sensor_msgs.msg import CameraInfo, Image

    camera = graph.start("camera_node", {"source": str(clip), "on_end": "exit", "vertical_fov_deg": 50})
    graph.bring_up("camera_node")
    # It waits for somebody to listen, so not even the first image is lost.
    images = graph.collect(Image, "image_raw", qos_profile_sensor_data)
    infos = graph.collect(CameraInfo, "camera_info", qos_profile_sensor_data)
    diagnostics = graph.diagnostics()
    graph.spin_until(lambda: camera.process.poll() is not None, 60.0, "the end of the process")
    assert camera.process.returncode == 0, camera.log
    seen = numbers(images)
    assert seen == sorted(set(seen)) and seen[0] == 0 and seen[-1] == FRAMES - 1
    assert (images[0].width, images[0].height, images[0].encoding) == (64, 48, "bgr8")
    assert images[0].header.frame_id == "camera_optical_frame"
    assert {ns(image) for image in images} <= {ns(info) for info in infos}
    # Real time: 0.04 s between frames; a frame may be late, but is never early.
    assert ns(images[-1]) - ns(images[0]) >= 0.04e9 * (seen[-1] - seen[0]) - 5e6
    assert infos[0].k[4] == pytest.approx(24 / np.tan(np.deg2rad(25)))
    status = diagnostics["camera_node"]
    assert status["message"] == "end of file" and status["level"] == 0
    assert int(status["frames"]) + int(status["skipped"]) == FRAMES, "a busy machine skips frames, and counts them"
    assert len(seen) >= int(status["frames"]) - 3
    assert "is at its end" in camera.log


def test_fast_pacing_waits_for_acknowledgements_and_never_for_ever(graph, clip):
    from sensor_msgs.msg import CameraInfo, Image
    from std_msgs.msg import Header

    graph.start(
        "camera_node",
        {"source": str(clip), "pacing": "fast", "max_in_flight": 2, "ack_timeout_s": 0.3, "reliability": "reliable"},
    )
    images = graph.collect(Image, "image_raw")
    infos = graph.collect(CameraInfo, "camera_info")
    acknowledge = graph.node.create_publisher(Header, "processed", 10)
    graph.bring_up("camera_node")
    graph.spin_until(lambda: len(images) == 2, 60.0, "the first two images")
    graph.spin_for(0.3)
    assert len(images) == 2  # more than the timeout, but the start has more patience
    for sent in range(2, 8):
        acknowledge.publish(images[sent - 2].header)
        graph.spin_until(lambda sent=sent: len(images) == sent + 1, 60.0, "one more image")
    # From now on nobody answers: everything still comes.
    graph.spin_until(lambda: len(images) == FRAMES, 60.0, "all images")
    assert numbers(images) == list(range(FRAMES))
    assert not infos[0].k.any()  # not calibrated
    diagnostics = graph.diagnostics()
    graph.spin_until(lambda: diagnostics.get("camera_node", {}).get("message") == "end of file", 60.0, "the end")
    assert FRAMES - 6 <= int(diagnostics["camera_node"]["unacknowledged"]) < FRAMES
    # It stays, and plays the file again when it is activated again.
    assert graph.transition("camera_node", "deactivate") and graph.transition("camera_node", "activate")
    graph.spin_until(lambda: len(images) > FRAMES, 60.0, "the file from its start")
    assert numbers(images)[FRAMES] == 0


def test_without_a_camera_the_node_says_so_and_lives_on(graph, clip, tmp_path):
    no_video = tmp_path / "no_video.mp4"
    no_video.write_bytes(b"this is no video" * 100)
    camera = graph.start("camera_node", {"source": 97})
    assert not graph.transition("camera_node", "configure")
    assert graph.state("camera_node") == "unconfigured"
    assert "no /dev/video97" in camera.log and "video file" in camera.log
    assert graph.set_parameter("camera_node", "source", str(no_video)).successful
    assert not graph.transition("camera_node", "configure")
    assert "is no video that OpenCV can read" in camera.log
    assert len(camera.log.splitlines()) == 2, camera.log  # one line each, nothing of OpenCV's or FFmpeg's
    assert graph.set_parameter("camera_node", "source", str(clip)).successful
    graph.bring_up("camera_node")
    refused = graph.set_parameter("camera_node", "source", "0")
    assert not refused.successful and "takes effect at configure" in refused.reason
    assert not graph.set_parameter("camera_node", "max_in_flight", 0).successful
    assert graph.set_parameter("camera_node", "max_in_flight", 5).successful
    for transition in (
        "deactivate",
        "cleanup",
        "configure",
        "activate",
        "deactivate",
        "cleanup",
        "unconfigured_shutdown",
    ):
        assert graph.transition("camera_node", transition), transition
    assert camera.end(signal.SIGTERM) == 0


def test_what_a_camera_gives_before_anybody_reads_is_not_skipped(graph, mjpeg_stream):
    """A live source runs from configure on; a launch activates it seconds later, when the models are loaded."""
    from rclpy.qos import qos_profile_sensor_data
    from sensor_msgs.msg import Image

    # A password in the address is in no log and no diagnostic.
    address = mjpeg_stream.replace("http://", "http://user:sec%2Fret@") + "?token=sec%2Fret"
    camera = graph.start("camera_node", {"source": address})
    assert graph.transition("camera_node", "configure")
    graph.spin_for(2.0)  # 400 images at most; 200 on a busy machine
    images, diagnostics = graph.collect(Image, "image_raw", qos_profile_sensor_data), graph.diagnostics()
    assert graph.transition("camera_node", "activate")
    graph.spin_until(lambda: images, 30.0, "an image")
    graph.spin_until(lambda: int(diagnostics.get("camera_node", {}).get("frames", 0)) > 5, 30.0, "diagnostics")
    skipped = int(diagnostics["camera_node"]["skipped"])
    assert skipped < int(diagnostics["camera_node"]["frames"])
    assert "sec%2Fret" not in camera.log + str(diagnostics["camera_node"]) and "stream.mjpg?token=***" in camera.log


def test_a_bad_parameter_at_the_start_ends_the_process_with_a_reason(graph):
    camera = graph.start("camera_node", {"pacing": "warp"})
    graph.spin_until(lambda: camera.process.poll() is not None, 60.0, "the end of the process")
    assert camera.process.returncode == 1
    assert "'pacing': expected one of realtime, fast, got 'warp'" in camera.log and "Traceback" not in camera.log


def test_a_calibration_reaches_camera_info(graph, clip, tmp_path):
    from rclpy.qos import qos_profile_sensor_data
    from sensor_msgs.msg import CameraInfo, Image

    calibration = tmp_path / "camera.yaml"
    calibration.write_text(
        "{image_width: 128, image_height: 96, camera_matrix: {data: [100, 0, 64, 0, 102, 48, 0, 0, 1]},"
        " distortion_model: plumb_bob, distortion_coefficients: {data: [-0.1, 0.01, 0, 0, 0]}}"
    )
    camera = graph.start("camera_node", {"source": str(clip), "calibration_file": str(calibration), "on_end": "loop"})
    graph.bring_up("camera_node")
    images = graph.collect(Image, "image_raw", qos_profile_sensor_data)
    infos = graph.collect(CameraInfo, "camera_info", qos_profile_sensor_data)
    graph.spin_until(lambda: len(images) > FRAMES + 5 and infos, 60.0, "a second round")
    assert [infos[0].k[i] for i in (0, 4, 2, 5)] == [50, 51, 32, 24]  # scaled to 64 x 48
    assert list(infos[0].d) == [-0.1, 0.01, 0, 0, 0] and infos[0].distortion_model == "plumb_bob"
    assert camera.end(signal.SIGINT) == 0
    assert "Traceback" not in camera.log


def test_a_calibrator_and_small_bags_find_a_driver_by_the_book(graph, tmp_path):
    """A mirrored source: pictures, JPEGs and calibration are published the right way round, the file keeps its own."""
    from rclpy.qos import qos_profile_sensor_data
    from sensor_msgs.msg import CameraInfo, CompressedImage, Image
    from sensor_msgs.srv import SetCameraInfo

    picture = np.zeros((48, 64, 3), np.uint8)
    picture[:, :32] = 220
    folder, calibration = tmp_path / "images", tmp_path / "camera.yaml"
    folder.mkdir()
    for number in range(3):
        cv2.imwrite(str(folder / f"img_{number}.png"), picture)
    k = "[50, 0, 30, 0, 51, 24, 0, 0, 1]"
    calibration.write_text(f"{{image_width: 64, image_height: 48, camera_matrix: {{data: {k}}}}}")
    parameters = {"source": str(folder / "img_%d.png"), "fps": 20.0, "on_end": "loop", "mirror": True}
    camera = graph.start("camera_node", parameters | {"calibration_file": str(calibration), "jpeg_quality": 60})
    graph.bring_up("camera_node")
    images = graph.collect(Image, "image_raw", qos_profile_sensor_data)
    jpegs = graph.collect(CompressedImage, "image_raw/compressed", qos_profile_sensor_data)
    infos = graph.collect(CameraInfo, "camera_info", qos_profile_sensor_data)
    graph.spin_until(lambda: len(images) > 2 and len(jpegs) > 2 and infos, 60.0, "images")
    seen = np.frombuffer(images[-1].data, np.uint8).reshape(48, 64, 3)
    assert (seen == picture[:, ::-1]).all() and infos[0].k[2] == 34
    decoded = cv2.imdecode(np.frombuffer(jpegs[-1].data, np.uint8), cv2.IMREAD_COLOR)
    assert np.abs(decoded.astype(int) - seen).mean() < 4 and len(jpegs[-1].data) < len(images[-1].data) / 4
    assert jpegs[-1].format == "bgr8; jpeg compressed bgr8"
    assert {ns(jpeg) for jpeg in jpegs[1:-1]} <= {ns(info) for info in infos}

    sent = CameraInfo(width=64, height=48, distortion_model="plumb_bob", d=[-0.1, 0.0, 0.0, 0.0, 0.0])
    sent.k = np.array([60.0, 0, 36, 0, 61, 25, 0, 0, 1])
    answer = graph.call(SetCameraInfo, "set_camera_info", SetCameraInfo.Request(camera_info=sent))
    assert answer.success and str(calibration) in answer.status_message, answer
    graph.spin_until(lambda: infos[-1].k[0] == 60, 60.0, "the new calibration")
    bad = CameraInfo(width=64, height=48, k=np.full(9, np.nan))
    refused = graph.call(SetCameraInfo, "set_camera_info", SetCameraInfo.Request(camera_info=bad))
    assert not refused.success and "must be finite" in refused.status_message
    assert list(infos[-1].k) == list(sent.k) and list(infos[-1].d) == list(sent.d)
    from diffmocap.camera.calibration.calibration_file import load_calibration

    assert load_calibration(calibration).cx == 64 - 36
    assert camera.end(signal.SIGINT) == 0 and "Traceback" not in camera.log


def test_a_calibration_that_was_sent_without_a_file_is_found_again(graph, clip, tmp_path):
    from rclpy.qos import qos_profile_sensor_data
    from sensor_msgs.msg import CameraInfo
    from sensor_msgs.srv import SetCameraInfo

    home = {"ROS_HOME": str(tmp_path / "ros")}
    camera = graph.start("camera_node", {"source": str(clip), "on_end": "loop"}, environment=home)
    assert graph.transition("camera_node", "configure")
    sent = CameraInfo(width=64, height=48, k=np.array([60.0, 0, 33, 0, 61, 25, 0, 0, 1]))
    answer = graph.call(SetCameraInfo, "set_camera_info", SetCameraInfo.Request(camera_info=sent))
    assert answer.success and str(tmp_path / "ros" / "camera_info") in answer.status_message, answer
    assert graph.transition("camera_node", "cleanup")
    infos = graph.collect(CameraInfo, "camera_info", qos_profile_sensor_data)
    graph.bring_up("camera_node")  # reads all files anew
    graph.spin_until(lambda: infos, 60.0, "a camera_info")
    assert list(infos[0].k) == list(sent.k)
    assert camera.end(signal.SIGINT) == 0 and "Traceback" not in camera.log
