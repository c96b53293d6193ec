"""Keypoints as hri_msgs has them: 18 points and a box, both as shares of the image's size."""

from __future__ import annotations

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Quaternion, Transform, TransformStamped, Vector3
from scipy.spatial.transform import Rotation
from std_msgs.msg import Header

from diffmocap.types import Keypoints2D

try:
    from hri_msgs.msg import IdsList, NormalizedPointOfInterest2D, NormalizedRegionOfInterest2D, Skeleton2D
except ImportError as error:
    raise ImportError(
        "hri_node needs hri_msgs: apt install ros-$ROS_DISTRO-hri-msgs, or `make setup` where there is no ROS 2"
    ) from error

#: For each of Skeleton2D's points the one of BODY_25: nose, neck, right and left arm, right and left leg, then left
#: eye, right eye, left ear, right ear.
FROM_BODY25 = np.array([0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 16, 15, 18, 17])


def ids_list(ids: list[str], stamp: Time) -> IdsList:
    """The bodies that are tracked."""
    return IdsList(header=Header(stamp=stamp), ids=ids)


def skeleton2d(keypoints: Keypoints2D, header: Header) -> Skeleton2D:
    """The points; those that are not seen, or lie outside of the image, have the confidence 0."""
    x, y = (keypoints.points_px[FROM_BODY25] / [keypoints.width, keypoints.height]).T
    inside = (x >= 0.0) & (x <= 1.0) & (y >= 0.0) & (y <= 1.0)
    c = np.where(inside, keypoints.confidence[FROM_BODY25], 0.0)
    points = np.clip(np.stack([x, y, c], axis=1), 0.0, 1.0).tolist()
    return Skeleton2D(header=header, skeleton=[NormalizedPointOfInterest2D(x=x, y=y, c=c) for x, y, c in points])


def region(keypoints: Keypoints2D, confidence: float, header: Header) -> NormalizedRegionOfInterest2D | None:
    """The box of the points that are seen, inside the image; None where none is."""
    seen = keypoints.points_px[keypoints.confidence > 0.0] / [keypoints.width, keypoints.height]
    if not len(seen):
        return None
    (xmin, ymin), (xmax, ymax) = np.clip([seen.min(0), seen.max(0)], 0.0, 1.0).tolist()
    c = min(max(float(confidence), 0.0), 1.0)
    return NormalizedRegionOfInterest2D(header=header, xmin=xmin, ymin=ymin, xmax=xmax, ymax=ymax, c=c)


def transform(rotation: np.ndarray, translation: np.ndarray, header: Header, child: str) -> TransformStamped:
    """``T_header_child`` of [3, 3] and [3] m."""
    x, y, z, w = Rotation.from_matrix(rotation).as_quat().tolist()
    a, b, c = translation.tolist()
    made = Transform(translation=Vector3(x=a, y=b, z=c), rotation=Quaternion(x=x, y=y, z=z, w=w))
    return TransformStamped(header=header, child_frame_id=child, transform=made)
