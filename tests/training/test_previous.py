"""Pairs of moments, and the pose before as training hands it to the network."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import roma
import torch

from diffmocap.body.model import BodyModel
from diffmocap.body.rotations import matrix_from_6d
from diffmocap.lifting.network.condition import root_from_network
from diffmocap.lifting.network.denoiser import DenoiserConfig, TransformerDenoiser
from diffmocap.lifting.network.weights import load_weights
from diffmocap.lifting.sampling.schedule import NoiseSchedule
from training.lifting.previous import PreviousConfig, set_previous
from training.motions.poses import PoseAugmentation, PoseSampler, load_frames
from training.views.views import ViewConfig, sample_views


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return BodyModel.load()


@pytest.fixture(scope="module")
def frames(mocap_dir) -> tuple[torch.Tensor, torch.Tensor]:
    return load_frames([mocap_dir / "cmu_smpl30_val.npz"])


def angles(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return roma.rotmat_geodesic_distance(a, b)


def test_clips_are_numbered_without_a_gap(frames):
    rotations, clips = frames
    assert len(rotations) == len(clips) and (clips.diff() >= 0).all() and set(clips.diff().tolist()) == {0, 1}


def test_pairs_move_as_the_capture_did(body, frames):
    """Unchanged frames come with the frame before them; changed ones turn each joint as far as the capture did."""
    rotations, clips = frames
    g = torch.Generator().manual_seed(0)
    plain = PoseAugmentation(
        mirror_share=0.0, mix_share=0.0, leg_mix_share=0.0, trunk_mix_share=0.0, joint_noise_share=0.0,
        captured_heading_share=1.0,
    )  # fmt: skip
    sampler = PoseSampler(body, rotations, g, plain, clips)
    now, before = sampler.pairs(200, lag=2)
    exact = "donot_use_mm_for_euclid_dist"  # the fast way takes neighbouring frames for each other
    place = torch.cdist(now.flatten(1), rotations.flatten(1), compute_mode=exact).argmin(1)
    inside = (place >= 2) & (clips[(place - 2).clamp_min(0)] == clips[place])
    assert inside.sum() > 150
    assert torch.allclose(before[inside], rotations[place[inside] - 2], atol=1e-4)
    augmented = PoseSampler(body, rotations, g, clips=clips)
    now, before = augmented.pairs(400, lag=1)
    step = angles(now, before)
    captured = angles(rotations[1:], rotations[:-1])[clips[1:] == clips[:-1]]
    assert float(step.mean()) == pytest.approx(float(captured.mean()), rel=0.35)


def test_no_pair_spans_two_clips(body, frames):
    rotations, _ = frames
    clips = torch.arange(len(rotations))  # every frame a clip of its own
    now, before = PoseSampler(body, rotations, torch.Generator().manual_seed(0), clips=clips).pairs(64, lag=1)
    assert float(angles(now, before).max()) < 2e-3


def test_previous_poses_are_given_in_their_share_and_mostly_right(body, frames):
    rotations, clips = frames
    g = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    model = TransformerDenoiser(DenoiserConfig(width=32, heads=2, feedforward=32, decoder_layers=1))
    now, before = PoseSampler(body, rotations, g, clips=clips).pairs(600, lag=1)
    view = sample_views(body, now, ViewConfig(paper_share=0.3), g, before)
    config = PreviousConfig(share=0.5, estimated_share=0.0, wrong_share=0.2, max_noise=0.2)
    set_previous(model, NoiseSchedule(), view, config, g, nullcontext())
    known = view.condition.previous_known > 0
    assert not known[~view.wild].any() and float(known[view.wild].float().mean()) == pytest.approx(0.5, abs=0.08)
    told = root_from_network(matrix_from_6d(view.condition.previous), view.condition.R_camera_crop)
    error = angles(told, view.before.rotations).mean(1)
    wrong = float((error[known] > 0.3).float().mean())
    assert wrong == pytest.approx(0.2, abs=0.1)
    close = error[known & (error < 0.3)]
    assert 0.05 < float(close.mean()) < 0.2


def test_estimates_are_the_networks_and_near_the_frame_before(body, frames):
    rotations, clips = frames
    g = torch.Generator().manual_seed(0)
    model = load_weights()
    now, before = PoseSampler(body, rotations, g, clips=clips).pairs(64, lag=1)
    view = sample_views(body, now, ViewConfig(paper_share=0.0), g, before)
    config = PreviousConfig(share=1.0, estimated_share=1.0, wrong_share=0.0)
    set_previous(model, NoiseSchedule(), view, config, g, nullcontext())
    assert (view.condition.previous_known == 1).all() and not view.condition.previous.requires_grad
    told = root_from_network(matrix_from_6d(view.condition.previous), view.condition.R_camera_crop)
    error = angles(told, view.before.rotations).mean(1)
    others = angles(told.roll(1, 0), view.before.rotations).mean(1)
    assert 0.03 < float(error.median()) < 0.75 * float(others.median())
