"""Arrival times of messages, and which of their stamps to believe: see :mod:`diffmocap.timing.stamps`."""

from __future__ import annotations

import time
from dataclasses import dataclass

from builtin_interfaces.msg import Time
from rclpy.node import Node

from diffmocap.camera.message_images import ns_from_stamp
from diffmocap.errors import StampError
from diffmocap.nodes.health.diagnostics import WARN, Diagnostics
from diffmocap.timing.stamps import NO_STAMP_NS, ArrivalStamps, require_near


@dataclass(frozen=True)
class Arrival:
    """One message's arrival.

    Attributes:
        stamp_ns: acquisition time of what it is about: its stamp, or the time of its arrival where it had none.
        clock_ns: ROS time of its arrival; 0 where there is none.
        steady_s: the same on the clock of :func:`time.monotonic`.
    """

    stamp_ns: int
    clock_ns: int
    steady_s: float

    def require_near(self, most_s: float) -> None:
        """See :func:`diffmocap.timing.stamps.require_near`.

        Raises:
            StampError: also where no time has come on /clock to compare with.
        """
        if self.clock_ns == NO_STAMP_NS and most_s > 0.0:
            raise StampError("use_sim_time is set and no time has come on /clock: the stamps cannot be judged")
        require_near(self.stamp_ns, self.clock_ns, most_s)


class Arrivals:
    """Notes arrivals of one stream, and says where it has no stamps.

    Args:
        what: plural of what arrives, such as "images".
    """

    def __init__(self, node: Node, diagnostics: Diagnostics, what: str) -> None:
        self._node, self._diagnostics, self._what = node, diagnostics, what
        self._stamps = ArrivalStamps(diagnostics.clock.now_ns)
        self._told = False

    def note(self, stamp: Time) -> Arrival:
        """A message with this stamp arrives."""
        given_ns, clock_ns = ns_from_stamp(stamp), self._diagnostics.clock.now_ns()
        if given_ns == NO_STAMP_NS != clock_ns:  # where no time has come on /clock, nobody can stamp anything
            self._tell()
        return Arrival(self._stamps.stamp_ns(given_ns), clock_ns, time.monotonic())

    def _tell(self) -> None:
        text = (
            f"the {self._what} have no stamps (all zero): the time of their arrival is used, velocities are less exact "
            "and latencies count from then; let the driver stamp them"
        )
        self._diagnostics.problem("no_stamps", text, WARN)
        if not self._told:
            self._told = True
            self._node.get_logger().warning(text)
