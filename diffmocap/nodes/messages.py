"""Between ROS messages and the package's plain data: stamps, images, keypoints, camera info."""

from __future__ import annotations

from array import array

import cv2
import numpy as np
from builtin_interfaces.msg import Time
from diffmocap_msgs.msg import Keypoints2D as Keypoints2DMsg
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header

from diffmocap.camera.intrinsics import from_arrays
from diffmocap.errors import ImageError, KeypointError
from diffmocap.types import CameraIntrinsics, Frame, Keypoints2D

#: encoding -> (bytes a pixel, OpenCV conversion to BGR or None where it is BGR already)
_ENCODINGS = {
    "bgr8": (3, None),
    "8UC3": (3, None),
    "rgb8": (3, cv2.COLOR_RGB2BGR),
    "mono8": (1, cv2.COLOR_GRAY2BGR),
    "8UC1": (1, cv2.COLOR_GRAY2BGR),
    "bgra8": (4, cv2.COLOR_BGRA2BGR),
    "8UC4": (4, cv2.COLOR_BGRA2BGR),
    "rgba8": (4, cv2.COLOR_RGBA2BGR),
    "yuv422_yuy2": (2, cv2.COLOR_YUV2BGR_YUY2),
    "yuv422": (2, cv2.COLOR_YUV2BGR_UYVY),
}


def stamp_from_ns(stamp_ns: int) -> Time:
    """Nanoseconds since the epoch as a ROS time."""
    sec, nanosec = divmod(int(stamp_ns), 1_000_000_000)
    return Time(sec=sec, nanosec=nanosec)


def ns_from_stamp(stamp: Time) -> int:
    """A ROS time as nanoseconds since the epoch."""
    return stamp.sec * 1_000_000_000 + stamp.nanosec


def header(stamp_ns: int, frame_id: str) -> Header:
    """A header with this acquisition time and frame."""
    return Header(stamp=stamp_from_ns(stamp_ns), frame_id=frame_id)


def image_to_message(image: np.ndarray, stamp_ns: int, frame_id: str) -> Image:
    """uint8 [H, W, 3] BGR as a bgr8 Image."""
    height, width = image.shape[:2]
    message = Image(
        header=header(stamp_ns, frame_id), height=height, width=width, encoding="bgr8", is_bigendian=0, step=width * 3
    )
    # Only array.array is taken as it is; anything else is checked byte by byte, a second an image.
    data = array("B")
    data.frombytes(memoryview(np.ascontiguousarray(image)).cast("B"))
    message.data = data
    return message


def frame_from_image(message: Image) -> Frame:
    """An Image in one of the 8-bit encodings as a BGR frame; bgr8 is not copied.

    Raises:
        ImageError: for zero size, a row step or data length that does not fit, an unknown encoding.
    """
    width, height, step = message.width, message.height, message.step
    if width == 0 or height == 0:
        raise ImageError(f"the image has no pixels: {width} x {height}")
    if message.encoding not in _ENCODINGS:
        raise ImageError(
            f"cannot read images of encoding '{message.encoding}'; expected one of {', '.join(_ENCODINGS)}. "
            "Set the camera driver's pixel format, or convert with image_proc"
        )
    channels, conversion = _ENCODINGS[message.encoding]
    row = width * channels
    # The padding after the last row may be missing.
    needed = step * (height - 1) + row
    if step < row or len(message.data) < needed:
        raise ImageError(
            f"a {message.encoding} image of {width} x {height} with row step {step} needs a step of at least {row} "
            f"and {needed} bytes of data, got {len(message.data)}"
        )
    if message.encoding.startswith("yuv422") and width % 2:
        raise ImageError(f"a {message.encoding} image needs an even width, got {width}")
    pixels = np.frombuffer(message.data, np.uint8, count=needed)
    shape = (height, width, channels) if channels > 1 else (height, width)
    strides = (step, channels, 1) if channels > 1 else (step, 1)
    pixels = np.lib.stride_tricks.as_strided(pixels, shape, strides, writeable=False)
    if conversion is not None:
        pixels = cv2.cvtColor(np.ascontiguousarray(pixels), conversion)
    return Frame(pixels, ns_from_stamp(message.header.stamp))


def frame_from_compressed(message: CompressedImage) -> Frame:
    """A JPEG or PNG CompressedImage as a BGR frame.

    Raises:
        ImageError: where the data is empty or no image.
    """
    data = np.frombuffer(message.data, np.uint8)
    # The sensor's own orientation, as camera_info describes it, whatever a EXIF tag says.
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        image = cv2.imdecode(data, flags) if data.size else None
    except cv2.error as error:
        raise ImageError(f"cannot decode a compressed image ({message.format}): {error}") from error
    if image is None:
        raise ImageError(
            f"cannot decode a compressed image of {data.size} bytes, format '{message.format}'; expected JPEG or PNG"
        )
    return Frame(image, ns_from_stamp(message.header.stamp))


def keypoints_to_message(keypoints: Keypoints2D, frame_id: str) -> Keypoints2DMsg:
    """Keypoints as their message, stamped with the image's acquisition time."""
    return Keypoints2DMsg(
        header=header(keypoints.stamp_ns, frame_id),
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
    return Keypoints2D(points_px, confidence, message.width, message.height, stamp_ns, depth_m)


def camera_info_to_message(intrinsics: CameraIntrinsics, stamp_ns: int, frame_id: str) -> CameraInfo:
    """Intrinsics as CameraInfo of an image that is not rectified; nobody calibrated: K is zero (REP-104)."""
    message = CameraInfo(header=header(stamp_ns, frame_id), width=intrinsics.width, height=intrinsics.height)
    if intrinsics.is_default:
        return message
    distortion = [float(value) for value in intrinsics.distortion] or [0.0] * 5
    message.distortion_model = "rational_polynomial" if len(distortion) > 5 else "plumb_bob"
    message.d = distortion
    message.k = intrinsics.matrix.reshape(9)
    message.r = np.eye(3).reshape(9)
    message.p = np.hstack([intrinsics.matrix, np.zeros((3, 1))]).reshape(12)
    return message


def intrinsics_from_camera_info(
    message: CameraInfo, width: int, height: int, vertical_fov_deg: float = 50.0
) -> CameraIntrinsics:
    """Intrinsics for images of ``width`` x ``height`` pixels.

    An all-zero K gives the default field of view with ``is_default`` set.

    Raises:
        SettingsError: where K or the distortion cannot be used.
    """
    return from_arrays(
        np.asarray(message.k, float).reshape(3, 3),
        np.asarray(message.d, float),
        (message.width, message.height),
        (width, height),
        distortion_model=message.distortion_model,
        vertical_fov_deg=vertical_fov_deg,
    )
