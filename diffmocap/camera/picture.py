"""From a picture as it is stored to the picture as it is to be seen: square pixels, upright, not mirrored."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np

from diffmocap.camera.containers.container import Container, Turn

_ROTATIONS = {1: cv2.ROTATE_90_CLOCKWISE, 2: cv2.ROTATE_180, 3: cv2.ROTATE_90_COUNTERCLOCKWISE}
#: Nearer to 1 the rounding of a container's sizes is as large; farther away it is a damaged number.
_LEAST_ASPECT, _MOST_ASPECT = 1.005, 5.0


@dataclass(frozen=True)
class Correction:
    """What is done to each picture, in this order; a correction that changes nothing returns the picture itself.

    Attributes:
        pixel_aspect: width over height of a stored pixel. The shorter side of the pixels is stretched, so that no
            detail is lost and the camera has one focal length for both axes.
        turn: as the container asks.
        mirror: exchange left and right of the upright picture, for a source that shows people as a mirror does.
    """

    pixel_aspect: float = 1.0
    turn: Turn = Turn()
    mirror: bool = False

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """uint8 [H, W, 3] as stored -> [H', W', 3]."""
        aspect = self.pixel_aspect
        if aspect != 1.0:
            height, width = image.shape[:2]
            size = (round(width * aspect), height) if aspect > 1.0 else (width, round(height / aspect))
            image = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
        if self.turn.mirrored:
            image = cv2.flip(image, 1)
        if self.turn.quarters:
            image = cv2.rotate(image, _ROTATIONS[self.turn.quarters])
        return cv2.flip(image, 1) if self.mirror else image


def correction_of(video: Any, container: Container, image: np.ndarray, mirror: bool = False) -> Correction:
    """What the pictures of an open video need.

    Args:
        video: a ``cv2.VideoCapture`` that was asked by :func:`leave_turning_to_us` not to turn.
        container: the file's metadata; an empty one for other sources, where the backend's properties are used.
        image: uint8 [H, W, 3] as the backend gave it.
        mirror: as for :class:`Correction`.
    """
    turn = container.turn
    if not container.width:
        # The angle has the wrong sign in 4.6.0, which Ubuntu 24.04 and Debian 12 have.
        sign = -1.0 if cv2.__version__.startswith("4.6.") else 1.0
        turn = Turn.clockwise(sign * video.get(cv2.CAP_PROP_ORIENTATION_META))
    if _turned_already(video, container, image):
        turn = Turn()
    aspect = container.pixel_aspect or _pixel_aspect_of(video)
    if not 1.0 / _MOST_ASPECT <= aspect <= _MOST_ASPECT or 1.0 / _LEAST_ASPECT < aspect < _LEAST_ASPECT:
        aspect = 1.0
    return replace(Correction(), pixel_aspect=aspect, turn=turn, mirror=mirror)


def leave_turning_to_us(video: Any) -> None:
    """Asks a backend not to rotate pictures; to be called before the first one is read."""
    video.set(cv2.CAP_PROP_ORIENTATION_AUTO, 0)


def _turned_already(video: Any, container: Container, image: np.ndarray) -> bool:
    """Whether the backend has rotated the picture, as those do that cannot be asked not to."""
    height, width = image.shape[:2]
    if container.width != container.height and (width, height) == (container.height, container.width):
        return True
    return bool(video.get(cv2.CAP_PROP_ORIENTATION_AUTO)) and video.get(cv2.CAP_PROP_ORIENTATION_META) % 360 != 0


def _pixel_aspect_of(video: Any) -> float:
    across, down = video.get(cv2.CAP_PROP_SAR_NUM), video.get(cv2.CAP_PROP_SAR_DEN)
    return across / down if across > 0 and down > 0 else 1.0
