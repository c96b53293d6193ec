"""Augmentations keep what they must keep, and views are what a camera would see."""

from __future__ import annotations

import math

import pytest
import torch

from diffmocap.body.model import BodyModel
from diffmocap.body.skeleton import JOINT_MIRROR, KEYPOINT_MIRROR
from diffmocap.camera.projection import project
from diffmocap.evaluation.paper_protocol import paper_intrinsics, paper_view
from training.motions.poses import PoseSampler, load_rotations, mirror, turn
from training.views.simulated_detector import ErrorConfig
from training.views.views import ViewConfig, sample_views


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return BodyModel.load()


@pytest.fixture(scope="module")
def frames(mocap_dir) -> torch.Tensor:
    return load_rotations([mocap_dir / "cmu_smpl30_val.npz"])[::20]


def test_mirror_reflects_the_body_and_is_its_own_inverse(body, frames):
    assert torch.allclose(mirror(mirror(frames)), frames, atol=1e-6)
    zero = torch.zeros(len(frames), 3)
    _, joints = body.forward_kinematics(frames, zero)
    _, mirrored = body.forward_kinematics(mirror(frames), zero)
    reflected = joints[:, list(JOINT_MIRROR)] * torch.tensor([-1.0, 1, 1])
    assert torch.allclose(mirrored, reflected, atol=6e-3)  # as symmetric as the template itself
    keypoints, mirrored = body.keypoints(frames, zero), body.keypoints(mirror(frames), zero)
    assert torch.allclose(mirrored, keypoints[:, list(KEYPOINT_MIRROR)] * torch.tensor([-1.0, 1, 1]), atol=1e-2)


def test_turning_keeps_heights(body, frames):
    yaw = torch.linspace(-3, 3, len(frames))
    zero = torch.zeros(len(frames), 3)
    before, after = body.keypoints(frames, zero), body.keypoints(turn(frames, yaw), zero)
    assert torch.allclose(before[..., 1], after[..., 1], atol=1e-5)
    assert torch.allclose(before[..., [0, 2]].norm(dim=-1), after[..., [0, 2]].norm(dim=-1), atol=1e-5)


def test_views_look_like_their_bodies(body, frames):
    g = torch.Generator().manual_seed(0)
    config = ViewConfig(paper_share=0.0, errors=ErrorConfig(clean_share=1.0))
    sampler = PoseSampler(body, frames, g)
    view = sample_views(body, sampler(512), config, g)
    points = body.keypoints(view.rotations, view.pelvis, view.betas)
    # Without noise the condition's rays, turned back into the optical frame, are the projected body.
    rays = torch.cat([view.condition.rays, torch.ones(512, 25, 1)], -1) @ view.condition.R_camera_crop.transpose(-1, -2)
    rays = rays[..., :2] / rays[..., 2:]
    seen = (view.condition.confidence > 0) & (points[..., 2] > 0.3)
    assert torch.allclose(rays[seen], (points[..., :2] / points[..., 2:])[seen], atol=1e-3)
    count = (view.condition.confidence > 0).sum(1)
    assert int(count.min()) >= 6 and 0.3 < float((count >= 22).float().mean()) < 0.9
    assert torch.isfinite(view.condition.points).all() and float(view.condition.points.abs().max()) <= 1 + 1e-4
    assert (view.condition.view[:, 3] == 0).all()


def test_noise_has_the_level_that_is_told(body, frames):
    g = torch.Generator().manual_seed(1)
    config = ViewConfig(paper_share=0.0, errors=ErrorConfig(clean_share=0.0))
    sampler = PoseSampler(body, frames, g)
    view = sample_views(body, sampler(4000), config, g)
    points = body.keypoints(view.rotations, view.pelvis, view.betas)
    rays = torch.cat([view.condition.rays, torch.ones(4000, 25, 1)], -1) @ view.condition.R_camera_crop.transpose(
        -1, -2
    )
    error = (rays[..., :2] / rays[..., 2:] - points[..., :2] / points[..., 2:]).norm(dim=-1) / view.condition.half_size[
        :, None
    ]
    seen = (view.condition.confidence > 0) & (points[..., 2] > 0.3)
    told = view.condition.view[:, 3:].expand(-1, 25)
    quiet, loud = seen & (told < 0.02), seen & (told > 0.04)
    # The median of a 2D Gaussian's radius is 1.18 sigma; keypoint factors have a median a little below one.
    for part in (quiet, loud):
        ratio = float((error[part] / told[part]).median())
        assert 0.8 < ratio < 1.4
    assert float(view.condition.confidence[quiet].mean()) > float(view.condition.confidence[loud].mean())


def test_paper_view_fills_eighty_percent(body):
    pose = torch.eye(3).expand(1, 24, 3, 3)
    rotations, pelvis, _ = paper_view(body, pose)
    skin = project(body.vertices(rotations, pelvis), paper_intrinsics())[0]
    assert float(skin[:, 1].max() - skin[:, 1].min()) == pytest.approx(0.8, abs=1e-3)
    assert float(pelvis[0, 2]) == pytest.approx(1.725 / 0.8 / 2 / math.tan(math.radians(25)), rel=0.1)
    nose = project(body.keypoints(rotations, pelvis), paper_intrinsics())[0, 0]
    assert float(nose[1]) < 0.3  # upright


def test_held_out_clips_do_not_reach_training(mocap_dir, tmp_path):
    path = mocap_dir / "cmu_smpl30_val.npz"
    names = tmp_path / "held_out.txt"
    names.write_text("39_01  # a walk\n39_02\n")
    assert len(load_rotations([path])) - len(load_rotations([path], names)) == 95 + 100
