"""Compiled parts of the live refinement beside the loss: the same as roma and SciPy make of it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import roma
import torch
from scipy.linalg import lstsq, polar

from diffmocap.physics.contact_state import touching
from diffmocap.physics.tree import global_poses
from diffmocap.refinement.kernels.poses import hold_standing
from diffmocap.refinement.kernels.units import PELVIS_UNIT, ROTATION_UNIT
from diffmocap.refinement.stream.fixed_lag import FixedLagRefiner
from diffmocap.refinement.stream.window_buffer import LiveFrame
from diffmocap.refinement.window.contacts import LIFTED_LEVELS
from diffmocap.refinement.window.loss import WindowLoss
from diffmocap.refinement.window.metric import jacobian
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


def least_squares(points, now, before, solved, firm, still, creep, stiffness_m, across_m, along_m, up, steps):
    """The steps that the docstring of :mod:`diffmocap.refinement.stream.published_motion` states, by SciPy, from the
    Jacobian of :mod:`diffmocap.refinement.window.metric`."""
    first = sum(points.sizes[:2])
    contacts = slice(first, first + points.sizes[2])
    rotations = torch.stack([pose[0] for pose in (now, before, solved)]).double()
    pelvis = torch.stack([pose[1] for pose in (now, before, solved)]).double()
    _, places = jacobian(points, rotations)
    places = places[:, contacts] + pelvis[:, None]
    wanted = places[1] + creep[:, None].double() * (places[2] - places[1])
    off, ray = places[1] - places[2], torch.nn.functional.normalize(places[1], dim=-1)
    depth = (off * ray).sum(-1)
    far = (off - depth[:, None] * ray).norm(dim=-1) / across_m
    root = (firm.double() / torch.where(still, (1.0 + far**2 + (depth / along_m) ** 2) ** 2, 1.0)).sqrt()
    level = torch.eye(3).double() - up.double()[:, None] * up.double()
    along = torch.where(still[:, None, None], torch.eye(3).double(), level)
    turned, at = rotations[0], pelvis[0]
    for _ in range(steps):
        moved, places = jacobian(points, turned[None])
        held = root[:, None, None] * (along @ moved[0, contacts])
        whole = moved[0, : points.sizes[0]].flatten(0, 1) / math.sqrt(24)
        rows = [whole, stiffness_m * ROTATION_UNIT * torch.eye(75).double(), held.flatten(0, 1)]
        away = root[:, None] * (along @ (wanted - places[0, contacts] - at)[..., None])[..., 0]
        right = np.concatenate([np.zeros(72 + 75), away.flatten().numpy()])
        step = torch.from_numpy(lstsq(torch.cat(rows).numpy(), right)[0])
        turned = turned @ roma.rotvec_to_rotmat(ROTATION_UNIT * step[:-3].view(24, 3))
        at = at + PELVIS_UNIT * step[-3:]
    return turned, at


def test_standing_points_are_held_by_least_squares_steps(points):
    g = torch.Generator().manual_seed(2)
    now = rotations_near(1, 0.3, 3)[0], torch.tensor([0.1, 0.2, 3.0]).double()
    near = [
        (now[0] @ rotations_near(1, 0.05, s)[0], now[1] + 0.02 * torch.randn(3, generator=g).double()) for s in (4, 5)
    ]
    firm, creep = (torch.rand(len(points.radius), generator=g).double() for _ in range(2))
    firm[::3] = 0.0
    still = torch.arange(len(firm)) % 2 == 1
    up = torch.nn.functional.normalize(torch.tensor([0.1, -1.0, 0.2]).double(), dim=0)
    stacked = [torch.stack(parts).numpy() for parts in zip(now, *near, strict=True)]
    weighed = creep.numpy(), 0.02, 0.03, 0.2, up.numpy(), 2
    found = hold_standing(*stacked, firm.numpy(), still.numpy(), *weighed, points.constants)
    wanted = least_squares(points, now, *near, firm, still, creep, 0.02, 0.03, 0.2, up, 2)
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(torch.from_numpy(one), other, rtol=0.0, atol=1e-7)
    assert float(np.linalg.norm(found[1] - now[1].numpy())) > 1e-3


def test_a_pose_that_is_no_number_ends_nothing(points):
    """It must come back as none, for the loss to refuse it."""
    here = rotations_near(1, 0.3, 3)[0].numpy(), np.array([0.1, 0.2, 3.0])
    lost = here[0], np.full(3, np.nan)
    many = np.ones(len(points.radius))
    for still in (False, True):
        weighed = many, np.full(len(many), still), 0.2 * many, 0.02, 0.04, 0.3, np.array([0.0, -1.0, 0.0]), 2
        for now, fits in ((lost, np.isnan), (here, np.isfinite)):
            stacked = [np.stack(parts) for parts in zip(now, here, here, strict=True)]
            assert fits(hold_standing(*stacked, *weighed, points.constants)[1]).all()


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
def test_contacts_are_those_of_the_levels_both_ways_in_time(frames, walks, body, points):
    """Gaps and speeds from the points themselves, states from :mod:`diffmocap.physics.contact_state`."""
    rotations, pelvis = cut(walks[:3], frames)
    loss = WindowLoss(seen(body, rotations, pelvis), points, rotations, pelvis)
    turned, _ = global_poses(rotations, pelvis, points.bones)
    centres = points.positions(turned).split(points.sizes, -1)[2].mT + pelvis[:, :, None]  # the floor is y = 0
    gap, along = centres[..., 1] - points.radius, centres[..., [0, 2]]
    steps = along.diff(dim=1) * 30.0 if frames > 1 else torch.zeros_like(along)
    mean = torch.cat([steps[:, :1], 0.5 * (steps[:, 1:] + steps[:, :-1]), steps[:, -1:]], 1) if frames > 1 else steps
    speed = mean.norm(dim=-1)
    backwards = touching(gap.flip(1), speed.flip(1), LIFTED_LEVELS).flip(1)
    found = loss.contacts_of(rotations, pelvis)
    assert torch.equal(found, touching(gap, speed, LIFTED_LEVELS) | backwards) and bool(found.any())
