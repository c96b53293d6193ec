"""Subscribes to a running graph and records its messages; the only part of a run's summary that uses ROS."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from diffmocap_msgs.msg import BodyPose
from diffmocap_msgs.msg import Keypoints2D as Keypoints2DMsg
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CameraInfo, JointState
from std_msgs.msg import Header

from diffmocap.camera.message_images import ns_from_stamp
from diffmocap.camera.message_info import intrinsics_from_camera_info
from diffmocap.cli.recording import RecordedPose, Recording
from diffmocap.errors import DiffmocapError
from diffmocap.nodes.messages import keypoints_from_message

#: States that come without a pose.
WITHOUT_POSE = (BodyPose.SEARCHING, BodyPose.TENTATIVE, BodyPose.LOST)
#: Deep enough to lose nothing while this process is busy for a second.
_DEPTH = 200
_BEST_EFFORT = QoSProfile(depth=_DEPTH, reliability=ReliabilityPolicy.BEST_EFFORT)
_RELIABLE = QoSProfile(depth=_DEPTH)


class Monitor:
    """Subscribes to a graph's results on a thread of its own until closed.

    Args:
        recording: gets everything.
        namespace: of the graph.
        vertical_fov_deg: to assume of a camera that nobody calibrated, as pose_node does.
    """

    def __init__(self, recording: Recording, namespace: str = "", vertical_fov_deg: float = 50.0) -> None:
        self._recording = recording
        self._fov_deg = vertical_fov_deg
        self._context = rclpy.Context()
        # Ctrl-C belongs to the command.
        rclpy.init(context=self._context, signal_handler_options=SignalHandlerOptions.NO)
        self._node = Node("diffmocap_monitor", namespace=namespace, context=self._context)
        self._group = self._node.get_namespace().strip("/")
        create = self._node.create_subscription
        self._subscriptions = [
            create(CameraInfo, "camera_info", self._camera_info, _BEST_EFFORT),
            create(Keypoints2DMsg, "keypoints", self._keypoints, _RELIABLE),
            create(JointState, "joint_states", self._joint_state, _RELIABLE),
            create(BodyPose, "body_pose", self._body_pose, _RELIABLE),
            create(Header, "processed", self._processed, _RELIABLE),
            create(DiagnosticArray, "/diagnostics", self._diagnostics, _RELIABLE),
        ]
        self._names: tuple[str, ...] = ()
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self._thread = threading.Thread(target=self._spin, name="monitor", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stops listening."""
        if self._context.ok():
            self._context.try_shutdown()
        self._thread.join(5.0)
        self._node.destroy_node()

    def _spin(self) -> None:
        try:
            self._executor.spin()
        except ExternalShutdownException:
            pass

    def _camera_info(self, message: CameraInfo, info: dict[str, Any]) -> None:
        try:
            intrinsics = intrinsics_from_camera_info(message, message.width, message.height, self._fov_deg)
        except DiffmocapError:  # pose_node reports the error; here only the arrival of an image counts
            intrinsics = self._recording.intrinsics
        self._recording.image(ns_from_stamp(message.header.stamp), info["source_timestamp"], intrinsics)

    def _keypoints(self, message: Keypoints2DMsg, info: dict[str, Any]) -> None:
        try:
            keypoints = keypoints_from_message(message)
        except DiffmocapError:
            return
        self._recording.keypoints(keypoints, info["source_timestamp"])

    def _joint_state(self, message: JointState, info: dict[str, Any]) -> None:
        if len(message.name) != len(self._names):
            self._names = tuple(message.name)
        self._recording.joint_state(
            ns_from_stamp(message.header.stamp), info["received_timestamp"], self._names, np.array(message.position)
        )

    def _body_pose(self, message: BodyPose, info: dict[str, Any]) -> None:
        if message.tracking_state in WITHOUT_POSE:
            return
        position, orientation = message.root_pose.position, message.root_pose.orientation
        pose = RecordedPose(
            root_position_m=np.array([position.x, position.y, position.z]),
            root_xyzw=np.array([orientation.x, orientation.y, orientation.z, orientation.w]),
            rotations_xyzw=np.array([(q.x, q.y, q.z, q.w) for q in message.rotations]),
            joint_positions_m=np.array([(p.x, p.y, p.z) for p in message.joint_positions]),
        )
        by_physics = message.loss_after < message.loss_before  # both NaN where no physics ran
        self._recording.body_pose(ns_from_stamp(message.header.stamp), info["received_timestamp"], pose, by_physics)

    def _processed(self, message: Header) -> None:
        self._recording.processed(ns_from_stamp(message.stamp))

    def _diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            group, _, name = status.name.rpartition("/")
            if group != self._group:
                continue  # another graph's, in the same domain
            level = status.level[0] if isinstance(status.level, bytes) else int(status.level)
            values = {pair.key: pair.value for pair in status.values}
            self._recording.diagnostics(name, level, status.message, values)
