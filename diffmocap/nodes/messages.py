"""Between ROS messages and the package's plain data: stamps, keypoints, camera info (images: ``image_messages``)."""

from __future__ import annotations

import numpy as np
from builtin_interfaces.msg import Time
from diffmocap_msgs.msg import Keypoints2D as Keypoints2DMsg
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

from diffmocap.camera.lens import model_name
from diffmocap.camera.message_images import ns_from_stamp
from diffmocap.errors import KeypointError
from diffmocap.types import CameraIntrinsics, Keypoints2D


def stamp_from_ns(stamp_ns: int) -> Time:
    """Nanoseconds since the epoch as a ROS time."""
    sec, nanosec = divmod(int(stamp_ns), 1_000_000_000)
    return Time(sec=sec, nanosec=nanosec)


def header(stamp_ns: int, frame_id: str) -> Header:
    """A header with this acquisition time and frame."""
    return Header(stamp=stamp_from_ns(stamp_ns), frame_id=frame_id)


def keypoints_to_message(keypoints: Keypoints2D, frame_id: str) -> Keypoints2DMsg:
    """Keypoints as their message, stamped with the image's acquisition time."""
    return Keypoints2DMsg(
        header=header(keypoints.stamp_ns, frame_id),
        id=keypoints.person_id,
        width=keypoints.width,
        height=keypoints.height,
        points=np.ascontiguousarray(keypoints.points_px, np.float32).reshape(50),
        confidence=np.ascontiguousarray(keypoints.confidence, np.float32),
        depth=np.full(25, np.nan, np.float32) if keypoints.depth_m is None else keypoints.depth_m.astype(np.float32),
    )


def keypoints_from_message(message: Keypoints2DMsg) -> Keypoints2D:
    """A keypoints message as plain data; rows of confidence 0 become zero.

    Raises:
        KeypointError: for NaN, confidences outside [0, 1] or an image without size.
    """
    if message.width == 0 or message.height == 0:
        raise KeypointError(
            f"keypoints need the size of their image, got {message.width} x {message.height}; "
            "set width and height of the message"
        )
    confidence = np.array(message.confidence, np.float32)
    points_px = np.array(message.points, np.float32).reshape(25, 2)
    points_px[confidence == 0] = 0.0
    # A publisher that knows nothing of depths leaves zeros: all keypoints in one plane is no person.
    depth_m = np.array(message.depth, np.float32)
    if not (np.isfinite(depth_m) & (depth_m != 0.0)).any():
        depth_m = None
    stamp_ns = ns_from_stamp(message.header.stamp)
    return Keypoints2D(points_px, confidence, message.width, message.height, stamp_ns, depth_m, message.id)


def camera_info_to_message(intrinsics: CameraIntrinsics, stamp_ns: int, frame_id: str) -> CameraInfo:
    """Intrinsics as CameraInfo of an image that is not rectified; nobody calibrated: K is zero (REP-104)."""
    message = CameraInfo(header=header(stamp_ns, frame_id), width=intrinsics.width, height=intrinsics.height)
    if intrinsics.is_default:
        return message
    message.distortion_model = model_name(intrinsics)
    message.d = [float(value) for value in intrinsics.distortion] or [0.0] * 5
    message.k = intrinsics.matrix.reshape(9)
    message.r = np.eye(3).reshape(9)
    message.p = np.hstack([intrinsics.matrix, np.zeros((3, 1))]).reshape(12)
    return message
