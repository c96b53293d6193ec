"""What is said of the engagement: on its topic when it changes and in between, in the diagnostics, in the log."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from diffmocap_msgs.msg import Engagement
from rclpy.node import Node
from rclpy.publisher import Publisher
from std_msgs.msg import Header

from diffmocap.nodes.health.diagnostics import OK, WARN, Diagnostics
from diffmocap.robots.live.engagement import State

if TYPE_CHECKING:
    from diffmocap.robots.live.teleoperation import Teleoperation

#: How often what lasts is said again [s].
REPEAT_S = 0.1


class EngagementReport:
    """Problem ``engagement`` (WARN: holding or stopped), values ``state``, ``reason`` and ``refusal``."""

    def __init__(self, node: Node, diagnostics: Diagnostics, publisher: Publisher, robot: str) -> None:
        self._node, self._diagnostics, self._publisher = node, diagnostics, publisher
        self._robot = robot
        self._told: tuple[State, str] | None = None
        self._told_s = -math.inf

    def tell(self, machine: Teleoperation, now_s: float) -> None:
        """As it stands; published where the state is another one, or has not been said for a while."""
        state = machine.engagement.state
        new = self._told is None or state is not self._told[0]
        if not new and now_s - self._told_s < REPEAT_S:
            return
        message = self._message(machine, now_s)
        self._publisher.publish(message)
        d = self._diagnostics
        d.set("state", state.name)
        d.set("reason", message.reason)
        d.set("refusal", message.refusal)
        level = WARN if state in (State.HOLDING, State.STOPPED) else OK
        if state is not State.ENGAGED:
            d.problem("engagement", f"{state.name}: {message.reason}", level)
        else:
            d.solved("engagement")
        if new:
            self._log(f"{state.name}: {message.reason}", level == WARN)
            d.publish()
        self._told, self._told_s = (state, message.reason), now_s

    def _log(self, text: str, warning: bool) -> None:
        """rclpy refuses another severity of the same line."""
        log = self._node.get_logger()
        if warning:
            log.warning(text)
        else:
            log.info(text)

    def _message(self, machine: Teleoperation, now_s: float) -> Engagement:
        conditions, stand = machine.conditions(now_s), machine.stand.stand
        joint, distance = machine.farthest()
        age_s = machine.person.pose_age_s(now_s)
        return Engagement(
            header=Header(stamp=self._node.get_clock().now().to_msg()),
            state=int(machine.engagement.state),
            reason=machine.engagement.reason,
            refusal=machine.engagement.refusal(conditions),
            robot=self._robot,
            commanding=machine.engagement.commanding,
            held_by_joy=machine.engagement.by_joy,
            track_id=machine.person.track_id,
            pose_age=-1.0 if age_s is None else age_s,
            stood=machine.stand.share,
            torso_lean=math.nan if stand is None else stand.lean,
            height_offset=math.nan if stand is None else stand.floor,
            blend=machine.blend_share(now_s),
            farthest_joint=joint,
            distance=distance,
        )
