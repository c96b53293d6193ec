"""hri_node: the tracked person as REP-155 (ROS4HRI) has a body, for what understands `/humans`."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
from diffmocap_msgs.msg import BodyPose
from diffmocap_msgs.msg import Keypoints2D as Keypoints2DMsg
from tf2_msgs.msg import TFMessage

from diffmocap.errors import KeypointError, RobotError
from diffmocap.nodes.health.diagnostics import ERROR, Diagnostics
from diffmocap.nodes.hri.hri_messages import IdsList, ids_list
from diffmocap.nodes.hri.hri_settings import PARAMETERS
from diffmocap.nodes.hri.rep155 import body_id
from diffmocap.nodes.hri.tracked_body import TrackedBody
from diffmocap.nodes.messages import keypoints_from_message
from diffmocap.nodes.node_clock import steady_timer
from diffmocap.nodes.person_frames import person_frame
from diffmocap.nodes.run import PlainNode, run

#: How often silence is looked for, and how often the list of bodies is told again [s].
LOOK_S, REPEAT_S = 0.1, 1.0
_WITH_POSE = (BodyPose.TRACKED, BodyPose.PREDICTED)


class HriNode(PlainNode):
    """One graph tracks one person; the body of a track has an identifier of its own."""

    def __init__(self) -> None:
        super().__init__("hri_node", PARAMETERS)
        self._diagnostics = Diagnostics(self)
        for counter in ("poses", "bodies", "bad_poses"):
            self._diagnostics.count(counter, 0)
        self._tracked = self.create_publisher(IdsList, "/humans/bodies/tracked", 10)
        self._tf = self.create_publisher(TFMessage, "/tf", 100)
        # Two starts of a graph, or two graphs, count their tracks from 1, each.
        self._seed = f"{self.get_fully_qualified_name()} {self.get_clock().now().nanoseconds}"
        self._body: TrackedBody | None = None
        self._track_id = 0
        self._confidence = 0.0
        self._pose_s = self._told_s = 0.0
        self._listening = [
            self.create_subscription(BodyPose, "body_pose", self._receive_pose, 10),
            self.create_subscription(Keypoints2DMsg, "keypoints", self._receive_keypoints, 10),
        ]
        self._timer = steady_timer(self, LOOK_S, self._look)

    def close(self) -> None:
        """Tells that the body is gone."""
        if self.context.ok():
            self._forget()
        self._diagnostics.close()

    def _receive_pose(self, message: BodyPose) -> None:
        self._diagnostics.tick("body_pose")
        if message.tracking_state not in _WITH_POSE:
            self._forget()
            return
        try:
            frame = person_frame(message, np.eye(4))
        except RobotError as error:
            self._refuse(error)
            return
        if self._body is None or message.track_id != self._track_id:
            self._forget()
            self._track_id = message.track_id
            self._body = TrackedBody(self, body_id(self._seed, message.track_id), frame)
            self._diagnostics.count("bodies")
            self._tell()
        try:
            transform = self._body.pose(frame, message.header)
        except RobotError as error:
            self._refuse(error)
            return
        self._pose_s, self._confidence = time.monotonic(), message.confidence
        self._diagnostics.count("poses")
        if self.parameters["publish_tf"]:
            self._tf.publish(TFMessage(transforms=[transform]))

    def _refuse(self, error: RobotError) -> None:
        self._diagnostics.count("bad_poses")
        self._diagnostics.problem("bad_poses", f"a pose was left out: {error}", ERROR)

    def _receive_keypoints(self, message: Keypoints2DMsg) -> None:
        if self._body is None:
            return
        try:
            keypoints = keypoints_from_message(message)
        except KeypointError as error:
            self._diagnostics.problem("bad_keypoints", f"keypoints were left out: {error}", ERROR)
            return
        self._body.keypoints(keypoints, self._confidence, message.header)

    def _look(self) -> None:
        """Looks for silence, and tells again who is there."""
        now_s = time.monotonic()
        if self._body is not None and now_s - self._pose_s > self.parameters["max_gap"]:
            self._forget()
        if now_s - self._told_s >= REPEAT_S:
            self._tell()

    def _forget(self) -> None:
        if self._body is not None:
            self._body.close()
            self._body = None
            self._tell()

    def _tell(self) -> None:
        self._told_s = time.monotonic()
        ids = [] if self._body is None else [self._body.id]
        self._diagnostics.set("body", ids[0] if ids else "none")
        self._tracked.publish(ids_list(ids, self.get_clock().now().to_msg()))


def main(args: Sequence[str] | None = None) -> int:
    """Runs the node; returns the exit code."""
    return run(HriNode, args)


if __name__ == "__main__":
    raise SystemExit(main())
