"""Another camera's driver: publishes a video's images by plain rclpy, run by the Python of the install.

    python3 driver.py VIDEO reliable|best_effort

It waits for a subscriber, publishes every image at the video's rate, and prints how many it published.
"""

from __future__ import annotations

import sys
import time

import cv2
import rclpy
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image

TOPIC = "/driver/image_raw"
#: Of a driver that was running before the graph the first images are nobody's concern.
SETTLED_S = 3.0


def main() -> None:
    video, reliability = cv2.VideoCapture(sys.argv[1]), ReliabilityPolicy[sys.argv[2].upper()]
    rclpy.init()
    node = rclpy.create_node("driver")
    publisher = node.create_publisher(Image, TOPIC, QoSProfile(depth=10, reliability=reliability))
    while publisher.get_subscription_count() == 0:
        time.sleep(0.05)
    time.sleep(SETTLED_S)
    period_s = 1.0 / video.get(cv2.CAP_PROP_FPS)
    due_s, published = time.monotonic(), 0
    while (read := video.read())[0]:
        height, width = read[1].shape[:2]
        message = Image(height=height, width=width, encoding="bgr8", step=3 * width)
        message.data.frombytes(read[1].tobytes())
        message.header.stamp = node.get_clock().now().to_msg()
        message.header.frame_id = "camera_optical_frame"
        publisher.publish(message)
        published += 1
        due_s += period_s
        time.sleep(max(0.0, due_s - time.monotonic()))
    print(published, flush=True)
    sys.stdin.read()  # reliable images may still be asked for


if __name__ == "__main__":
    main()
