"""What a node says about itself on /diagnostics, once a second: rates, counts, latencies, problems."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.node import Node

from diffmocap.nodes.node_clock import NodeClock, steady_timer

WINDOW_S = 5.0

OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR


class Rate:
    """Events a second over the last ``window_s`` seconds."""

    def __init__(self, window_s: float = WINDOW_S) -> None:
        self._window_s = window_s
        self._times: deque[float] = deque()

    def tick(self, now_s: float) -> None:
        """One event at ``now_s`` of a monotonic clock."""
        self._times.append(now_s)
        self._forget(now_s)

    def hz(self, now_s: float) -> float:
        """The rate; 0 with fewer than two events in the window."""
        self._forget(now_s)
        if len(self._times) < 2:
            return 0.0
        # Once events stop, the time since the last one counts too, and the rate fades.
        intervals = len(self._times) - 1
        mean_s = (self._times[-1] - self._times[0]) / intervals
        silence_s = now_s - self._times[-1]
        span_s = self._times[-1] - self._times[0] + max(0.0, silence_s - mean_s)
        return intervals / span_s if span_s > 0 else 0.0

    def _forget(self, now_s: float) -> None:
        while self._times and now_s - self._times[0] > self._window_s:
            self._times.popleft()


class Latency:
    """Percentiles of durations over the last ``window_s`` seconds."""

    def __init__(self, window_s: float = WINDOW_S) -> None:
        self._window_s = window_s
        self._samples: deque[tuple[float, float]] = deque()

    def add(self, now_s: float, duration_ms: float) -> None:
        """One duration [ms], measured at ``now_s``."""
        self._samples.append((now_s, duration_ms))
        self._forget(now_s)

    def percentiles_ms(self, now_s: float) -> tuple[float, float] | None:
        """p50 and p99 [ms], None without samples."""
        self._forget(now_s)
        if not self._samples:
            return None
        p50, p99 = np.percentile([duration for _, duration in self._samples], [50, 99])
        return float(p50), float(p99)

    def _forget(self, now_s: float) -> None:
        while self._samples and now_s - self._samples[0][0] > self._window_s:
            self._samples.popleft()


class Diagnostics:
    """Collects a node's figures from any thread and publishes them on /diagnostics at 1 Hz.

    Keys of the status: ``<name>_hz`` for rates, ``<name>_p50_ms`` and ``<name>_p99_ms`` for
    latencies, the plain name for counts and values. A problem sets the level and the message for
    ``hold_s`` seconds after it was last reported. All of it goes on where the node's time is simulated and stands
    still, which is reported, too.

    Attributes:
        clock: the node's time, for ages.
    """

    def __init__(self, node: Node, hardware_id: str = "") -> None:
        self.hardware_id = hardware_id
        self._node = node
        self._lock = threading.Lock()
        self._rates: dict[str, Rate] = {}
        self._latencies: dict[str, Latency] = {}
        self._values: dict[str, Any] = {}
        self._problems: dict[str, tuple[int, str, float]] = {}
        self._publisher = node.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._timer = steady_timer(node, 1.0, self.publish)
        self.clock = NodeClock(node)
        self._clock_fault = False

    def tick(self, name: str) -> None:
        """One event of the rate ``name``."""
        with self._lock:
            self._rates.setdefault(name, Rate()).tick(time.monotonic())

    def latency(self, name: str, duration_ms: float) -> None:
        """One duration [ms] of the stage ``name``."""
        with self._lock:
            self._latencies.setdefault(name, Latency()).add(time.monotonic(), duration_ms)

    def count(self, name: str, by: int = 1) -> None:
        """Adds to a counter; 0 makes it show from the start."""
        with self._lock:
            self._values[name] = self._values.get(name, 0) + by

    def set(self, name: str, value: Any) -> None:
        """Sets a value that is shown as text."""
        with self._lock:
            self._values[name] = value

    def problem(self, name: str, message: str, level: int | bytes = WARN, hold_s: float = 3.0) -> None:
        """Reports a problem; the same name replaces the earlier report. ``hold_s`` may be infinite."""
        level = level[0] if isinstance(level, bytes) else level
        with self._lock:
            self._problems[name] = (level, message, time.monotonic() + hold_s)

    def has_problem(self, name: str) -> bool:
        """Whether a problem of this name was reported and not taken back."""
        with self._lock:
            return name in self._problems

    def solved(self, name: str) -> None:
        """Takes a problem back."""
        with self._lock:
            self._problems.pop(name, None)

    def status(self) -> DiagnosticStatus:
        """The status as it stands."""
        now_s = time.monotonic()
        with self._lock:
            self._problems = {k: p for k, p in self._problems.items() if p[2] > now_s}
            problems = sorted(self._problems.values(), key=lambda p: -p[0])
            values = {name: _text(value) for name, value in self._values.items()}
            for name, rate in self._rates.items():
                values[f"{name}_hz"] = f"{rate.hz(now_s):.2f}"
            for name, latency in self._latencies.items():
                if (percentiles := latency.percentiles_ms(now_s)) is not None:
                    values[f"{name}_p50_ms"], values[f"{name}_p99_ms"] = (f"{ms:.2f}" for ms in percentiles)
        return DiagnosticStatus(
            level=bytes([problems[0][0]]) if problems else OK,
            name=self._node.get_fully_qualified_name().lstrip("/"),
            message="; ".join(message for _, message, _ in problems) or "running",
            hardware_id=self.hardware_id,
            values=[KeyValue(key=key, value=value) for key, value in values.items()],
        )

    def publish(self) -> None:
        """Publishes the status now, beside the timer."""
        self._look_at_clock()
        message = DiagnosticArray(status=[self.status()])
        message.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(message)

    def close(self) -> None:
        """Stops publishing."""
        self.clock.close()
        self._node.destroy_timer(self._timer)
        self._node.destroy_publisher(self._publisher)

    def _look_at_clock(self) -> None:
        fault = self.clock.fault()
        if fault:
            self.problem("clock", fault, ERROR)
            if not self._clock_fault:
                self._node.get_logger().error(fault)
        elif self._clock_fault:
            self.solved("clock")
            self._node.get_logger().info("the time goes on")
        self._clock_fault = bool(fault)
        if (period_s := self.clock.period_s) is not None:
            self.set("clock_period_ms", 1e3 * period_s)


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
