"""A height makes a shape of that height, and distances true."""

from __future__ import annotations

import pytest
import torch

from diffmocap.body.mocap import load_split
from diffmocap.body.model import BodyModel
from diffmocap.errors import SettingsError
from diffmocap.reconstruct.body_size import betas_of_height, distance_ratio, sole_drop, standing_height


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return BodyModel.load()


@pytest.mark.parametrize("height_m", [1.5, 1.7247, 1.82, 2.0])
def test_the_shape_is_as_high_as_asked(body, height_m):
    betas = betas_of_height(body, height_m)
    assert standing_height(body, betas) == pytest.approx(height_m, abs=1e-4)
    assert float(betas.norm()) < 3


def test_the_mean_height_is_the_mean_shape_and_impossible_ones_are_refused(body):
    assert float(betas_of_height(body, standing_height(body, torch.zeros(10))).norm()) < 1e-3
    with pytest.raises(SettingsError, match="height"):
        betas_of_height(body, 3.1)


@pytest.mark.parametrize("height_m", [1.5, 1.9])
def test_keypoints_of_a_person_of_this_height_say_how_far_they_are(body, mocap_dir, height_m):
    clip = load_split(mocap_dir / "cmu_smpl30_val.npz")[0]
    rotations = clip.rotations[:60].clone()
    rotations[:, 0] = torch.diag(torch.tensor([1.0, -1.0, -1.0])) @ rotations[:, 0]
    betas = betas_of_height(body, height_m)
    pelvis = torch.tensor([0.2, 0.1, 4.0]).expand(60, 3)
    points = body.keypoints(rotations, pelvis, betas[None].expand(60, -1))
    K = torch.tensor([[600.0, 0.0, 320.0], [0.0, 600.0, 240.0], [0.0, 0.0, 1.0]])
    px = points[..., :2] / points[..., 2:] * 600.0 + K[:2, 2]
    keypoints = torch.cat([px, torch.ones(60, 25, 1)], -1)
    ratio = distance_ratio(body, rotations, betas, keypoints, K)
    from diffmocap.lifting.translation import solve_translation

    mean = solve_translation(body.keypoints(rotations, torch.zeros(60, 3)), (px - K[:2, 2]) / 600.0, torch.ones(60, 25))
    assert float((ratio * mean[:, 2]).median()) == pytest.approx(4.0, rel=0.01)
    assert abs(float(mean[:, 2].median()) - 4.0) > 0.2  # without it, they are not
    drop = sole_drop(body, rotations, betas, torch.tensor([0.0, -1.0, 0.0]))
    assert (drop > 0.03) if height_m > 1.72 else (drop < -0.03)


def test_without_keypoints_nothing_is_said(body):
    ratio = distance_ratio(body, torch.eye(3).repeat(3, 24, 1, 1), torch.zeros(10), torch.zeros(3, 25, 3), torch.eye(3))
    assert ratio == 1.0
