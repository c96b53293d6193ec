"""The robot as its joint states tell: where its joints are, whether it is heard of, whether it does as it is told."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from diffmocap.robots.live.engagement_settings import MEASURED, EngagementSettings

#: So long a robot may be off its command before it counts: a controller that catches up [s].
_PATIENCE_S = 0.2
#: A joint may rest so far outside of the range: descriptions keep a margin, and gravity bends [rad].
_OUTSIDE = 0.05
#: Velocities of a robot that tells none are means over this time: an encoder's steps are none [s].
_MEAN_S = 0.1
#: Orders of names that are kept: a robot has one or two publishers.
_MOST_ORDERS = 20


class RobotWatch:
    """Times are seconds of one steady clock; arrays have the order of the commanded joints.

    Args:
        settings: what is allowed.
        joints: names of the N commanded joints.
        rest: [N] where a robot that is not measured is at first.

    Attributes:
        positions: [N] where the joints are, as far as it is known.
    """

    def __init__(self, settings: EngagementSettings, joints: Sequence[str], rest: np.ndarray) -> None:
        self.settings = settings
        self._joints = tuple(joints)
        self._rest = np.array(rest, float)
        self.positions = self._rest.copy()
        self._speeds = np.zeros(len(self._joints))
        self._heard_s = np.full(len(self._joints), -np.inf)
        self._since = self.positions.copy(), np.full(len(self._joints), -np.inf)  # where they were, and when [s]
        self._off_since_s: float | None = None
        self._bad = ""
        self._places: dict[tuple[str, ...], tuple[list[int], list[int]]] = {}

    @property
    def measured(self) -> bool:
        """Whether the robot has to tell where it is."""
        return self.settings.robot_state == MEASURED

    def observe(
        self, names: Sequence[str], positions: Sequence[float], velocities: Sequence[float], now_s: float
    ) -> None:
        """Joint states of some or all joints, also of others, which are no news; ``velocities`` may be empty."""
        if not self.measured:
            return
        here, there = self._places_of(tuple(names))
        if not here:
            return
        if len(positions) != len(names):
            self._bad = f"the robot's joint states have {len(positions)} positions for {len(names)} joints"
            return
        found = np.array([positions[index] for index in there], float)
        if not np.isfinite(found).all():
            self._bad = "the robot's joint states have positions that are NaN or infinite"
            return
        speeds = self._mean_speeds(here, found, now_s)
        if len(velocities) == len(names):
            told = np.abs(np.array([velocities[index] for index in there], float))
            speeds = np.where(np.isfinite(told), told, speeds)
        self._bad = ""
        self.positions = self.positions.copy()
        self.positions[here], self._speeds[here], self._heard_s[here] = found, speeds, now_s

    def _mean_speeds(self, here: list[int], found: np.ndarray, now_s: float) -> np.ndarray:
        """Of the joints at these places, which are at ``found`` now."""
        positions, times_s = self._since
        past_s = now_s - times_s[here]
        speeds = np.where(past_s >= _MEAN_S, np.abs(found - positions[here]) / past_s, self._speeds[here])
        over = np.array(here)[past_s >= _MEAN_S]
        positions[over], times_s[over] = found[past_s >= _MEAN_S], now_s
        return speeds

    def _places_of(self, names: tuple[str, ...]) -> tuple[list[int], list[int]]:
        """Which of the commanded joints are among these names, and at which places of theirs."""
        if names not in self._places:
            if len(self._places) > _MOST_ORDERS:
                self._places.clear()
            places = {name: index for index, name in enumerate(names)}
            here = [index for index, joint in enumerate(self._joints) if joint in places]
            self._places[names] = here, [places[self._joints[index]] for index in here]
        return self._places[names]

    def commanded(self, positions: np.ndarray, now_s: float) -> None:
        """The robot is told to be at [N] positions."""
        if not self.measured:
            self.positions = positions
            return
        off = np.abs(self.positions - positions).max() > self.settings.following_error
        self._off_since_s = None if not off else now_s if self._off_since_s is None else self._off_since_s

    def left_alone(self) -> None:
        """The robot gets no commands any more."""
        self._off_since_s = None

    @property
    def heard(self) -> bool:
        """Whether all joints have been heard of."""
        return bool(np.isfinite(self._heard_s).all())

    def outside(self, low: np.ndarray, high: np.ndarray) -> str:
        """Which joint is outside of its range [N], so that the first command would move it at once; empty: none."""
        distances = np.maximum(low - self.positions, self.positions - high)
        joint = int(distances.argmax())
        if distances[joint] <= _OUTSIDE:
            return ""
        return (
            f"{self._joints[joint]} is {distances[joint]:.2f} rad outside of the range that the robot's description "
            "allows: move it inside"
        )

    def fault(self, now_s: float) -> str:
        """Why the robot cannot be moved now; empty where it can."""
        if not self.measured:
            return ""
        if np.isneginf(self._heard_s).all():
            return self._bad or (
                "the robot's joint states have not come: name their topic, or set robot_state to assumed for a robot "
                "that tells nothing"
            )
        oldest = int(self._heard_s.argmin())
        silent_s = now_s - self._heard_s[oldest]
        if silent_s > self.settings.robot_timeout:
            since = "never come" if np.isinf(silent_s) else f"not come for {silent_s:.2f} s (robot_timeout)"
            return self._bad or f"the robot's joint states of {self._joints[oldest]} have {since}"
        if self._off_since_s is not None and now_s - self._off_since_s > _PATIENCE_S:
            return "the robot is not where it was told to be (following_error): is it blocked, or stopped elsewhere?"
        return ""

    def keeps_from_beginning(self, target: np.ndarray | None) -> str:
        """What is no fault for a robot that follows, but none begins with; ``target``: [N] of the person's pose."""
        s = self.settings
        if self.measured and self._speeds.max() > s.start_velocity:
            joint = self._joints[int(self._speeds.argmax())]
            return f"the robot moves ({joint} with {self._speeds.max():.2f} rad/s): let it come to rest"
        if target is None:
            return "the person's pose is not known"
        joint, distance = self.farthest(target)
        if distance > s.engage_distance:
            return (
                f"{joint} is {distance:.2f} rad from the person's pose, and engage_distance is {s.engage_distance:g}: "
                "stand as the robot does"
            )
        return ""

    def farthest(self, target: np.ndarray) -> tuple[str, float]:
        """The joint that is farthest from [N] targets, and how far [rad or m]."""
        distances = np.abs(self.positions - target)
        joint = int(distances.argmax())
        return self._joints[joint], float(distances[joint])
