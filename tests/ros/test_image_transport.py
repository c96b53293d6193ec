"""Camera images reach another process with best-effort QoS, which Fast DDS's defaults do not manage."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

IMAGES = 60

SUBSCRIBER = """
import sys, rclpy
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image
rclpy.init()
node = rclpy.create_node("image_counter")
stamps = []
node.create_subscription(Image, "image_raw", lambda m: stamps.append((m.header.stamp.sec, len(m.data))),
                         qos_profile_sensor_data)
while not stamps or stamps[-1][0] != 0:  # a stamp of 0 says: that was all
    rclpy.spin_once(node, timeout_sec=0.1)
print(len({sec for sec, size in stamps if sec and size == 640 * 480 * 3}))
node.destroy_node()
rclpy.shutdown()
"""


@pytest.mark.ros
def test_images_of_640x480_arrive_at_camera_rate(ros_env: dict[str, str]) -> None:
    import rclpy
    from rclpy.qos import qos_profile_sensor_data
    from sensor_msgs.msg import Image

    receiver = subprocess.Popen([sys.executable, "-c", SUBSCRIBER], env=ros_env, stdout=subprocess.PIPE, text=True)
    rclpy.init()
    node = rclpy.create_node("image_source")
    try:
        publisher = node.create_publisher(Image, "image_raw", qos_profile_sensor_data)
        message = Image(height=480, width=640, encoding="bgr8", step=640 * 3)
        message.data.frombytes(bytes(480 * 640 * 3))
        deadline = time.monotonic() + 30.0
        while publisher.get_subscription_count() == 0:
            assert time.monotonic() < deadline, "the subscriber was not discovered"
            assert receiver.poll() is None, "the subscriber ended"
            time.sleep(0.05)
        time.sleep(0.5)  # the other side learns of the match a little later
        for number in range(1, IMAGES + 1):
            message.header.stamp.sec = number
            publisher.publish(message)
            time.sleep(1 / 30)
        message.header.stamp.sec = 0
        while receiver.poll() is None:
            assert time.monotonic() < deadline, "the subscriber heard nothing of the end"
            publisher.publish(message)
            time.sleep(0.1)
        # With the defaults at most a few arrive; a busy machine may lose a few here.
        assert int(receiver.stdout.read()) >= 0.8 * IMAGES
    finally:
        receiver.kill()
        receiver.wait()
        node.destroy_node()
        rclpy.shutdown()
