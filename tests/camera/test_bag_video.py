"""A bag gives the images that were written into it, whatever its kind, and its camera."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
import pytest

from diffmocap.camera.bag_video import BagVideo
from diffmocap.camera.calibration.calibration_file import write_calibration
from diffmocap.camera.settings import CaptureSettings
from diffmocap.errors import CameraError
from diffmocap.keypoints.settings import DetectorSettings
from diffmocap.reconstruct.watching import camera_of, detected
from diffmocap.types import CameraIntrinsics

rosbag2 = pytest.importorskip("rosbags.rosbag2")
from rosbags.rosbag1 import Writer as Writer1  # noqa: E402
from rosbags.typesys import Stores, get_typestore  # noqa: E402

START_NS, STEP_NS = 1_750_000_000 * 10**9, 40_000_000
FOCAL_PX, CX = 410.0, 300.0
TOPIC = "/camera/image_raw"


@pytest.fixture(scope="module")
def pictures(demo_clip) -> list[np.ndarray]:
    source = cv2.VideoCapture(str(demo_clip))
    return [source.read()[1] for _ in range(5)]


def image_of(types, picture: np.ndarray, stamp_ns: int, ros1: bool = False):
    made = types.types
    header = made["std_msgs/msg/Header"]
    stamp = made["builtin_interfaces/msg/Time"](*divmod(stamp_ns, 10**9))
    head = header(0, stamp, "optical") if ros1 else header(stamp, "optical")
    height, width = picture.shape[:2]
    return made["sensor_msgs/msg/Image"](head, height, width, "bgr8", 0, 3 * width, picture.reshape(-1))


def compressed_of(types, picture: np.ndarray, stamp_ns: int):
    made = types.types
    head = made["std_msgs/msg/Header"](made["builtin_interfaces/msg/Time"](*divmod(stamp_ns, 10**9)), "optical")
    data = cv2.imencode(".png", picture)[1].reshape(-1)
    return made["sensor_msgs/msg/CompressedImage"](head, "png", data)


def info_of(types):
    made = types.types
    head = made["std_msgs/msg/Header"](made["builtin_interfaces/msg/Time"](0, 0), "optical")
    K = np.array([FOCAL_PX, 0, CX, 0, FOCAL_PX, 240, 0, 0, 1], float)
    none = made["sensor_msgs/msg/RegionOfInterest"](0, 0, 0, 0, False)
    return made["sensor_msgs/msg/CameraInfo"](
        head, 480, 640, "plumb_bob", np.zeros(5), K, np.eye(3).reshape(-1), np.zeros(12), 0, 0, none
    )


def bag2(folder: Path, pictures, plugin: str, topics: dict[str, bool], info: bool = True, stamps_ns=None) -> Path:
    """A bag of ROS 2; topics: name -> whether it is compressed. stamps_ns: of the images, else a step apart."""
    types = get_typestore(Stores.ROS2_JAZZY)
    storage = getattr(rosbag2.StoragePlugin, plugin)
    with rosbag2.Writer(folder, version=9, storage_plugin=storage) as writer:
        for topic, packed in topics.items():
            kind = "sensor_msgs/msg/CompressedImage" if packed else "sensor_msgs/msg/Image"
            connection = writer.add_connection(topic, kind, typestore=types)
            for number, picture in enumerate(pictures):
                received_ns = START_NS + number * STEP_NS
                stamp_ns = stamps_ns[number] if stamps_ns else received_ns
                message = (compressed_of if packed else image_of)(types, picture, stamp_ns)
                writer.write(connection, received_ns + 7, types.serialize_cdr(message, kind))
        if info:
            kind = "sensor_msgs/msg/CameraInfo"
            connection = writer.add_connection("/camera/camera_info", kind, typestore=types)
            writer.write(connection, START_NS, types.serialize_cdr(info_of(types), kind))
    return folder


@pytest.mark.parametrize(("plugin", "packed"), [("SQLITE3", False), ("MCAP", False), ("MCAP", True)])
def test_a_bag_gives_its_images_at_their_own_times_and_its_camera(tmp_path, pictures, plugin, packed):
    topic = f"{TOPIC}/compressed" if packed else TOPIC
    folder = bag2(tmp_path / "bag", pictures, plugin, {topic: packed})
    with BagVideo(folder) as bag:
        frames = list(bag)
        assert (bag.topic, bag.count) == (topic, 5)
        camera = bag.intrinsics(640, 480)
    assert [f.stamp_ns for f in frames] == [START_NS + i * STEP_NS for i in range(5)]
    assert all((f.image == p).all() for f, p in zip(frames, pictures, strict=True))
    assert (camera.fx, camera.cx, camera.width) == (FOCAL_PX, CX, 640)


def test_a_single_file_of_a_bag_and_a_bag_of_ros_1(tmp_path, pictures):
    folder = bag2(tmp_path / "bag", pictures, "MCAP", {TOPIC: False}, info=False)
    with BagVideo(next(folder.glob("*.mcap"))) as bag:
        assert len(list(bag)) == 5 and bag.intrinsics(640, 480) is None
    types = get_typestore(Stores.ROS1_NOETIC)
    old = tmp_path / "old.bag"
    with Writer1(old) as writer:
        connection = writer.add_connection(TOPIC, "sensor_msgs/msg/Image", typestore=types)
        for number, picture in enumerate(pictures):
            message = image_of(types, picture, START_NS + number * STEP_NS, ros1=True)
            writer.write(connection, START_NS, types.serialize_ros1(message, "sensor_msgs/msg/Image"))
    with BagVideo(old) as bag:
        assert all((f.image == p).all() for f, p in zip(bag, pictures, strict=True))


def test_of_several_topics_one_is_named_and_the_raw_one_serves_for_both(tmp_path, pictures):
    both = bag2(tmp_path / "both", pictures[:1], "MCAP", {f"{TOPIC}/compressed": True, TOPIC: False})
    with BagVideo(both) as bag:
        assert bag.topic == TOPIC
    two = bag2(tmp_path / "two", pictures[:1], "MCAP", {TOPIC: False, "/other/image": False})
    with pytest.raises(
        CameraError, match=r"several topics; name one with --topic: /camera/image_raw \(1 images\), /other"
    ):
        BagVideo(two)
    with BagVideo(two, "other/image") as bag:
        assert bag.topic == "/other/image" and bag.intrinsics(640, 480) is None
    with pytest.raises(CameraError, match="no images on /none; it has /camera/image_raw"):
        BagVideo(two, "/none")


def test_what_is_no_bag_of_images_is_told(tmp_path, pictures):
    empty = bag2(tmp_path / "empty", [], "MCAP", {})
    with pytest.raises(CameraError, match="no images, but sensor_msgs/msg/CameraInfo; record the camera's image topic"):
        BagVideo(empty)
    topic_alone = bag2(tmp_path / "topic", [], "MCAP", {TOPIC: False}, info=False)
    with pytest.raises(CameraError, match="holds no message"):
        BagVideo(topic_alone)
    broken = bag2(tmp_path / "broken", pictures, "MCAP", {TOPIC: False})
    for path in broken.glob("*.mcap"):
        path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(CameraError, match="holds no message"):
        BagVideo(broken)
    for path in broken.glob("*.mcap"):
        path.write_bytes(b"")
    with pytest.raises(CameraError, match="the bag .* cannot be read.*ros2 bag reindex"):
        BagVideo(broken)


def test_images_without_stamps_have_the_times_of_the_recording_and_doubles_are_left_out(tmp_path, pictures):
    folder = bag2(tmp_path / "bag", pictures, "MCAP", {TOPIC: False}, stamps_ns=[0] * 5)
    with BagVideo(folder) as bag:
        assert [f.stamp_ns for f in bag] == [START_NS + i * STEP_NS + 7 for i in range(5)]
    twice = [START_NS, START_NS, START_NS + STEP_NS, START_NS + 3 * STEP_NS, START_NS + 2 * STEP_NS]
    folder = bag2(tmp_path / "twice", pictures, "MCAP", {TOPIC: False}, stamps_ns=twice)
    with BagVideo(folder) as bag:
        assert [f.stamp_ns for f in bag] == [START_NS, START_NS + STEP_NS, START_NS + 3 * STEP_NS]


def test_a_part_of_a_bag_is_none_and_a_file_without_a_description_is_a_bag(tmp_path, pictures):
    folder = bag2(tmp_path / "bag", pictures, "MCAP", {TOPIC: False})
    (file,) = folder.glob("*.mcap")
    (folder / "metadata.yaml").unlink()
    (folder / "another.mcap").write_bytes(file.read_bytes())
    with pytest.raises(CameraError, match="holds several bags, and no metadata.yaml; name one of .*another.mcap"):
        BagVideo(folder)
    with BagVideo(file) as bag:
        assert len(list(bag)) == 5
    (folder / "bag_1.mcap").write_bytes(file.read_bytes())
    with pytest.raises(CameraError, match="one of 2 files of a bag; give the folder"):
        BagVideo(file)


@pytest.mark.parametrize("zeros", [False, True])
def test_a_bag_whose_writer_was_killed_is_read_as_far_as_it_goes(tmp_path, pictures, zeros):
    folder = bag2(tmp_path / "bag", pictures, "MCAP", {TOPIC: False})
    (file,) = folder.glob("*.mcap")
    whole = file.read_bytes()
    cut = len(whole) * 3 // 4
    file.write_bytes(whole[:cut] + bytes(len(whole) - cut if zeros else 0))
    (folder / "metadata.yaml").unlink()
    with BagVideo(folder) as bag:
        frames = list(bag)
        assert 0 < len(frames) == bag.count < 5
    assert all((f.image == p).all() for f, p in zip(frames, pictures, strict=False))


def test_what_a_killed_writer_left_beside_its_database_is_read(tmp_path, pictures):
    folder = bag2(tmp_path / "whole", pictures, "SQLITE3", {TOPIC: False}, info=False)
    (file,) = folder.glob("*.db3")
    killed = tmp_path / "killed" / "killed.db3"
    killed.parent.mkdir()
    with closing(sqlite3.connect(file)) as writer:
        writer.execute("PRAGMA journal_mode=WAL")
        writer.execute("UPDATE messages SET timestamp = timestamp + 1000")
        writer.execute("DELETE FROM messages WHERE id = 5")
        writer.commit()
        for ending in ("", "-wal"):
            killed.with_name(f"killed.db3{ending}").write_bytes(file.with_name(f"{file.name}{ending}").read_bytes())
    with BagVideo(killed.parent) as bag:
        assert bag.count == len(list(bag)) == 4


def test_a_bag_that_is_damaged_in_the_middle_is_told(tmp_path, pictures):
    folder = bag2(tmp_path / "bag", pictures, "SQLITE3", {TOPIC: False})
    (file,) = folder.glob("*.db3")
    data = file.read_bytes()
    file.write_bytes(data[: len(data) // 2] + b"\x55" * 5000 + data[len(data) // 2 + 5000 :])
    with pytest.raises(CameraError, match="is damaged after [0-9]+ of its messages"), BagVideo(folder) as bag:
        list(bag)


def test_an_image_that_cannot_be_decoded_is_left_out_and_a_bag_of_them_is_told(tmp_path, pictures):
    broken = np.zeros((0, 0, 3), np.uint8)
    with BagVideo(bag2(tmp_path / "bag", [*pictures[:2], broken, pictures[3]], "MCAP", {TOPIC: False})) as bag:
        assert [f.stamp_ns for f in bag] == [START_NS + i * STEP_NS for i in (0, 1, 3)]
    with BagVideo(bag2(tmp_path / "none", [broken] * 2, "MCAP", {TOPIC: False})) as bag:
        with pytest.raises(CameraError, match="/camera/image_raw .*the image has no pixels"):
            list(bag)


@pytest.mark.parametrize("set_by_s", [-3600, 31_536_000])
def test_images_go_on_where_their_clock_was_set(tmp_path, pictures, set_by_s):
    stamps = [START_NS + i * STEP_NS + (set_by_s * 10**9 if i > 1 else 0) for i in range(5)]
    with BagVideo(bag2(tmp_path / "bag", pictures, "MCAP", {TOPIC: False}, stamps_ns=stamps)) as bag:
        assert [f.stamp_ns for f in bag] == [START_NS + i * STEP_NS for i in range(5)]


def test_a_mirrored_bag_is_flipped_back_and_its_camera_with_it(tmp_path, pictures):
    folder = bag2(tmp_path / "bag", pictures, "SQLITE3", {TOPIC: False})
    with BagVideo(folder, mirror=True) as bag:
        assert (next(iter(bag)).image == pictures[0][:, ::-1]).all()
        assert bag.intrinsics(640, 480).cx == 640 - CX


def test_keypoints_of_a_bag_are_those_of_the_video(tmp_path, pictures):
    source = str(bag2(tmp_path / "bag", pictures, "MCAP", {TOPIC: False}))
    told: list[tuple[int, int]] = []
    found = detected(source, CaptureSettings(), DetectorSettings(), lambda *counts: told.append(counts))
    assert told[-1] == (5, 5) and all(k.confidence.max() > 0.5 for k in found)
    assert [k.stamp_ns for k in found] == [START_NS + i * STEP_NS for i in range(5)]


def test_the_camera_of_a_bag_unless_something_else_is_given(tmp_path, pictures):
    source = str(bag2(tmp_path / "bag", pictures[:1], "MCAP", {TOPIC: False}))
    assert camera_of(source, (640, 480), None, 0.0).fx == FOCAL_PX
    assert camera_of(source, (640, 480), None, 60.0) == CameraIntrinsics.from_fov(640, 480, 60.0)
    known = CameraIntrinsics(640, 480, 500.0, 500.0, 310.0, 240.0)
    write_calibration(tmp_path / "camera.yaml", known, "camera")
    assert camera_of(source, (640, 480), tmp_path / "camera.yaml", 0.0).cx == 310.0
    assert camera_of(source, (640, 480), tmp_path / "camera.yaml", 0.0, mirror=True).cx == 330.0
