"""Compiled parts of the live refinement beside the loss: the same as torch, roma and SciPy make of it."""

from __future__ import annotations

import numpy as np
import pytest
import roma
import torch
from scipy.linalg import polar

from diffmocap.refinement.stream.fixed_lag import FixedLagRefiner
from diffmocap.refinement.stream.published_motion import PublishedMotion
from diffmocap.refinement.stream.window_buffer import LiveFrame
from diffmocap.refinement.window.loss import WindowLoss
from diffmocap.refinement.window.parameters import WindowParameters
from diffmocap.refinement.window.reference import nearest_rotations
from tests.refinement.windows import cut, seen


def rotations_near(count: int, size: float, seed: int) -> torch.Tensor:
    g = torch.Generator().manual_seed(seed)
    return roma.rotvec_to_rotmat(size * torch.randn(count, 24, 3, generator=g, dtype=torch.float64))


def test_nearest_rotations_are_orthogonal_parts_of_polar_decompositions():
    noise = 0.2 * torch.randn(40, 24, 3, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    matrices = rotations_near(40, 1.0, 0) + noise
    assert float(torch.linalg.det(matrices).min()) > 0
    wanted = torch.tensor(np.array([polar(m.numpy())[0] for m in matrices.view(-1, 3, 3)])).view_as(matrices)
    torch.testing.assert_close(nearest_rotations(matrices), wanted, rtol=0.0, atol=1e-12)
    assert nearest_rotations(matrices.float()).dtype == torch.float32


def test_matrices_without_a_nearest_rotation_still_get_one():
    """A reflection, a flat matrix, nothing at all: what roma says."""
    flat = torch.tensor([[1.0, 0, 0], [0, 1.0, 0], [0, 0, 0]])
    for matrix in (-torch.eye(3), flat, torch.diag(torch.tensor([1.0, 2.0, -3.0]))):
        matrices = torch.stack([torch.eye(3), matrix])
        found = nearest_rotations(matrices)
        torch.testing.assert_close(found, roma.special_procrustes(matrices))
        torch.testing.assert_close(torch.linalg.det(found), torch.ones(2))


def test_standing_points_are_held_as_torch_holds_them(points, by_torch):
    published = PublishedMotion(points.to(dtype=torch.float32), 8)
    g = torch.Generator().manual_seed(2)
    now = rotations_near(1, 0.3, 3)[0].float(), torch.tensor([0.1, 0.2, 3.0])
    near = [(now[0] @ rotations_near(1, 0.05, s)[0].float(), now[1] + 0.02 * torch.randn(3)) for s in (4, 5)]
    firm = torch.rand(len(points.radius), generator=g)
    firm[::3] = 0.0
    up = torch.nn.functional.normalize(torch.tensor([0.1, -1.0, 0.2]), dim=0)
    found = published._standing(now, *near, firm, 1 / 30, up)
    wanted = by_torch(published._standing, now, *near, firm, 1 / 30, up)
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=0.0, atol=5e-5)
    assert float((found[1] - now[1]).norm()) > 1e-3


def test_a_pose_that_is_no_number_ends_nothing(points):
    """It must come back as none, for the loss to refuse it."""
    published = PublishedMotion(points.to(dtype=torch.float32), 8)
    here = rotations_near(1, 0.3, 3)[0].float(), torch.tensor([0.1, 0.2, 3.0])
    lost = here[0], torch.full((3,), torch.nan)
    up, firm = torch.tensor([0.0, -1.0, 0.0]), torch.ones(len(points.radius))
    assert bool(published._standing(lost, here, here, firm, 1 / 30, up)[1].isnan().all())
    assert bool(published._standing(here, here, here, firm, 1 / 30, up)[1].isfinite().all())


@pytest.mark.parametrize("dt_s", [1e-9, 1e-7])
def test_frames_that_lie_next_to_each_other_are_survived(points, dt_s):
    """A clock that hardly moves makes rates that no single precision holds."""
    live = FixedLagRefiner(points, up=torch.tensor([0.0, -1.0, 0.0]), ground_height=-1.0)
    upright = torch.eye(3).repeat(1, 24, 1, 1)
    upright[:, 0] = torch.diag(torch.tensor([1.0, -1.0, -1.0]))
    for i in range(12):
        pose = upright, torch.tensor([[0.0, 0.0, 3.0]]), torch.zeros(1)
        result = live.step(LiveFrame(*pose, torch.zeros(25, 2), torch.zeros(25), torch.eye(3)), dt_s, i == 0)
        assert result is None or bool(result.rotations.isfinite().all() and result.pelvis.isfinite().all())


@pytest.mark.parametrize("frames", [1, 2, 12])
def test_contacts_and_motions_of_windows(frames, walks, body, points, by_torch):
    rotations, pelvis = cut(walks[:3], frames)
    loss = WindowLoss(seen(body, rotations, pelvis), points, rotations, pelvis)
    found = loss.contacts_of(rotations, pelvis)
    assert torch.equal(found, by_torch(loss.contacts_of, rotations, pelvis)) and bool(found.any())
    parameters = WindowParameters.around(rotations, pelvis)
    knots, size = parameters.shape
    x = torch.randn(3, knots * size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for one, other in zip(parameters.motion(x), parameters.decode(x), strict=True):
        torch.testing.assert_close(one, other, rtol=0.0, atol=1e-12)
