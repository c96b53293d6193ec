"""The camera's picture with its keypoints: an image waits for the keypoints of its stamp, which come a little later."""

from __future__ import annotations

import struct
from collections import deque

import cv2
import numpy as np
from builtin_interfaces.msg import Time
from diffmocap_msgs.msg import Keypoints2D
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CompressedImage, Image

from diffmocap.camera.message_images import frame_from_compressed, frame_from_image
from diffmocap.errors import DiffmocapError
from diffmocap.keypoints.draw import draw_keypoints
from diffmocap.nodes.messages import keypoints_from_message
from diffmocap.viewer.pace import Pace

#: Images that wait for their keypoints; more would only be older.
WAITING = 3


def stamp_of(data: bytes) -> Time:
    """The stamp of a serialized message that begins with a header.

    CDR: four bytes say the byte order, and the header's first two fields are the stamp's.
    """
    seconds, nanoseconds = struct.unpack_from("<iI" if data[1] & 1 else ">iI", data, 4)
    return Time(sec=seconds, nanosec=nanoseconds)


class Pictures:
    """Pairs images with keypoints and draws them.

    Images come serialized, as DDS has them: most are not shown, and need not be unpacked.

    Args:
        rate_hz: pictures a second at most.
        width: that larger pictures are reduced to [px].
    """

    def __init__(self, rate_hz: float, width: int) -> None:
        self.pace = Pace(rate_hz)
        self.width = width
        self.problem = ""
        self._waiting: deque[tuple[bytes, type]] = deque(maxlen=WAITING)

    def take(self, data: bytes, kind: type[Image] | type[CompressedImage]) -> None:
        """An image of this type has come."""
        self._waiting.append((data, kind))

    def clear(self) -> None:
        """Forgets what waits."""
        self._waiting.clear()

    def draw(self, message: Keypoints2D, now_s: float, mirrored: bool) -> tuple[np.ndarray, int, int] | None:
        """The picture of a Keypoints2D message, with the keypoints; None: too soon, or its image has not come.

        Args:
            message: whose image is drawn.
            now_s: of a monotonic clock.
            mirrored: whether the keypoints are of the image with left and right exchanged.

        Returns:
            uint8 [H, W, 3] RGB, reduced, and width and height of the image itself.
        """
        data = next((waits for waits in reversed(self._waiting) if stamp_of(waits[0]) == message.header.stamp), None)
        if data is None or not self.pace.due(now_s):
            return None
        try:
            drawn = self._drawn(*data, message, mirrored)
        except DiffmocapError as error:
            self.problem = str(error)
            return None
        self.problem = ""
        return drawn, message.width, message.height

    def _drawn(self, data: bytes, kind: type, message: Keypoints2D, mirrored: bool) -> np.ndarray:
        image = deserialize_message(data, kind)
        frame = frame_from_image(image) if kind is Image else frame_from_compressed(image)
        reduced = self._reduced(cv2.flip(frame.image, 1) if mirrored else frame.image)
        return cv2.cvtColor(draw_keypoints(reduced, keypoints_from_message(message)), cv2.COLOR_BGR2RGB)

    def _reduced(self, image: np.ndarray) -> np.ndarray:
        height, width = image.shape[:2]
        if width <= self.width:
            return image
        size = (self.width, max(1, round(height * self.width / width)))
        return cv2.resize(image, size, interpolation=cv2.INTER_AREA)
