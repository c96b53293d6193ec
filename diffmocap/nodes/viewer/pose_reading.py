"""From messages to what the viewer draws: the pose, the ghosts of the other hypotheses, the floor."""

from __future__ import annotations

from typing import Any

import numpy as np
from diffmocap_msgs.msg import BodyPose
from scipy.spatial.transform import Rotation
from visualization_msgs.msg import Marker, MarkerArray

from diffmocap.camera.message_images import ns_from_stamp
from diffmocap.output.tracking_state import TrackingState
from diffmocap.viewer.pose import ViewedPose
from diffmocap.viewer.world import World

#: Opacity of the strongest ghost in the markers.
_STRONGEST = 0.4


def viewed_pose(message: BodyPose) -> ViewedPose:
    """A ``body_pose``; what a graph of an older version does not say is left open."""
    variances = np.asarray(message.rotation_covariance).reshape(-1, 3, 3).trace(axis1=1, axis2=2) / 3.0
    place = np.asarray(message.root_covariance).reshape(6, 6)[:3, :3].trace() / 3.0
    return ViewedPose(
        stamp_ns=ns_from_stamp(message.header.stamp),
        frame=message.header.frame_id,
        rotations_xyzw=np.array([(q.x, q.y, q.z, q.w) for q in message.rotations]),
        joints_m=_points(message.joint_positions),
        deviations_deg=np.rad2deg(np.sqrt(np.maximum(variances, 0.0))),
        pelvis_deviation_m=float(np.sqrt(max(place, 0.0))),
        contact_points_m=_points(message.contact_points),
        contact_forces_n=_points(message.contact_forces),
        score=message.score,
        hypotheses=message.hypotheses,
        tracking=_tracking(getattr(message, "tracking_state", None)),
        track_id=getattr(message, "track_id", None),
        confidence=getattr(message, "confidence", None),
    )


def ghosts(message: MarkerArray) -> tuple[np.ndarray, np.ndarray] | None:
    """Bones [N, 2, 3] of the hypotheses in the optical frame, and how strong their ends are [N, 2]; None: no word."""
    marker = _named(message, "hypotheses")
    if marker is None:
        return None
    if marker.action != Marker.ADD:
        return np.zeros((0, 2, 3)), np.zeros((0, 2))
    alpha = np.array([color.a for color in marker.colors])
    return _points(marker.points).reshape(-1, 2, 3), alpha.reshape(-1, 2) / _STRONGEST


def floor(message: MarkerArray, optical_frame: str) -> World | None:
    """The floor that the physics found; None where the markers know of none in the optical frame."""
    marker = _named(message, "ground")
    if marker is None or marker.action != Marker.ADD or marker.header.frame_id != optical_frame:
        return None
    q, p = marker.pose.orientation, marker.pose.position
    up = Rotation.from_quat([q.x, q.y, q.z, q.w]).as_matrix()[:, 2]
    return World.from_floor(up, up @ [p.x, p.y, p.z] + 0.5 * marker.scale.z, "known to the physics")


def floor_of_frames(T_map_optical: np.ndarray | None) -> World | None:
    """The floor that static transforms tell; None where they do not connect the optical frame."""
    if T_map_optical is None:
        return None
    up = T_map_optical[2, :3]  # the map's z in optical axes
    return World.from_floor(up, -T_map_optical[2, 3], "from static transforms")


def _named(message: MarkerArray, namespace: str) -> Marker | None:
    return next((marker for marker in message.markers if marker.ns == namespace), None)


def _points(messages: Any) -> np.ndarray:
    return np.array([(m.x, m.y, m.z) for m in messages]).reshape(-1, 3)


def _tracking(value: int | None) -> TrackingState | None:
    return TrackingState(value) if value is not None and value in list(TrackingState) else None
