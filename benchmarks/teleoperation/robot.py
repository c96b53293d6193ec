"""A robot for the benchmark: it does as it is told, and notes what comes."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

#: Rounding of stamps and messages, as a share of a limit.
_ROUNDING = 1e-3


class Robot:
    """Does as it is told, tells where it is, and notes what comes; it holds the Joy button where ``button`` is set.

    Attributes:
        commands, said: messages of `joint_command` and `engagement`, each with the time when it was heard.
        values: of each node's diagnostics, the last while the robot followed.
    """

    def __init__(self, node: Any, robot: str) -> None:
        from diagnostic_msgs.msg import DiagnosticArray
        from diffmocap_msgs.msg import Engagement
        from sensor_msgs.msg import JointState, Joy

        from diffmocap.robots.description import read_description
        from diffmocap.robots.model import load_model

        self.model = load_model(read_description(robot))
        self.at = self.model.rest[self.model.first :].copy()
        self.commands: list[tuple[float, Any]] = []
        self.said: list[tuple[float, Any]] = []
        self.values: dict[str, dict[str, str]] = {}
        self.button: bool | None = None
        self._joints, self._joy = (
            node.create_publisher(k, t, 10) for k, t in ((JointState, "/joint_states"), (Joy, "joy"))
        )
        node.create_subscription(JointState, "robot/joint_command", self._obey, 100)
        node.create_subscription(Engagement, "robot/engagement", lambda m: self.said.append((time.monotonic(), m)), 50)
        node.create_subscription(DiagnosticArray, "/diagnostics", self._diagnosed, 50)
        self._message, self._joy_message = JointState(name=self.model.joint_names), Joy
        node.create_timer(0.01, self._tell)
        node.create_timer(0.05, self.press)

    @property
    def state(self) -> str:
        """Of the engagement, by its name."""
        from diffmocap.robots.live.engagement import State

        return State(self.said[-1][1].state).name if self.said else ""

    @property
    def speed(self) -> float:
        """Of the fastest joint in the last command [rad/s]."""
        return float(np.abs(self.commands[-1][1].velocity).max()) if self.commands else 0.0

    def press(self) -> None:
        """What the joystick says now."""
        if self.button is not None:
            self._joy.publish(self._joy_message(buttons=[0, 0, 0, 0, int(self.button)]))

    def value(self, node: str, key: str) -> float:
        """What a node told in its diagnostics while the robot followed; NaN where it told nothing."""
        return float(self.values.get(node, {}).get(key, "nan"))

    def broken(self) -> int:
        """How many commands are outside a limit."""
        m = self.model
        stamps = np.array([c.header.stamp.sec * 10**9 + c.header.stamp.nanosec for _, c in self.commands])
        p = np.array([c.position for _, c in self.commands])
        dt = 1e-9 * np.diff(stamps)[:, None]
        v = np.diff(p, axis=0) / dt
        a = np.diff(v, axis=0) / dt[1:]
        outside = ((p < m.low - 1e-9) | (p > m.high + 1e-9)).any(1)
        outside[1:] |= (np.abs(v) > m.velocity * (1 + _ROUNDING)).any(1)
        outside[2:] |= (np.abs(a) > m.acceleration * (1 + _ROUNDING) + 2e-9 / dt[1:] ** 2 * m.velocity).any(1)
        return int(outside.sum())

    def _obey(self, message: Any) -> None:
        self.commands.append((time.monotonic(), message))
        self.at = np.array(message.position)

    def _tell(self) -> None:
        self._message.position, self._message.velocity = self.at.tolist(), [0.0] * len(self.at)
        self._joints.publish(self._message)

    def _diagnosed(self, message: Any) -> None:
        if self.state == "ENGAGED":
            for status in message.status:
                self.values[status.name.split("/")[-1]] = {pair.key: pair.value for pair in status.values}
