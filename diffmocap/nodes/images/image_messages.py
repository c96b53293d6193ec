"""Frames as ROS image messages; :mod:`diffmocap.camera.message_images` reads them."""

from __future__ import annotations

from array import array

import cv2
import numpy as np
from sensor_msgs.msg import CompressedImage, Image

from diffmocap.errors import ImageError
from diffmocap.nodes.messages import header


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


def image_to_compressed_message(image: np.ndarray, stamp_ns: int, frame_id: str, quality: int) -> CompressedImage:
    """uint8 [H, W, 3] BGR as a JPEG of this quality (1 to 100), named as image_transport's plugin names it."""
    ok, encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not ok:
        raise ImageError(f"OpenCV cannot make a JPEG of an image of {image.shape[1]} x {image.shape[0]}")
    message = CompressedImage(header=header(stamp_ns, frame_id), format="bgr8; jpeg compressed bgr8")
    data = array("B")
    data.frombytes(memoryview(encoded).cast("B"))
    message.data = data
    return message
