"""One node of diffmocap as a process of its own, and a node that feeds it and listens."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

#: Longest wait for a node to start and answer on a busy machine [s].
START_S = 90.0


class NodeGraph:
    """A context manager: ``name`` is started, configured and activated in a ROS domain of its own.

    Args:
        name: of the node, such as "pose_node". parameters: of it. remap: arguments such as ("image_raw:=/cam",).
        folder: for its log.

    Attributes:
        node: publishes and subscribes beside it. status: of its newest diagnostics: level, message, values.
    """

    def __init__(self, name: str, parameters: dict[str, Any], folder: Path, remap: tuple[str, ...] = ()) -> None:
        self.name, self._parameters, self._folder, self._remap = name, parameters, folder, remap
        self.status: dict[str, Any] = {}

    def __enter__(self) -> NodeGraph:
        from diffmocap.cli.play import free_domain_id
        from diffmocap.middleware.ros_environment import child_environment, prepare_process

        os.environ["ROS_DOMAIN_ID"] = str(free_domain_id())
        prepare_process()
        import rclpy
        from diagnostic_msgs.msg import DiagnosticArray
        from rclpy.executors import SingleThreadedExecutor

        command = [sys.executable, "-m", f"diffmocap.nodes.{self.name}", "--ros-args"]
        for text in self._remap:
            command += ["-r", text]
        for key, value in self._parameters.items():
            command += ["-p", f"{key}:={str(value).lower() if isinstance(value, bool) else value}"]
        self._log = (self._folder / "log").open("w")
        self._process = subprocess.Popen(command, env=child_environment(), stdout=self._log, stderr=subprocess.STDOUT)
        self._context = rclpy.Context()
        rclpy.init(context=self._context)
        self.node = rclpy.create_node("field_case", context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self._diagnostics, 10)
        try:
            self._bring_up()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(15.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()
        self._executor.shutdown()
        self.node.destroy_node()
        self._context.try_shutdown()

    def collect(self, message_type: type, topic: str, depth: int = 200) -> list[tuple[float, Any]]:
        """Messages from now on with when they were published [s of the system], in a list that grows while spinning."""
        received: list[tuple[float, Any]] = []

        def take(message: Any, info: dict[str, Any]) -> None:
            received.append((1e-9 * info["source_timestamp"], message))

        self.node.create_subscription(message_type, topic, take, depth)
        return received

    def spin(self, seconds: float, until: Callable[[], Any] = lambda: False) -> bool:
        """Handles messages for so long, or until the condition holds; whether it does."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if until():
                return True
            self._executor.spin_once(timeout_sec=0.02)
        return bool(until())

    def play(self, count: int, rate_hz: float, send: Callable[[int], None]) -> None:
        """Calls ``send(i)`` so many times at this rate, and handles messages meanwhile."""
        start = time.monotonic()
        for i in range(count):
            while (left := start + i / rate_hz - time.monotonic()) > 0.0:
                self._executor.spin_once(timeout_sec=left)
            send(i)
        self.spin(1.0)

    def said(self) -> str:
        """Level and message of the diagnostics, or that there are none."""
        if not self.status:
            return "no diagnostics"
        return f"{('OK', 'WARN', 'ERROR', 'STALE')[self.status['level']]}: {self.status['message']}"

    def _diagnostics(self, message: Any) -> None:
        for status in message.status:
            if status.name.endswith(self.name):
                values = {pair.key: pair.value for pair in status.values}
                self.status = {"level": status.level[0], "message": status.message, **values}

    def _bring_up(self) -> None:
        from lifecycle_msgs.msg import Transition
        from lifecycle_msgs.srv import ChangeState

        client = self.node.create_client(ChangeState, f"{self.name}/change_state")
        for number in (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE):
            if not self.spin(START_S, client.service_is_ready):
                raise TimeoutError(f"{self.name} does not answer")
            answer = client.call_async(ChangeState.Request(transition=Transition(id=number)))
            if not self.spin(START_S, answer.done) or not answer.result().success:
                raise RuntimeError(f"{self.name} cannot be brought up: {(self._folder / 'log').read_text()[-200:]}")
