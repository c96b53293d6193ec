"""What a camera says of itself, and how far away a person is then reconstructed who stands 4.29 m before it.

A true camera projects the body model's keypoints; the same camera's legal CameraInfo goes through the node's own
reading of it, and the lifting pipeline places the person.
"""

from __future__ import annotations

import inspect
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from .case import Case

#: Where the person's pelvis really is, in the camera's optical frame [m].
PELVIS_M = (0.35, 0.1, 4.29)
FRAMES = 4
K = np.array([[600.0, 0.0, 320.0], [0.0, 600.0, 240.0], [0.0, 0.0, 1.0]])
BARREL = [-0.28, 0.09, 0.001, -0.0007, 0.02]
FISHEYE = [0.02, -0.01, 0.003, -0.001]


@cache
def _pipeline() -> Any:
    from diffmocap.body.model import BodyModel

    try:
        from diffmocap.pipeline.pose_pipeline import PosePipeline, load_lifter
    except ModuleNotFoundError:  # a checkout in which it was one file
        from diffmocap.pipeline import PosePipeline, load_lifter
    from diffmocap.refinement.filter.pose_filter import PoseFilter

    body = BodyModel.load()
    # The filter alone: what is asked is where the lifting puts the person.
    return PosePipeline(load_lifter(None, None, "cpu"), PoseFilter(body), body)


@cache
def person_m() -> np.ndarray:
    """[25, 3] keypoints of a body that stands with its arms down and faces the camera, optical frame, metres."""
    import torch

    body = _pipeline().body
    rotations = torch.eye(3).repeat(1, 24, 1, 1)
    rotations[:, 0] = torch.diag(torch.tensor([1.0, -1.0, -1.0]))
    for joint, angle in ((16, -1.2), (17, 1.2)):  # shoulders
        c, s = np.cos(angle), np.sin(angle)
        rotations[:, joint] = torch.tensor([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
    return body.keypoints(rotations, torch.tensor([PELVIS_M]))[0].double().numpy()


def pixels(k: np.ndarray, distortion: list[float] = (), fisheye: bool = False) -> np.ndarray:
    """[25, 2] where a camera sees the person."""
    zero, points = np.zeros(3), person_m()
    if fisheye:
        return cv2.fisheye.projectPoints(points[:, None], zero, zero, k, np.array(distortion))[0].reshape(-1, 2)
    return cv2.projectPoints(points, zero, zero, k, np.array(distortion or [0.0] * 5))[0].reshape(-1, 2)


def camera_info(k: np.ndarray = K, size: tuple[int, int] = (640, 480), **fields: Any) -> Any:
    """A CameraInfo with these fields; K, P and the size are of the full resolution."""
    from sensor_msgs.msg import CameraInfo

    fields = {"distortion_model": "plumb_bob", "d": [0.0] * 5} | fields
    return CameraInfo(width=size[0], height=size[1], k=np.asarray(k, float).flatten(), **fields)


def distance_m(info: Any, points_px: np.ndarray, size: tuple[int, int], topic: str = "/camera/image_raw") -> float:
    """How far the pelvis is found to be, by what pose_node makes of ``info`` for images of ``size`` on ``topic``."""
    from diffmocap.nodes.images.calibration import Calibration
    from diffmocap.types import Keypoints2D

    def said(*_: str) -> None:
        """What the node logs changes nothing here."""

    knows_topics = "image_topics" in inspect.signature(Calibration).parameters
    calibration = Calibration(said, image_topics=lambda: [topic]) if knows_topics else Calibration(said)
    calibration.receive(info)
    intrinsics = calibration.intrinsics(*size, 50.0)
    pipeline = _pipeline()
    pipeline.reset()
    confidence = np.ones(25, np.float32)
    distances = []
    for frame in range(FRAMES):
        keypoints = Keypoints2D(points_px.astype(np.float32), confidence, *size, stamp_ns=(frame + 1) * 33_000_000)
        result = pipeline.step(keypoints, intrinsics)
        distances.append(float(result.state.pelvis[2]))
    return round(distances[-1], 2)


def _plain(_: Path) -> float:
    return distance_m(camera_info(), pixels(K), (640, 480))


def _window(_: Path) -> float:
    from sensor_msgs.msg import RegionOfInterest

    full = np.array([[1200.0, 0.0, 640.0], [0.0, 1200.0, 512.0], [0.0, 0.0, 1.0]])
    roi = RegionOfInterest(x_offset=320, y_offset=212, width=640, height=600)
    return distance_m(camera_info(full, (1280, 1024), roi=roi), pixels(full) - [320, 212], (640, 600))


def _binned_window(_: Path) -> float:
    from sensor_msgs.msg import RegionOfInterest

    full = np.array([[1200.0, 0.0, 640.0], [0.0, 1200.0, 512.0], [0.0, 0.0, 1.0]])
    roi = RegionOfInterest(x_offset=320, y_offset=112, width=640, height=800)
    info = camera_info(full, (1280, 1024), roi=roi, binning_x=2, binning_y=2)
    return distance_m(info, (pixels(full) - [320, 112]) / 2, (320, 400))


def _rectified(_: Path) -> float:
    # As image_proc makes it of a wide lens: P is far from K.
    p = np.array([[440.0, 0.0, 318.0], [0.0, 445.0, 243.0], [0.0, 0.0, 1.0]])
    info = camera_info(K, d=BARREL, p=np.hstack([p, np.zeros((3, 1))]).flatten())
    return distance_m(info, pixels(p), (640, 480), "/camera/image_rect_color")


def _other_aspect(_: Path) -> float:
    """Calibrated at 640 x 480, running at 1280 x 720: the same width, rows left out."""
    wide = np.array([[1200.0, 0.0, 640.0], [0.0, 1200.0, 360.0], [0.0, 0.0, 1.0]])
    return distance_m(camera_info(), pixels(wide), (1280, 720))


def _impossible(k: np.ndarray) -> Any:
    def measure(_: Path) -> float:
        true = np.array([[514.7, 0.0, 320.0], [0.0, 514.7, 240.0], [0.0, 0.0, 1.0]])  # 50 degrees high
        return distance_m(camera_info(k), pixels(true), (640, 480))

    return measure


def _fisheye(_: Path) -> float:
    k = np.array([[330.0, 0.0, 320.0], [0.0, 330.0, 240.0], [0.0, 0.0, 1.0]])
    info = camera_info(k, distortion_model="equidistant", d=FISHEYE)
    return distance_m(info, pixels(k, FISHEYE, fisheye=True), (640, 480))


def _fisheye_rectified(_: Path) -> float:
    k = np.array([[330.0, 0.0, 320.0], [0.0, 330.0, 240.0], [0.0, 0.0, 1.0]])
    p = np.array([[280.0, 0.0, 320.0], [0.0, 280.0, 240.0], [0.0, 0.0, 1.0]])
    info = camera_info(k, distortion_model="equidistant", d=FISHEYE, p=np.hstack([p, np.zeros((3, 1))]).flatten())
    return distance_m(info, pixels(p), (640, 480), "/camera/image_rect")


def _unknown_without_distortion(_: Path) -> float:
    k = np.array([[420.0, 0.0, 320.0], [0.0, 420.0, 240.0], [0.0, 0.0, 1.0]])
    return distance_m(camera_info(k, distortion_model="none", d=[0.0] * 4), pixels(k), (640, 480))


_DISTANCE = ("m", f"{PELVIS_M[2]}")

CASES = (
    Case("CameraInfo", "K of the whole image", *_DISTANCE, _plain),
    Case("CameraInfo", "region of interest, 640 x 600 of 1280 x 1024", *_DISTANCE, _window),
    Case("CameraInfo", "region of interest, binned 2 x 2", *_DISTANCE, _binned_window),
    Case("CameraInfo", "rectified image, P differs from K", *_DISTANCE, _rectified),
    Case("CameraInfo", "calibrated at 640 x 480, images of 1280 x 720", *_DISTANCE, _other_aspect),
    Case("CameraInfo", "K is the identity, true field of view 50 degrees", *_DISTANCE, _impossible(np.eye(3))),
    Case("CameraInfo", "fx of 1e9", *_DISTANCE, _impossible(K * [[1e9 / 600, 1, 1], [1, 1e9 / 600, 1], [1, 1, 1]])),
    Case("lens models", "equidistant (fisheye), raw image", *_DISTANCE, _fisheye),
    Case("lens models", "equidistant (fisheye), rectified image", *_DISTANCE, _fisheye_rectified),
    Case("lens models", "zero distortion of an unknown model", *_DISTANCE, _unknown_without_distortion),
)
