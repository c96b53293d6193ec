"""A node's ROS time for ages, and what is wrong with it where it comes from /clock.

With ``use_sim_time`` the time arrives in steps: of a player that tells it 40 times a second, every age would be wrong
by up to 25 ms. Between two steps the time goes on here as fast as the last steps did. On a busy machine steps arrive
late, too, but none arrives early: the time that was due first counts.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from statistics import median

from rclpy.clock import Clock, ClockType, JumpThreshold, TimeJump
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.timer import Timer

#: A clock that says the same for so long stands still [s].
STILL_S = 5.0
#: Steps of /clock that its period and its rate are taken from.
_STEPS = 40
#: A rate this near to the real one is the real one, and the difference is how late the steps were.
_REAL_TIME = 0.1
#: A clock that is late is no clock that was paused up to so many steps, and up to this time [s].
_LATE_STEPS, _PAUSE_S = 4, 1.0


class NodeClock:
    """ROS time of a node, from any thread; :meth:`close` when it is not needed any more.

    Args:
        node: whose time it is.
        steady: seconds of a clock that nobody sets.
    """

    def __init__(self, node: Node, steady: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._steady = node.get_clock(), steady
        self._lock = threading.Lock()
        self._steps: deque[tuple[float, int]] = deque(maxlen=_STEPS)  # when it came, what it said [ns]
        self._since_s = steady()
        nanosecond = Duration(nanoseconds=1)
        self._handle = self._clock.create_jump_callback(
            JumpThreshold(min_forward=nanosecond, min_backward=Duration(nanoseconds=-1)), post_callback=self._stepped
        )

    @property
    def simulated(self) -> bool:
        """Whether the time comes from /clock."""
        return self._clock.ros_time_is_active

    @property
    def period_s(self) -> float | None:
        """Simulated seconds between two messages of /clock; None where it does not come from there, or not yet."""
        with self._lock:
            steps = list(self._steps)
        if not self.simulated or len(steps) < 2:
            return None
        return median(b - a for (_, a), (_, b) in zip(steps, steps[1:])) * 1e-9

    def now_ns(self) -> int:
        """ROS time [ns]; 0 where ``use_sim_time`` is set and no time has come."""
        if not self.simulated:
            return self._clock.now().nanoseconds
        with self._lock:
            if not self._steps:
                return self._clock.now().nanoseconds
            return _continued_ns(self._steps, self._steady())

    def age_ms(self, stamp_ns: int) -> float:
        """Time since an acquisition [ms]."""
        return (self.now_ns() - stamp_ns) * 1e-6

    def fault(self) -> str:
        """What is wrong with the time, and what to do; empty where nothing is."""
        if not self.simulated:
            return ""
        with self._lock:
            told_s = self._steps[-1][0] if self._steps else None
        silent_s = self._steady() - (self._since_s if told_s is None else told_s)
        if silent_s < STILL_S:
            return ""
        if told_s is None and self._clock.now().nanoseconds == 0:
            return (
                "use_sim_time is set and no time has come on /clock: start what publishes it (a simulator, "
                "ros2 bag play --clock), or set use_sim_time to false"
            )
        return f"the time on /clock has stood still for {silent_s:.0f} s: is the simulation or the bag paused or over?"

    def close(self) -> None:
        """Stops listening to the clock's steps."""
        self._handle.unregister()

    def _stepped(self, jump: TimeJump) -> None:
        now_ns, now_s = self._clock.now().nanoseconds, self._steady()
        with self._lock:
            if not self.simulated or (self._steps and now_ns < self._steps[-1][1]):
                self._steps.clear()  # the time was set back, or comes from elsewhere
            elif self._steps and now_s - self._steps[-1][0] > _PAUSE_S:
                self._steps.clear()  # it was paused
            if self.simulated and now_ns:
                self._steps.append((now_s, now_ns))
            else:
                self._since_s = now_s


def steady_timer(node: Node, period_s: float, callback: Callable[[], None]) -> Timer:
    """A timer that goes on where the node's time is simulated and stands still."""
    return node.create_timer(period_s, callback, clock=Clock(clock_type=ClockType.STEADY_TIME))


def _continued_ns(steps: deque[tuple[float, int]], now_s: float) -> int:
    """The time that a clock of these steps tells at ``now_s``, at most :data:`_LATE_STEPS` after the last."""
    (first_s, first_ns), (last_s, last_ns) = steps[0], steps[-1]
    if last_s <= first_s:
        return last_ns
    rate = (last_ns - first_ns) / (last_s - first_s)
    if abs(rate * 1e-9 - 1.0) < _REAL_TIME:
        rate = 1e9
    told = max(ns + rate * (now_s - s) for s, ns in steps)
    step_ns = (last_ns - first_ns) / (len(steps) - 1)
    return last_ns + round(min(max(told - last_ns, 0.0), _LATE_STEPS * step_ns))
