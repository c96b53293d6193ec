"""The wild protocol: views depend on their frame alone, strata hold what they say, figures relate as they must."""

from __future__ import annotations

import math
from dataclasses import fields

import numpy as np
import pytest
import torch
from scipy.stats import kstest

from diffmocap.body.mocap import load_split
from diffmocap.body.model import BodyModel
from diffmocap.evaluation.frame_draws import FrameDraws
from diffmocap.evaluation.wild_protocol import WildResult, evaluate_wild_protocol
from diffmocap.evaluation.wild_views import STRATA, WildConfig, _camera_from_level, wild_views
from diffmocap.lifting.network.weights import load_weights

COUNT = 400


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return BodyModel.load()


@pytest.fixture(scope="module")
def poses(mocap_dir) -> torch.Tensor:
    every = torch.cat([clip.rotations for clip in load_split(mocap_dir / "cmu_smpl30_val.npz")])
    return every[torch.linspace(0, len(every) - 1, COUNT).long()]


@pytest.fixture(scope="module")
def views(body, poses):
    return wild_views(body, poses, range(COUNT))


def test_draws_are_numpys_philox_and_fill_their_ranges():
    """The first word is the generator's own; uniform and normal have their distributions over the frames."""
    word = np.random.Philox(key=[7, 3], counter=[0, 0, 0, 1]).random_raw()
    value = float(FrameDraws(7, [3], stream=1).uniform())
    assert value == pytest.approx(float(word) / 2.0**64, abs=1e-6)
    draws = FrameDraws(0, range(2000))
    assert kstest(draws.uniform(3, low=-2.0, high=1.0).flatten(), "uniform", (-2, 3)).pvalue > 1e-3
    assert kstest(draws.normal(3).flatten(), "norm").pvalue > 1e-3
    assert FrameDraws(0, [1, 2]).normal(2, 5).shape == (2, 2, 5)


def test_a_frame_gets_the_same_view_in_any_batch(body, poses, views):
    some = torch.tensor([7, 3, 250])
    again = wild_views(body, poses[some], some)
    for name in ("rotations", "pelvis", "betas", "rays", "focal", "stratum", "noise"):
        torch.testing.assert_close(getattr(again, name), getattr(views, name)[some], atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(again.condition.points, views.condition.points[some], atol=1e-5, rtol=0)
    assert not torch.allclose(wild_views(body, poses[some], some, seed=1).pelvis, again.pelvis)


def test_strata_hold_what_their_names_say(body, poses, views):
    """From the camera's own image: in it from head to toe, cut by its border, or hidden in part."""
    keypoints = body.keypoints(views.rotations, views.pelvis, views.betas)
    torch.testing.assert_close(views.true_rays, keypoints[..., :2] / keypoints[..., 2:], atol=1e-5, rtol=1e-4)
    seen = views.condition.confidence > 0
    in_height = (views.focal[:, None] * views.true_rays[..., 1].abs() < 0.5 + 1e-5) & (keypoints[..., 2] > 0)
    whole, truncated, occluded = (views.stratum == i for i in range(len(STRATA)))
    assert in_height[whole | occluded].all()
    big_toes_and_up = torch.tensor([k not in (20, 23) for k in range(25)])
    assert float(seen[whole][:, big_toes_and_up].float().mean()) == pytest.approx(1 - WildConfig().miss_share, abs=0.01)
    assert not seen[:, ~big_toes_and_up].any(), "MediaPipe has no small toes"
    assert (seen[truncated][:, [0, 1, 2, 5]].float().mean() > 0.95) and (seen[truncated].sum(1) <= 21).all()
    assert (seen[occluded].sum(1) <= 21).all() and int(seen.sum(1).min()) >= 6
    legs = [10, 11, 13, 14]
    assert float(seen[truncated][:, legs].float().mean()) < 0.5 < float(seen[truncated][:, [3, 6]].float().mean())
    for got, share in zip((whole, truncated, occluded), WildConfig().shares, strict=True):
        assert float(got.float().mean()) == pytest.approx(share, abs=0.08)


def test_cameras_stand_all_around_at_the_distances_named(views):
    assert 1.5 <= float(views.pelvis[:, 2].min()) and float(views.pelvis[:, 2].max()) <= 8.0
    assert float(views.pelvis[:, 2].min()) < 2.0 and float(views.pelvis[:, 2].max()) > 7.0
    fov = torch.rad2deg(2 * torch.atan(0.5 / views.focal))
    assert float(fov.min()) >= 35 - 1e-3 and float(fov.max()) <= 75 + 1e-3 and float(fov.max() - fov.min()) > 30
    assert kstest(views.facing_deg, "uniform", (-180, 360)).pvalue > 1e-3
    upright = -views.rotations[:, 0, 1, 1]  # image-down component of the body's up axis
    assert float(upright.median()) > 0.9
    assert float(views.betas.std()) == pytest.approx(WildConfig().beta_std, rel=0.05)


def test_noise_has_its_levels_and_confidence_follows_it(views):
    seen = views.condition.confidence > 0
    inf = torch.tensor(float("inf"))
    high = torch.where(seen[..., None], views.true_rays, -inf).amax(1)
    half = 0.5 * (high - torch.where(seen[..., None], views.true_rays, inf).amin(1)).amax(-1)
    error = (views.rays - views.true_rays).norm(dim=-1) / half[:, None]
    confidences = []
    for level in WildConfig().keypoint_noise:
        rows = (views.noise - level).abs() < 1e-6
        # The radius of a 2D Gaussian has the median 1.18 sigma; that of the keypoints' factors is exp(-1/8).
        assert float(error[rows][seen[rows]].median()) == pytest.approx(1.18 * 0.88 * level, rel=0.12)
        confidences.append(float(views.condition.confidence[rows][seen[rows]].mean()))
    assert confidences == sorted(confidences, reverse=True) and confidences[0] > 0.9 > 0.75 > confidences[-1]
    assert 0.003 < float((error[seen] > 0.2).float().mean()) < 0.02, "a few are wrong altogether"
    assert (views.condition.view[:, 3] == WildConfig().told_noise).all(), "the level is not told"


@pytest.fixture(scope="module")
def result(body, poses) -> WildResult:
    return evaluate_wild_protocol(load_weights(), body, poses[:12], samples=4, steps=3, frames=range(12))


def test_figures_of_a_frame_do_not_depend_on_the_rest(body, poses, result):
    """Another batch size, a subset in another order, and fewer samples give the same samples."""
    some = torch.tensor([9, 2, 5])
    again = evaluate_wild_protocol(load_weights(), body, poses[some], samples=2, steps=3, frames=some, batch=2)
    for field in fields(WildResult):
        a, b = getattr(again, field.name), getattr(result, field.name)[some]
        b = b[:, :2] if field.name in ("joints", "rotations", "pixel_error", "outside") else b
        torch.testing.assert_close(a, b, atol=2e-4, rtol=0, msg=lambda m, n=field.name: f"{n}: {m}")
    assert len(result) == 12 and not torch.allclose(result.joints[:, 0], result.joints[:, 1], atol=1e-2)


def test_a_perfect_sample_has_no_error(body, poses, views, monkeypatch):
    """The truth as the sample of a body of the mean shape, without noise: no distance, and no pixel is off."""
    from diffmocap.evaluation.wild_protocol import _compare

    clean = WildConfig(beta_std=0.0, keypoint_noise=(0.0,), outlier_share=0.0)
    view = wild_views(body, poses[:20], range(20), config=clean)
    found = view.rotations.repeat_interleave(2, 0)
    result = _compare(body, view, found, 2)
    torch.testing.assert_close(result.joints, result.truth[:, None].expand(-1, 2, -1, -1), atol=1e-5, rtol=0)
    assert float(result.pixel_error.max()) < 1e-4
    assert torch.equal(result.outside, result.truth_outside[:, None].expand(-1, 2))
    turned = _compare(body, view, found.roll(2, 0), 2)
    assert float((turned.joints - turned.truth[:, None]).norm(dim=-1).mean()) > 0.1
    assert float(turned.pixel_error.mean()) > 0.005


def test_visible_joints_are_those_whose_keypoint_was_found(result, views):
    """SMPL's left wrist is joint 20 and keypoint 7, its right ankle joint 8 and keypoint 11."""
    seen = views.condition.confidence[:12] > 0
    assert torch.equal(result.visible[:, 20], seen[:, 7]) and torch.equal(result.visible[:, 8], seen[:, 11])
    assert not result.visible[:, [0, 3, 15]].any()


def test_turned_bodies_are_the_same_ones_about_a_horizontal_axis(body, poses, views):
    """Upside down from where they stood, before cameras of the same pitch and roll; the axis is any."""
    some = torch.arange(60)
    for angle in (90.0, 180.0):
        turned = wild_views(body, poses[some], some, config=WildConfig(turned_deg=angle))
        between = turned.rotations[:, 0] @ views.rotations[some, 0].transpose(-1, -2)
        cosine = (between.diagonal(dim1=-2, dim2=-1).sum(-1) - 1) / 2
        torch.testing.assert_close(
            torch.rad2deg(cosine.clamp(-1, 1).acos()), torch.full((60,), angle), atol=0.3, rtol=0
        )
        torch.testing.assert_close(turned.rotations[:, 1:], views.rotations[some, 1:])
        torch.testing.assert_close(turned.betas, views.betas[some])
        # Up of the camera turns by the whole angle: the axis is at a right angle to it, whatever the camera.
        up = _camera_from_level(FrameDraws(0, some), WildConfig())[:, :, 1:2]
        moved = (up * (between @ up)).sum((1, 2))
        torch.testing.assert_close(moved, torch.full((60,), math.cos(math.radians(angle))), atol=1e-4, rtol=0)


def test_samples_of_another_sampler_are_compared_likewise(body, poses):
    """The true poses as samples: nothing is wrong but the size of the body."""
    model = load_weights()
    some = torch.arange(6)
    views = wild_views(body, poses[some], some)
    result = evaluate_wild_protocol(
        model, body, poses[some], samples=2, sample=lambda condition, k: views.rotations.repeat_interleave(k, 0)
    )
    assert result.joints.shape == (6, 2, 24, 3)
    torch.testing.assert_close(result.rotations[:, 1], views.rotations)
    assert float((result.joints - result.truth[:, None]).norm(dim=-1).mean()) < 0.06
