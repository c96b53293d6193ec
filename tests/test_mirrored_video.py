"""A video that shows people as a mirror does gives the poses of the true picture."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from diffmocap.body.model import BodyModel
from diffmocap.camera.capture import Capture
from diffmocap.camera.mirror import mirrored
from diffmocap.camera.settings import CaptureSettings
from diffmocap.keypoints.mediapipe_detector import Detector
from diffmocap.pipeline.pose_pipeline import PosePipeline, load_lifter
from diffmocap.pipeline.settings import PipelineSettings
from diffmocap.refinement.filter.pose_filter import PoseFilter
from diffmocap.refinement.filter.settings import FilterSettings
from diffmocap.resources import share_path
from diffmocap.types import CameraIntrinsics

FRAMES = 3


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Images of the bundled clip, and the same as a mirror shows them; losslessly."""
    true, other = tmp_path_factory.mktemp("true"), tmp_path_factory.mktemp("mirrored")
    with Capture(share_path("media", "demo.mp4"), realtime=False) as capture:
        for number in range(FRAMES):
            image = capture.read().image
            cv2.imwrite(str(true / f"img_{number}.png"), image)
            cv2.imwrite(str(other / f"img_{number}.png"), image[:, ::-1])
    return true, other


@pytest.fixture(scope="module")
def joints_m():
    """[T, 24, 3] in the optical frame of the person in a folder of images."""
    unsmoothed = PipelineSettings(refinement=FilterSettings(enabled=False))
    body = BodyModel.load()
    pipeline = PosePipeline(load_lifter("", "", "cpu"), PoseFilter(body), body, unsmoothed)

    def lifted(folder, intrinsics: CameraIntrinsics, mirror: bool) -> np.ndarray:
        pipeline.reset()
        found = []
        seen = Capture(folder, CaptureSettings(mirror=mirror), realtime=False, clock=lambda: 0)
        with seen as capture, Detector() as detector:
            for frame in capture:
                result = pipeline.step(detector.detect(frame), intrinsics)
                assert result.state is not None
                found.append(result.state.joint_positions.numpy())
        return np.stack(found)

    return lifted


def test_the_lifted_person_is_the_same(folders, joints_m):
    true, other = folders
    # The lens is not in the middle of the picture, which a mirrored picture moves to the other side.
    camera = CameraIntrinsics(640, 480, 515.0, 515.0, 290.0, 250.0, (-0.1, 0.02, 0.001, 0.004, 0.0))
    expected = joints_m(true, camera, mirror=False)
    # What is known is the calibration of the mirrored pictures.
    calibration = mirrored(camera)
    assert np.abs(joints_m(other, mirrored(calibration), mirror=True) - expected).max() < 1e-4
    left_as_right = joints_m(other, calibration, mirror=False)
    assert np.abs(left_as_right - expected).mean() > 0.05
