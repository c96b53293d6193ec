"""Frames of ROS image messages: every encoding of sensor_msgs that shows a scene, in either byte order.

Needs no ROS: whatever has the fields of the messages will do, such as those that a library reads from a bag.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from diffmocap.errors import ImageError
from diffmocap.types import Frame

if TYPE_CHECKING:
    from builtin_interfaces.msg import Time
    from sensor_msgs.msg import CompressedImage, Image

#: encoding -> (values a pixel, OpenCV conversion to BGR or None where it is BGR already), one byte a value.
_BYTES = {
    "bgr8": (3, None),
    "8UC3": (3, None),
    "rgb8": (3, cv2.COLOR_RGB2BGR),
    "mono8": (1, cv2.COLOR_GRAY2BGR),
    "8UC1": (1, cv2.COLOR_GRAY2BGR),
    "bgra8": (4, cv2.COLOR_BGRA2BGR),
    "8UC4": (4, cv2.COLOR_BGRA2BGR),
    "rgba8": (4, cv2.COLOR_RGBA2BGR),
    # ROS names a pattern by its first two rows, OpenCV by the second and third pixel of the second row.
    "bayer_rggb8": (1, cv2.COLOR_BayerBG2BGR),
    "bayer_bggr8": (1, cv2.COLOR_BayerRG2BGR),
    "bayer_gbrg8": (1, cv2.COLOR_BayerGR2BGR),
    "bayer_grbg8": (1, cv2.COLOR_BayerGB2BGR),
    "yuyv": (2, cv2.COLOR_YUV2BGR_YUY2),
    "yuv422_yuy2": (2, cv2.COLOR_YUV2BGR_YUY2),
    "uyvy": (2, cv2.COLOR_YUV2BGR_UYVY),
    "yuv422": (2, cv2.COLOR_YUV2BGR_UYVY),
}
#: The same for two bytes a value.
_WORDS = {f"{name[:-1]}16": kind for name, kind in _BYTES.items() if name.endswith("8")} | {
    "16UC1": (1, cv2.COLOR_GRAY2BGR),
    "16UC3": (3, None),
    "16UC4": (4, cv2.COLOR_BGRA2BGR),
}
#: A plane of brightness and one of interleaved colour -> (columns and rows that share a colour, conversion).
_PLANES = {
    "nv12": (2, cv2.COLOR_YUV2BGR_NV12),
    "nv21": (2, cv2.COLOR_YUV2BGR_NV21),
    "nv24": (1, cv2.COLOR_YUV2BGR_NV12),
}
#: Two pixels share a colour.
_PAIRED = {name for name in _BYTES if name.startswith(("yuyv", "uyvy", "yuv422"))}
ENCODINGS = (*_BYTES, *_WORDS, *_PLANES)

#: Share of the pixels of a 16UC1 image that may be darker than black and brighter than white.
_STRETCH_TAIL = 0.005


def ns_from_stamp(stamp: Time) -> int:
    """A ROS time as nanoseconds since the epoch."""
    return stamp.sec * 1_000_000_000 + stamp.nanosec


def frame_from_image(message: Image) -> Frame:
    """An Image as a BGR frame; bgr8 is not copied.

    Values of 16 bits are scaled by 255 / 65535, as cv_bridge does. 16UC1 says nothing of its range (12 bits of a
    sensor, millimetres): its darkest and brightest pixels become black and white.

    Raises:
        ImageError: for zero size, a row step or data length that does not fit, an encoding that shows no scene.
    """
    width, height, encoding = message.width, message.height, message.encoding
    if width == 0 or height == 0:
        raise ImageError(f"the image has no pixels: {width} x {height}")
    if encoding in _BYTES:
        image = _from_bytes(message)
    elif encoding in _WORDS:
        image = _from_words(message)
    elif encoding in _PLANES:
        image = _from_planes(message)
    else:
        raise ImageError(
            f"cannot read images of encoding '{encoding}'; expected one of {', '.join(ENCODINGS)}. "
            "Set the camera driver's pixel format, or convert with image_proc"
        )
    return Frame(image, ns_from_stamp(message.header.stamp))


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


def _from_bytes(message: Image) -> np.ndarray:
    values, conversion = _BYTES[message.encoding]
    if message.encoding in _PAIRED and message.width % 2:
        raise ImageError(f"a {message.encoding} image needs an even width, got {message.width}")
    rows = _rows(message, message.height, message.width * values)
    # Without a copy, as OpenCV takes rows with padding as they are.
    strides = (rows.strides[0], values, 1)[: 3 if values > 1 else 2]
    shape = (message.height, message.width, values)[: 3 if values > 1 else 2]
    pixels = np.lib.stride_tricks.as_strided(rows, shape, strides, writeable=False)
    return pixels if conversion is None else cv2.cvtColor(pixels, conversion)


def _from_words(message: Image) -> np.ndarray:
    values, conversion = _WORDS[message.encoding]
    rows = np.ascontiguousarray(_rows(message, message.height, message.width * 2 * values))
    words = rows.view(">u2" if message.is_bigendian else "<u2").astype(np.uint16, copy=False)
    low, high = _range(words) if message.encoding == "16UC1" else (0, 65535)
    scale = 255.0 / (high - low)
    # convertScaleAbs would show what lies below `low` as bright again.
    words = np.maximum(words, np.uint16(low)) if low else words
    image = cv2.convertScaleAbs(words, alpha=scale, beta=-low * scale)
    image = image.reshape((message.height, message.width, values)[: 3 if values > 1 else 2])
    return image if conversion is None else cv2.cvtColor(image, conversion)


def _range(words: np.ndarray) -> tuple[int, int]:
    """The values of [H, W] uint16 to be shown as black and white, a few outliers aside."""
    few = np.sort(words[::4, ::4], None)
    tail = int(np.ceil(_STRETCH_TAIL * (len(few) - 1)))
    low, high = int(few[tail]), int(few[-1 - tail])
    return low, max(high, low + 1)


def _from_planes(message: Image) -> np.ndarray:
    shared, conversion = _PLANES[message.encoding]
    width, height = message.width, message.height
    if shared > 1 and (width % shared or height % shared):
        raise ImageError(f"a {message.encoding} image needs an even width and height, got {width} x {height}")
    if shared > 1:
        return cv2.cvtColor(_rows(message, height * 3 // 2, width), conversion)
    # NV24 has a colour for each pixel, in rows of twice the length, which OpenCV does not read: four pixels share one.
    brightness = cv2.copyMakeBorder(_rows(message, height, width), 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
    colour = _rows(message, height, 2 * width, 2 * message.step, message.step * height).reshape(height, width, 2)
    half = (brightness.shape[1] // 2, brightness.shape[0] // 2)
    colour = cv2.resize(colour, half, interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(cv2.cvtColorTwoPlane(brightness, colour, conversion)[:height, :width])


def _rows(message: Image, rows: int, used: int, step: int | None = None, start: int = 0) -> np.ndarray:
    """Bytes [rows, used] of the data from ``start`` on, not copied; the padding after the last row may be missing."""
    step, size = message.step if step is None else step, len(message.data)
    needed = start + step * (rows - 1) + used
    if step < used or size < needed:
        raise ImageError(
            f"a {message.encoding} image of {message.width} x {message.height} with row step {message.step} needs a "
            f"step of at least {used} and {max(needed, used * rows)} bytes of data, got {size}"
        )
    data = np.frombuffer(message.data, np.uint8, count=needed - start, offset=start)
    return np.lib.stride_tricks.as_strided(data, (rows, used), (step, 1), writeable=False)
