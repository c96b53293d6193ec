"""Draws from the bank follow its moments, depend on the body's direction, and know left from right."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from diffmocap.body.skeleton import KEYPOINT_MIRROR
from diffmocap.errors import ModelFileError
from diffmocap.resources import manifest, verified_model
from training.views.detector_noise import DetectorNoise


@pytest.fixture(scope="module")
def noise() -> DetectorNoise:
    return DetectorNoise.load()


@pytest.fixture()
def bank(tmp_path):
    """One film of a turn on the spot, ten degrees per frame; the right wrist's error tells the direction."""
    yaw = np.deg2rad(np.arange(-175.0, 180.0, 10.0))
    offset, depth_error = np.zeros((36, 25, 2)), np.zeros((36, 25))
    offset[:, 4, 0], depth_error[:, 4] = 0.1 * yaw, 0.01 * np.arange(36)
    path = tmp_path / "bank.npz"
    np.savez(
        path, offset=offset, depth_error=depth_error, confidence=np.ones((36, 25)), yaw=yaw, film=np.zeros(36),
        frame=np.arange(36),
    )  # fmt: skip
    return path


def test_the_shipped_bank_is_sound(noise):
    assert verified_model("detector_noise.npz").stat().st_size < 1e6
    assert len(noise.yaw) == 2 * manifest()["files"]["detector_noise.npz"]["bank_frames"] >= 3000
    assert (noise.yaw.diff() >= 0).all() and noise.yaw.abs().max() < 3.15
    assert ((noise.confidence >= 0) & (noise.confidence <= 1)).all()
    missing = noise.confidence == 0
    assert (noise.offset[missing] == 0).all() and (noise.depth_error[missing] == 0).all()
    seen = noise.confidence >= 0.3
    assert 0.01 < noise.offset[seen].norm(dim=-1).median() < 0.05
    assert noise.offset[seen].mean(0).abs().max() < 0.015  # the mapping has taken the systematic part


def test_draws_over_all_directions_have_the_banks_moments(noise):
    g = torch.Generator().manual_seed(0)
    ranks = torch.linspace(0, len(noise.yaw) - 1, 40_000).long()
    drawn = noise.draw(noise.yaw[ranks], g, scale=(1.0, 1.0))
    for got, bank in ((drawn.offset, noise.offset), (drawn.depth_error, noise.depth_error),
                      (drawn.confidence, noise.confidence)):  # fmt: skip
        assert torch.allclose(got.mean(0), bank.mean(0), atol=0.01)
        assert torch.allclose(got.std(0), bank.std(0), rtol=0.15, atol=0.005)


def test_the_scale_stretches_errors_and_not_confidence(noise):
    yaw = torch.linspace(-3, 3, 20_000)
    drawn = [noise.draw(yaw, torch.Generator().manual_seed(1), scale=(s, s)) for s in (1.0, 1.5)]
    assert torch.allclose(drawn[1].offset, 1.5 * drawn[0].offset)
    assert torch.allclose(drawn[1].depth_error, 1.5 * drawn[0].depth_error)
    assert torch.equal(drawn[1].confidence, drawn[0].confidence)


def test_errors_come_from_bodies_that_face_the_same_way(bank):
    noise = DetectorNoise.load(bank)
    yaw = torch.linspace(-3.14, 3.14, 500)
    drawn = noise.draw(yaw, torch.Generator().manual_seed(2), (1.0, 1.0), nearest=0.1)
    # The mirror turns the sign of x and of the direction, so the error tells the direction of either kind of frame.
    distance = torch.remainder(10.0 * drawn.offset[..., 0].sum(1) - yaw + torch.pi, 2 * torch.pi) - torch.pi
    assert distance.abs().max() < np.deg2rad(30) and distance.abs().max() > np.deg2rad(10)
    wrists = (drawn.offset[..., 0] != 0).float().mean(0)
    assert wrists[4] == pytest.approx(0.5, abs=0.1) and wrists[7] == pytest.approx(0.5, abs=0.1)


def test_turned_away_people_are_found_less_well_than_those_who_face_the_camera(noise):
    g = torch.Generator().manual_seed(3)
    front, rear = (noise.draw(torch.full((4000,), yaw), g) for yaw in (0.0, np.pi))
    for key in ("offset", "depth_error"):
        assert getattr(rear, key).pow(2).mean() > 1.3 * getattr(front, key).pow(2).mean()


def test_the_mirrored_law(noise):
    """Errors at -yaw are those at yaw with the sides swapped and x turned round."""
    g = torch.Generator().manual_seed(4)
    yaw = torch.full((60_000,), 1.0)
    one, other = noise.draw(yaw, g), noise.draw(-yaw, g)
    mirror = list(KEYPOINT_MIRROR)
    turned = (one.offset * torch.tensor([-1.0, 1.0]))[:, mirror]
    assert torch.allclose(turned.mean(0), other.offset.mean(0), atol=3e-3)
    assert torch.allclose(one.depth_error[:, mirror].mean(0), other.depth_error.mean(0), atol=8e-3)
    assert torch.allclose(one.confidence[:, mirror].mean(0), other.confidence.mean(0), atol=0.02)


def test_pairs_are_frames_that_follow_each_other(bank, noise):
    small = DetectorNoise.load(bank)
    first, second = small.draw_pair(torch.zeros(50), torch.Generator().manual_seed(5), (1.0, 1.0), nearest=0.1, lag=2)
    step = second.depth_error.sum(1) - first.depth_error.sum(1)
    assert torch.allclose(step, torch.full_like(step, 0.02), atol=1e-4)
    with pytest.raises(ValueError, match="36 apart"):
        small.draw_pair(torch.zeros(1), lag=36)

    def correlation(lag: int) -> float:
        a, b = noise.draw_pair(torch.linspace(-3, 3, 8000), torch.Generator().manual_seed(6), lag=lag)
        both = (a.confidence >= 0.3) & (b.confidence >= 0.3)
        return torch.corrcoef(torch.stack([a.offset[both].flatten(), b.offset[both].flatten()]))[0, 1].item()

    assert correlation(1) > 0.7 > correlation(10)


def test_the_same_seed_draws_the_same(noise):
    yaw = torch.linspace(-9, 9, 100)  # any angle will do
    a, b = (noise.draw(yaw, torch.Generator().manual_seed(7)) for _ in range(2))
    assert torch.equal(a.offset, b.offset) and torch.equal(a.depth_error, b.depth_error)


def test_a_file_that_is_no_bank_is_refused(tmp_path):
    path = tmp_path / "bank.npz"
    with pytest.raises(ModelFileError, match="bank"):
        DetectorNoise.load(path)
    np.savez(path, offset=np.zeros((2, 24, 2)))
    with pytest.raises(ModelFileError, match="no bank of detector noise"):
        DetectorNoise.load(path)
