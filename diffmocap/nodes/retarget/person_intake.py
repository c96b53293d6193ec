"""What nodes that follow a person do with each `body_pose` first: note its arrival, read it, tell of bad ones."""

from __future__ import annotations

from dataclasses import dataclass

from diffmocap_msgs.msg import BodyPose
from rclpy.node import Node

from diffmocap.errors import RobotError
from diffmocap.nodes.arrivals import Arrivals
from diffmocap.nodes.health.diagnostics import ERROR, Diagnostics
from diffmocap.nodes.retarget.person_reading import PersonReader
from diffmocap.robots.live.person_watch import Sighting


@dataclass(frozen=True)
class Heard:
    """One message: ``stamp_ns`` that it counts by, its ``age_s`` on arrival, and the ``sighting``, or why there is none
    as ``fault``."""

    stamp_ns: int
    age_s: float
    sighting: Sighting | None
    fault: str = ""


class PersonIntake:
    """Takes the `body_pose` of an active node.

    Attributes:
        reader: from messages to sightings.
    """

    def __init__(self, node: Node, diagnostics: Diagnostics, map_frame: str) -> None:
        self._node, self._diagnostics = node, diagnostics
        self.reader = PersonReader(map_frame)
        self._arrivals = Arrivals(node, diagnostics, "poses")

    def take(self, message: BodyPose) -> Heard:
        """Reads a message; one that cannot be read is counted, told in diagnostics and logged."""
        d = self._diagnostics
        d.tick("body_pose")
        arrival = self._arrivals.note(message.header.stamp)
        age_s = 1e-9 * (arrival.clock_ns - arrival.stamp_ns)
        try:
            sighting = self.reader.sighting(message, age_s)
        except RobotError as error:
            d.count("bad_poses")
            d.problem("bad_poses", f"a pose was left out: {error}", ERROR)
            self._node.get_logger().error(str(error), throttle_duration_sec=5.0)
            return Heard(arrival.stamp_ns, age_s, None, str(error))
        if sighting.frame is not None:
            d.count("poses")
        return Heard(arrival.stamp_ns, age_s, sighting)
