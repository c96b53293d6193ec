"""Refinement of noisy walks by the package's optimizers: what the loss is for."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from diffmocap.body.rotations import rotation_matrix, rotation_vector
from diffmocap.evaluation.motion_metrics import acceleration_variation, mpjpe_global_mm, mpjpe_root_mm, skating_frames
from diffmocap.optim.first_order import Adam
from diffmocap.optim.quasi_newton import Lbfgs
from diffmocap.optim.stopping import Budget
from diffmocap.physics.ground import Ground
from diffmocap.physics.tree import global_poses
from diffmocap.refinement.window.reference import nearest_rotations, reference_motion
from diffmocap.refinement.window.task import WindowTask
from tests.physics.motion_physics import motion_physics
from tests.refinement.windows import FPS, cut, seen


@pytest.fixture(scope="module")
def walking(walks, body):
    """Three windows of a second and what is behind them."""
    motion = cut(walks[:3], 32)
    return seen(body, *motion, hypotheses=2), motion


def figures(rotations, pelvis, truth, segments, contacts):
    """TV [m/s^2], percent of frames that skate, unexplained force over weight, MPJPE-G and MPJPE [mm]: means."""
    segments, contacts, rows = segments.to(dtype=torch.float64), contacts.to(dtype=torch.float64), []
    floor = Ground(torch.tensor([0.0, 1.0, 0.0]).double(), torch.zeros(()).double())
    for b in range(len(pelvis)):
        turned, joints = global_poses(rotations[b], pelvis[b], segments.offsets)
        _, true = global_poses(truth[0][b], truth[1][b], segments.offsets)
        soles = contacts.centres(turned, joints)[:, contacts.feet].unflatten(1, (2, -1)).numpy()
        physics = motion_physics(rotations[b], pelvis[b], 1 / FPS, segments, contacts, floor)
        residual = physics.contacts.residual.force.norm(dim=-1).mean() / (9.81 * segments.total_mass)
        rows.append([
            acceleration_variation(joints.numpy(), FPS), 100 * skating_frames(soles).any(1).mean(), float(residual),
            mpjpe_global_mm(joints.numpy(), true.numpy()), mpjpe_root_mm(joints.numpy(), true.numpy()),
        ])  # fmt: skip
    return torch.tensor(rows, dtype=torch.float64).mean(0).tolist()


def test_lbfgs_makes_a_noisy_walk_smooth_grounded_and_true(walking, points, segments, contacts):
    window, truth = walking
    task = WindowTask(window, points)
    for _ in range(2):
        result = Lbfgs().minimize(task, task.init(3).double(), Budget(evaluations=30))
        assert bool((result.loss < result.losses[0]).all())
        refined, task = task.refined(result.x), task.around(result.x)
    lifted = figures(window.rotations[:, 0], window.pelvis[:, 0], truth, segments, contacts)
    after = figures(refined.rotations, refined.pelvis, truth, segments, contacts)
    true = figures(*truth, truth, segments, contacts)
    assert after[0] < 0.5 * lifted[0]
    assert after[1] - true[1] < 0.5 * (lifted[1] - true[1])
    assert after[2] < 0.3 * lifted[2]
    assert after[3] < lifted[3] and after[4] < lifted[4]
    # A walk is never in the air.
    assert bool(refined.touching.any(-1).float().mean() > 0.9)
    weight = 9.80665 * float(points.total_mass)
    assert float(refined.dynamics.contacts.force.sum(-2)[..., 1].mean()) == pytest.approx(weight, rel=0.15)


def test_a_second_round_reads_contacts_anew(walking, points):
    """Contacts that the errors hid are found on the refined motion, which is then the reference."""
    task = WindowTask(walking[0], points)
    first = Lbfgs().minimize(task, task.init(3).double(), Budget(evaluations=25))
    again = task.around(first.x)
    refined = task.refined(first.x)
    torch.testing.assert_close(again.refined(again.init(3)).pelvis, refined.pelvis)
    assert int(again.refined(again.init(3)).touching.sum()) == int(refined.touching.sum())
    second = Lbfgs().minimize(again, again.init(3).double(), Budget(evaluations=25))
    assert bool((second.loss < second.losses[0]).all())


def test_adam_runs_in_single_precision(walking, points):
    task = WindowTask(walking[0].to(dtype=torch.float32), points)
    result = Adam(0.1).minimize(task, task.init(3), Budget(evaluations=30))
    assert result.x.dtype == torch.float32 and bool((result.loss < 0.6 * result.losses[0]).all())


def test_the_mind_is_changed_by_what_keypoints_say(walking, points):
    """The weightier hypothesis has its arms wrong all along: they are led away from it, and from the other one's start
    the loss falls lower, so that the choice between both is right."""
    window, truth = walking
    wrong = window.rotations[:, 0].clone()
    wrong[:, :, [16, 17]] = wrong[:, :, [16, 17]] @ rotation_matrix(torch.tensor([0.0, 0.0, 0.9], dtype=torch.float64))
    log_weights = torch.tensor([0.6, 0.4]).double().log()[None, :, None].expand(3, 2, 32)
    window = replace(window, rotations=torch.stack([wrong, window.rotations[:, 1]], 1), log_weights=log_weights)

    def arms(rotations):
        apart = rotations[:, :, [16, 17]].transpose(-1, -2) @ truth[0][:, :, [16, 17]]
        return float(rotation_vector(apart).norm(dim=-1).mean())

    losses = []
    for hypothesis, (before, after) in enumerate([(0.85, 0.8), (0.0, 0.25)]):
        task = WindowTask(window, points, reference_motion(window, hypothesis))
        result = Lbfgs().minimize(task, task.init(3).double(), Budget(evaluations=40))
        assert arms(task.reference[0]) > before and arms(task.refined(result.x).rotations) < after
        losses.append(result.loss)
    assert bool((losses[1] < losses[0] - 2.0).all())


def test_the_reference_is_smooth_and_bridges_silence(walking):
    window, _ = walking
    rotations, pelvis = reference_motion(window)
    identity = rotations @ rotations.transpose(-1, -2)
    torch.testing.assert_close(identity, torch.eye(3).double().expand_as(identity))
    assert float(pelvis.diff(n=2, dim=1).norm(dim=-1).mean()) < 0.3 * float(
        window.pelvis[:, 0].diff(n=2, dim=1).norm(dim=-1).mean()
    )
    lifted = window.lifted.clone()
    lifted[:, 3:] = False  # nearly a second of silence after the third frame
    rotations, pelvis = reference_motion(replace(window, lifted=lifted))
    torch.testing.assert_close(pelvis[:, -1], window.pelvis[:, 0, 2], atol=1e-3, rtol=0)
    assert bool(torch.isfinite(rotations).all())


def test_nearest_rotations_mirror_nothing():
    torch.manual_seed(0)
    matrices = torch.randn(100, 3, 3, dtype=torch.float64)
    rotations = nearest_rotations(matrices)
    torch.testing.assert_close(torch.linalg.det(rotations), torch.ones(100, dtype=torch.float64))
    distance = (rotations - matrices).flatten(1).norm(dim=1)
    for axis in torch.eye(3, dtype=torch.float64):  # no small turn comes nearer
        skew = torch.linalg.cross(axis[:, None].expand(3, 3), torch.eye(3, dtype=torch.float64), dim=0)
        for angle in (-1e-3, 1e-3):
            turned = rotations @ torch.linalg.matrix_exp(angle * skew)
            assert bool(((turned - matrices).flatten(1).norm(dim=1) >= distance - 1e-12).all())
