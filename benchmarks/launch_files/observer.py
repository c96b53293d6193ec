"""Listens to a graph from outside: run by the Python of the install, it answers each line on stdin with one of JSON.

Diagnostics by node; for each topic of joint states and keypoints the times at which they came (monotonic, s) and the
stamps (s); for each topic of transforms the pairs of frames.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections import defaultdict
from time import monotonic

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from diffmocap_msgs.msg import Keypoints2D
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import JointState
from tf2_msgs.msg import TFMessage

TYPES = {
    "sensor_msgs/msg/JointState": JointState,
    "diffmocap_msgs/msg/Keypoints2D": Keypoints2D,
    "tf2_msgs/msg/TFMessage": TFMessage,
}


class Observer(Node):
    def __init__(self) -> None:
        super().__init__("launch_benchmark")
        self.diagnostics: dict[str, dict] = {}
        self.messages: dict[str, list[tuple[float, float]]] = defaultdict(list)
        self.frames: dict[str, set[tuple[str, str]]] = defaultdict(set)
        self._known: set[str] = set()
        self.create_subscription(DiagnosticArray, "/diagnostics", self._diagnosed, 50)
        self.create_timer(0.2, self._discover)

    def report(self) -> str:
        frames = {topic: sorted(pairs) for topic, pairs in self.frames.items()}
        return json.dumps({"diagnostics": self.diagnostics, "messages": self.messages, "frames": frames})

    def _discover(self) -> None:
        for topic, types in self.get_topic_names_and_types():
            if topic in self._known or types[0] not in TYPES:
                continue
            self._known.add(topic)
            qos = QoSProfile(depth=200)
            if topic.endswith("tf_static"):
                qos.durability = DurabilityPolicy.TRANSIENT_LOCAL
            take = self._transformed if types[0] == "tf2_msgs/msg/TFMessage" else self._came
            self.create_subscription(TYPES[types[0]], topic, lambda m, t=topic, take=take: take(t, m), qos)

    def _diagnosed(self, message: DiagnosticArray) -> None:
        for status in message.status:
            values = {pair.key: pair.value for pair in status.values}
            self.diagnostics[status.name] = {"level": status.level[0], "message": status.message, **values}

    def _came(self, topic: str, message: JointState | Keypoints2D) -> None:
        stamp = message.header.stamp
        self.messages[topic].append((monotonic(), stamp.sec + 1e-9 * stamp.nanosec))

    def _transformed(self, topic: str, message: TFMessage) -> None:
        self.frames[topic] |= {(t.header.frame_id, t.child_frame_id) for t in message.transforms}


def main() -> None:
    rclpy.init()
    observer = Observer()
    asked = threading.Semaphore(0)

    def listen() -> None:
        for _ in sys.stdin:
            asked.release()
        os._exit(0)

    threading.Thread(target=listen, daemon=True).start()
    while rclpy.ok():
        rclpy.spin_once(observer, timeout_sec=0.05)
        if asked.acquire(blocking=False):
            print(observer.report(), flush=True)


if __name__ == "__main__":
    main()
