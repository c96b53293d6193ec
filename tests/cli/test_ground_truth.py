"""Runs compared with the truth beside a clip."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import roma
import torch

from diffmocap.body.model import BodyModel
from diffmocap.camera.projection import project
from diffmocap.cli.ground_truth import beside
from diffmocap.cli.improvement import frames_improved, lifting_of
from diffmocap.cli.recording import RecordedFrame, RecordedPose
from diffmocap.errors import MotionFileError
from diffmocap.lifting.settings import POSTERIOR_MEAN, LiftingSettings
from diffmocap.types import CameraIntrinsics, Keypoints2D

INTRINSICS = CameraIntrinsics.from_fov(640, 480, 40.0)
FRAMES = 6


def poses(pelvis_shift_m=(0.0, 0.0, 0.0)) -> dict[int, RecordedPose]:
    generator = torch.Generator().manual_seed(0)
    rotations = roma.rotvec_to_rotmat(0.2 * torch.randn(FRAMES, 24, 3, generator=generator))
    rotations[:, 0] = torch.diag(torch.tensor([1.0, -1.0, -1.0])) @ rotations[:, 0]
    pelvis = torch.tensor([[0.1, 0.0, 3.0]]).repeat(FRAMES, 1) + torch.tensor(pelvis_shift_m)
    _, joints = BodyModel.load().forward_kinematics(rotations, pelvis)
    xyzw = roma.rotmat_to_unitquat(rotations)
    return {
        i: RecordedPose(np.zeros(69), pelvis[i].numpy(), np.zeros(4), xyzw[i].numpy(), joints[i].numpy())
        for i in range(FRAMES)
    }


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    true = poses()
    rotations = roma.unitquat_to_rotmat(torch.tensor(np.stack([true[i].rotations_xyzw for i in range(FRAMES)])))
    pelvis = torch.tensor(np.stack([true[i].root_position_m for i in range(FRAMES)]))
    joints, keypoints = BodyModel.load().joints_and_keypoints(rotations, pelvis)
    px = project(keypoints, torch.tensor(INTRINSICS.matrix).float())
    np.savez(tmp_path / "clip.npz", joints=joints.numpy(), keypoints2d=px.numpy(), K=INTRINSICS.matrix, width=640,
             height=480)  # fmt: skip
    return tmp_path / "clip.mp4"


def test_the_truth_itself_has_no_error(clip):
    truth = beside(str(clip))
    figures = truth.accuracy(poses())
    assert figures["compared_frames"] == FRAMES
    assert figures["mpjpe_mm"] < 1e-2 and figures["pa_mpjpe_mm"] < 1e-2 and figures["pixel_error"] < 1e-6
    assert truth.vertical_fov_deg == pytest.approx(40.0)


def test_a_shifted_body_errs_in_the_image_alone(clip):
    # 3 cm to the right at a depth of about 3 m: fx * 0.03 / depth pixels in x, none in y.
    figures = beside(str(clip)).accuracy(poses(pelvis_shift_m=(0.03, 0.0, 0.0)))
    assert figures["mpjpe_mm"] < 1e-2
    expected = 0.5 * INTRINSICS.fx * 0.03 / 3.0 / 640
    assert figures["pixel_error"] == pytest.approx(expected, rel=0.1)


def test_only_frames_with_a_pose_are_compared(clip):
    estimate = {i: pose for i, pose in poses().items() if i in (1, 4)} | {99: poses()[0]}
    assert beside(str(clip)).accuracy(estimate)["compared_frames"] == 2
    assert beside(str(clip)).accuracy({}) == {}


def test_a_clip_may_have_no_truth(tmp_path):
    assert beside(str(tmp_path / "clip.mp4")) is None
    assert beside("rtsp://somewhere/clip.mp4") is None
    np.savez(tmp_path / "clip.npz", something=np.zeros(3))
    assert beside(str(tmp_path / "clip.mp4")) is None


def test_a_damaged_truth_is_told(tmp_path):
    (tmp_path / "clip.npz").write_bytes(b"PK damaged")
    with pytest.raises(MotionFileError, match="clip.npz"):
        beside(str(tmp_path / "clip.mp4"))
    np.savez(tmp_path / "other.npz", joints=np.zeros((3, 17, 3)), keypoints2d=np.zeros((3, 25, 2)))
    with pytest.raises(MotionFileError, match="17"):
        beside(str(tmp_path / "other.mp4"))


@pytest.mark.parametrize(("shift_m", "improved"), [(0.0, 1.0), (1.0, 0.0)])
def test_what_is_improved_is_judged_by_the_truth(clip, shift_m, improved):
    """Published is the truth itself, or a body that stands elsewhere; the filter alone is somewhere between."""
    truth, published = beside(str(clip)), poses()
    frames = {}
    for i, pose in published.items():
        points = truth.keypoints_px[i].astype(np.float32)
        keypoints = Keypoints2D(points, np.ones(25, np.float32), 640, 480, i * 33_000_000)
        there = replace(pose, joint_positions_m=pose.joint_positions_m + [shift_m, 0.0, 0.0])
        frames[i] = RecordedFrame(keypoints.stamp_ns, keypoints=keypoints, pose=there)
    assert frames_improved(frames, truth, INTRINSICS, POSTERIOR_MEAN) == improved
    assert frames_improved({}, truth, INTRINSICS, POSTERIOR_MEAN) is None


def test_the_lifting_of_a_run_is_what_its_options_ask_for():
    assert lifting_of(argparse.Namespace()) == LiftingSettings()
    given = lifting_of(argparse.Namespace(guidance=1.5, hypotheses=None, steps=3))
    assert given == replace(LiftingSettings(), guidance=1.5, steps=3)
