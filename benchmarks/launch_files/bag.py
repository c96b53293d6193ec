"""A bag of eight seconds is heard from its first second on."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from rosbags.rosbag2 import Writer
from rosbags.typesys import Stores, get_typestore

from benchmarks.launch_files.case import Observer, Row, Work
from benchmarks.launch_files.install import Launch

LENGTH_S = 8.0
TOPIC = "/camera/image_raw"
#: The times of a bag that was recorded long ago.
START_S = 1_750_000_000
EXIT_TIMEOUT_S = 300.0


def bag(work: Work) -> list[Row]:
    folder = work.folder / f"bag_{work.install.name}"
    images = write_bag(work.clip, folder)
    given = {"bag": str(folder), "image_topic": TOPIC, "on_end": "exit", "rviz": "false"}
    log = work.folder / "bag.log"
    with Observer(work.install) as observer, Launch(work.install, "replay.launch.py", given, log) as launch:
        launch.wait_until_active("keypoint_node")
        code = launch.exit_code(EXIT_TIMEOUT_S)
        left = launch.left()
        heard = observer.report()["messages"]
    stamps = sorted(s for topic, pairs in heard.items() if topic.endswith("keypoints") for _, s in pairs)
    joints = [pair for topic, pairs in heard.items() if topic.endswith("joint_states") for pair in pairs]
    first_s = stamps[0] - START_S if stamps else float("inf")
    in_first = sum(stamp < START_S + 1.0 for stamp in stamps)
    ended = code == 0 and not left
    return [
        Row("first image whose keypoints came", f"{first_s:.2f} s into the bag", "in the first second", first_s < 1.0),
        Row("keypoints of the first second", f"{in_first} of 30 images"),
        Row("keypoints; joint states", f"{len(stamps)}; {len(joints)} of {images} images"),
        Row("end of the bag, on_end:=exit", f"exit code {code}, {len(left)} processes left", "0, 0", ended),
    ]


def write_bag(clip: Path, folder: Path) -> int:
    """The beginning of the clip as a bag; returns the number of images."""
    video = cv2.VideoCapture(str(clip))
    rate_hz = video.get(cv2.CAP_PROP_FPS)
    types = get_typestore(Stores.ROS2_JAZZY)
    image_type, header_type, time_type = (
        types.types[name] for name in ("sensor_msgs/msg/Image", "std_msgs/msg/Header", "builtin_interfaces/msg/Time")
    )
    count = round(LENGTH_S * rate_hz)
    with Writer(folder, version=9) as writer:
        connection = writer.add_connection(TOPIC, image_type.__msgtype__, typestore=types)
        for number in range(count):
            image = video.read()[1]
            height, width = image.shape[:2]
            stamp_ns = START_S * 10**9 + round(number / rate_hz * 1e9)
            header = header_type(time_type(*divmod(stamp_ns, 10**9)), "camera_optical_frame")
            message = image_type(header, height, width, "bgr8", 0, 3 * width, np.ascontiguousarray(image).reshape(-1))
            writer.write(connection, stamp_ns, types.serialize_cdr(message, connection.msgtype))
    return count
