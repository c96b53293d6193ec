"""A smooth picture in each encoding of sensor_msgs, and how far the image that keypoint_node gets is from it."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from .case import Case

WIDTH, HEIGHT = 640, 480
#: Bytes after each row.
PADDING = 12


def picture() -> np.ndarray:
    """Smooth colours, uint8 BGR: what encodings that share colours between pixels keep."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH] / [[[HEIGHT]], [[WIDTH]]]
    waves = [np.sin(7 * x + 3 * y), np.cos(5 * y - 4 * x), np.sin(9 * x * y + 1)]
    return np.stack([128 + 90 * wave for wave in waves], -1).astype(np.uint8)


def _mosaic(bgr: np.ndarray, pattern: str) -> np.ndarray:
    made = np.empty(bgr.shape[:2], bgr.dtype)
    for place, colour in enumerate(pattern):
        made[place // 2 :: 2, place % 2 :: 2] = bgr[place // 2 :: 2, place % 2 :: 2, "bgr".index(colour)]
    return made


def _planes(bgr: np.ndarray, order: int) -> np.ndarray:
    """NV12 (order 1) or NV21 (order -1) from OpenCV's planes of Y, U and V."""
    planar = cv2.cvtColor(bgr, cv2.COLOR_BGR2YUV_I420)
    u, v = planar[HEIGHT:].reshape(2, -1)
    return np.vstack([planar[:HEIGHT], np.stack([u, v][::order], -1).reshape(-1, WIDTH)])


def _encoded(encoding: str, bgr: np.ndarray) -> np.ndarray:
    wide = bgr.astype(np.uint16) * 257 if encoding.endswith("16") or encoding == "16UC1" else bgr
    if encoding.startswith("bayer_"):
        return _mosaic(wide, encoding[6:10])
    made: dict[str, Callable[[], np.ndarray]] = {
        "yuyv": lambda: cv2.cvtColor(bgr, cv2.COLOR_BGR2YUV_YUY2),
        "uyvy": lambda: cv2.cvtColor(bgr, cv2.COLOR_BGR2YUV_UYVY),
        "nv12": lambda: _planes(bgr, 1),
        "nv21": lambda: _planes(bgr, -1),
        "mono16": lambda: wide[..., 1],
        "16UC1": lambda: wide[..., 1] // 16,  # twelve bits of a sensor
        "rgb16": lambda: wide[..., ::-1],
        "bgr16": lambda: wide,
        "rgba16": lambda: np.dstack([wide[..., ::-1], wide[..., :1]]),
    }
    return made[encoding]()


def _error(encoding: str, big_endian: bool = False) -> Callable[[Path], float]:
    """Of the decoded image: the 99.9th percentile over all values, in grey levels of 255."""

    def measure(_: Path) -> float:
        from sensor_msgs.msg import Image

        bgr = picture()
        rows = np.ascontiguousarray(_encoded(encoding, bgr))
        rows = rows.astype(rows.dtype.newbyteorder(">" if big_endian else "<")).view(np.uint8).reshape(len(rows), -1)
        rows = np.hstack([rows, np.full((len(rows), PADDING), 99, np.uint8)])
        message = Image(
            width=WIDTH, height=HEIGHT, encoding=encoding, step=rows.shape[1], is_bigendian=int(big_endian),
            data=array("B", rows.tobytes()),
        )  # fmt: skip
        got = _reader()(message).image.astype(int)
        expected = bgr if "mono" not in encoding and encoding != "16UC1" else np.repeat(bgr[..., 1:2], 3, 2)
        if encoding == "16UC1":  # its range is stretched
            expected = (expected - expected.min()) * 255.0 / np.ptp(expected)
        return round(float(np.quantile(np.abs(got - expected), 0.999)), 1)

    return measure


def _reader() -> Any:
    for module in ("diffmocap.nodes.images.image_messages", "diffmocap.nodes.messages"):
        try:
            return import_module(module).frame_from_image
        except (ImportError, AttributeError):
            continue
    raise ImportError("no module reads images")


_ENCODINGS = (
    "yuyv", "uyvy", "nv12", "nv21", "mono16", "16UC1", "rgb16", "bgr16", "rgba16", "bayer_rggb8", "bayer_bggr8",
    "bayer_gbrg8", "bayer_grbg8", "bayer_rggb16", "bayer_bggr16", "bayer_gbrg16", "bayer_grbg16",
)  # fmt: skip
CASES = tuple(
    Case("encodings", f"{name}{', big endian' if big else ''}", "levels of 255", "below 8", _error(name, big))
    for name in _ENCODINGS
    for big in ((False, True) if "16" in name else (False,))
)
