"""Images reach other processes where ROS 2 is an install, whose middleware's defaults lose most of them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from diffmocap.middleware.network import LOCAL, PROFILE_VARIABLE, network

IMAGES = 45
TIMEOUT_S = 90.0

#: Makes the wheels of this environment look like an install, for which nodes set no variables themselves.
HIDE_WHEELS = """
from importlib import metadata
original = metadata.distribution
def distribution(name):
    if name == "ros-rclpy":
        raise metadata.PackageNotFoundError(name)
    return original(name)
metadata.distribution = distribution
"""

DRIVER = """
import sys, time, rclpy
from sensor_msgs.msg import Image
from diffmocap.nodes.images.qos import sensor_qos
from diffmocap.middleware.ros_environment import prepare_process
prepare_process()
rclpy.init()
node = rclpy.create_node("driver")
reliability, awaited, images = sys.argv[1], sys.argv[2], int(sys.argv[3])
# A history of all images: a machine that is busy for a moment must not push out what is not acknowledged yet.
publisher = node.create_publisher(Image, "image_raw", sensor_qos(reliability, depth=images + 1))
message = Image(height=480, width=640, encoding="bgr8", step=640 * 3)
message.data.frombytes(bytes(480 * 640 * 3))
def subscribed():
    subscriptions = node.get_subscriptions_info_by_topic("image_raw")
    return awaited in [subscription.qos_profile.reliability.name.lower() for subscription in subscriptions]
while not subscribed():
    time.sleep(0.05)
time.sleep(1.0)  # the other side learns of the match a little later
due = time.monotonic()
for number in range(1, images + 1):
    message.header.stamp.sec = number
    publisher.publish(message)
    due += 1 / 30
    time.sleep(max(0.0, due - time.monotonic()))
last = Image()  # a stamp of 0 says: that was all
while True:
    publisher.publish(last)
    time.sleep(0.1)
"""

SUBSCRIBER = """
import os, sys, time, rclpy
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image
from diffmocap.nodes.images.qos import ImageSubscription
from diffmocap.middleware.ros_environment import prepare_process
prepare_process()
rclpy.init()
node = rclpy.create_node("subscriber")
numbers = []
def receive(message, info=None):
    numbers.append(message.header.stamp.sec)
if sys.argv[1] == "sensor_data":
    node.create_subscription(Image, "image_raw", receive, qos_profile_sensor_data)
else:
    images = ImageSubscription(node, Image, "image_raw", receive, reliability=sys.argv[1])
while not numbers or numbers[-1] != 0:
    rclpy.spin_once(node, timeout_sec=0.1)
numbers = [number for number in numbers if number]
print(len(numbers), len(set(numbers)), images.reliability if sys.argv[1] != "sensor_data" else "", flush=True)
os._exit(0)
"""

Count = Callable[..., tuple[int, int, str]]


@pytest.fixture()
def install(ros_env: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """The environment of a sourced install: nothing of what the wheels need is set, or set by our nodes."""
    (tmp_path / "sitecustomize.py").write_text(HIDE_WHEELS)
    environment = {name: value for name, value in ros_env.items() if name != PROFILE_VARIABLE}
    return environment | {"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}


@pytest.fixture()
def count(install: dict[str, str]):
    """Runs a driver and a subscriber; returns images received, different ones, and the reliability in the end."""
    processes = []

    def run(driver: str, subscriber: str, variables: dict[str, str]) -> tuple[int, int, str]:
        environment = install | variables
        awaited = driver if subscriber == "auto" else "best_effort"
        for script, *arguments in ((DRIVER, driver, awaited, str(IMAGES)), (SUBSCRIBER, subscriber)):
            command = [sys.executable, "-c", script, *arguments]
            processes.append(subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True))
        received, different, *reliability = processes[-1].communicate(timeout=TIMEOUT_S)[0].split()
        return int(received), int(different), "".join(reliability)

    yield run
    for process in processes:
        process.kill()
        process.wait()


def test_under_the_launch_files_profile_images_reach_a_sensor_data_subscriber(
    install: dict[str, str], count: Count
) -> None:
    chosen = network(LOCAL, install).variables
    assert PROFILE_VARIABLE in chosen
    received, different, _ = count("reliable", "sensor_data", chosen)
    assert received == different >= 0.4 * IMAGES  # at most a few arrive without; a busy machine may lose some here


def test_images_of_a_reliable_driver_without_a_profile_arrive(count: Count) -> None:
    received, different, reliability = count("reliable", "auto", {})
    assert reliability == "reliable"
    assert received == different >= 0.4 * IMAGES


def test_a_best_effort_driver_is_heard(install: dict[str, str], count: Count) -> None:
    received, different, reliability = count("best_effort", "auto", network(LOCAL, install).variables)
    assert reliability == "best_effort"
    assert received == different >= 0.4 * IMAGES
