"""The figures of the tracking benchmark and the fit of the pose errors, on errors that are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks.lifting.noisy_keypoints import CAMERA, LIMBS, Observed, cut_together, exchange_sides, hide_parts
from benchmarks.lifting.tracking import Run, figures
from benchmarks.refinement.pose_errors import Errors, coverage, fit_shrinkage, fit_tables
from diffmocap.body.skeleton import JOINT_MIRROR, KEYPOINT_MIRROR
from diffmocap.refinement.filter.pose_covariance import joint_visibility
from diffmocap.types import Keypoints2D

FRAMES = 60


def observed(cuts: tuple[int, ...] = ()) -> Observed:
    """A body that moves on a circle, one frame a degree."""
    t = torch.arange(FRAMES) * torch.pi / 180
    rest = torch.randn(24, 3, generator=torch.Generator().manual_seed(0))
    joints = rest + 0.1 * torch.stack([t.cos(), t.sin(), 0 * t], -1)[:, None]
    points = np.arange(50, dtype=np.float32).reshape(25, 2)
    keypoints = [Keypoints2D(points, np.ones(25, np.float32), CAMERA.width, CAMERA.height, i) for i in range(FRAMES)]
    return Observed(torch.eye(3).expand(FRAMES, 24, 3, 3), joints[:, 0], joints, keypoints, cuts)


def test_a_perfect_run_has_no_flips_and_no_errors():
    truth = observed()
    found = figures(Run(truth.joints.numpy(), [], 0, 1.0), truth)
    assert found["flips_per_minute"] == 0 and found["mpjpe_mm"] == pytest.approx(0, abs=1e-3)
    assert found["acceleration_error_mm_per_frame2"] == pytest.approx(0, abs=1e-3)


def test_flips_are_counted_there_and_back_but_not_at_a_cut():
    truth = observed(cuts=(40,))
    joints = truth.joints.numpy().copy()
    joints[10:15, 20, 2] += 0.5  # a wrist is elsewhere for five frames
    joints[40:, 20, 2] += 0.3  # the person after the cut has another arm
    found = figures(Run(joints, [], 0, 1.0), truth)
    assert found["flips_per_minute"] == pytest.approx(2 * 1800 / (FRAMES - 2))


def test_recovery_is_counted_from_the_cut():
    truth = observed(cuts=(30,))
    joints = truth.joints.numpy() + 0.01 * np.random.default_rng(0).normal(size=(FRAMES, 24, 3))
    joints[30:34, 5:] += 0.5
    assert figures(Run(joints, [], 0, 1.0), truth)["frames_to_recover"] == 4


def test_what_goes_wrong_is_what_was_asked_for():
    whole = cut_together([observed(), observed()])
    assert whole.cuts == (FRAMES,) and len(whole) == 2 * FRAMES
    assert (np.diff([k.stamp_ns for k in whole.keypoints]) > 0).all()
    hidden = hide_parts(whole, 40, 5)
    missing = np.array([(k.confidence == 0).sum() for k in hidden.keypoints])
    assert (missing > 0).sum() == 15 and set(missing[missing > 0]) <= {len(limb) for limb in LIMBS}
    swapped = exchange_sides(whole, 50, 3)
    changed = [i for i in range(len(whole)) if not np.array_equal(
        swapped.keypoints[i].points_px, whole.keypoints[i].points_px)]  # fmt: skip
    assert changed == [50, 51, 52, 100, 101, 102]
    assert np.array_equal(swapped.keypoints[50].points_px, whole.keypoints[50].points_px[list(KEYPOINT_MIRROR)])


def known_errors(count: int, seed: int, hypotheses: int = 1) -> tuple[Errors, torch.Tensor]:
    """Gaussian errors with a covariance of each joint, doubled in angle where it is hidden; joint 22 is still."""
    g = torch.Generator().manual_seed(seed)
    a = torch.randn(24, 3, 3, generator=torch.Generator().manual_seed(9))
    truth = 0.01 * (a @ a.mT + 0.2 * torch.eye(3))
    mirror = torch.diag(torch.tensor([1.0, -1.0, -1.0]))
    truth = 0.5 * (truth + mirror @ truth[list(JOINT_MIRROR)] @ mirror)
    confidence = (torch.rand(count, 1, generator=g) < 0.5).float().expand(count, 25)
    scale = torch.where(joint_visibility(confidence) > 0.5, 1.0, 2.0)
    factor = torch.linalg.cholesky(truth)

    def draw(n: int) -> torch.Tensor:
        v = torch.einsum("jab,nkjb->nkja", factor, torch.randn(count, n, 24, 3, generator=g))
        return v * scale[:, None, :, None]

    rotation = draw(1)[:, 0]
    scatter = torch.einsum("nkja,nkjb->njab", *(2 * [draw(hypotheses)])) / hypotheses
    position = torch.tensor([0.0, 0.0, 4.0]).expand(count, 3)
    pelvis = torch.randn(count, 3, generator=g) * torch.tensor([0.04, 0.04, 0.2]) * scale[:, :1]
    angle = torch.ones(count, 24)
    angle[:, 22:] = 0.0
    covariance = truth * (scale**2)[..., None, None]
    pelvis_covariance = torch.diag(torch.tensor([0.04, 0.04, 0.2]) ** 2) * (scale[:, :1, None] ** 2)
    samples = torch.full((count,), float(hypotheses))
    errors = Errors(angle, rotation, pelvis, position, confidence, scatter, samples, covariance, pelvis_covariance)
    return errors, truth


def test_the_fit_finds_the_errors_that_were_made():
    errors, truth = known_errors(4000, seed=1)
    tables = fit_tables(errors)
    for table, factor in ((tables.visible, 1.0), (tables.hidden, 4.0)):
        difference = (table - factor * truth)[:22].flatten(1).norm(dim=1)
        assert (difference < 0.1 * factor * truth[:22].flatten(1).norm(dim=1)).all()
        assert torch.allclose(table[22:], 0.09 * torch.eye(3))
    assert tables.pelvis_visible == pytest.approx((0.01, 0.05), rel=0.05)
    assert tables.pelvis_hidden == pytest.approx((0.02, 0.1), rel=0.05)


def test_tables_that_say_all_outweigh_a_few_samples():
    """The error's covariance is the tables': scatter of four samples adds noise, whatever its scale."""
    errors, _ = known_errors(500, seed=2, hypotheses=4)
    assert fit_shrinkage([errors], fit_tables(errors)).prior_samples == 64.0


def test_true_covariances_cover_what_they_should():
    errors, _ = known_errors(4000, seed=3)
    found = coverage(errors)
    for share in (0.5, 0.9, 0.99):
        for kind in ("", "hidden_", "pelvis_"):
            assert found[f"{kind}within_{share:g}"] == pytest.approx(share, abs=0.03)
    assert found["told_deg"] == pytest.approx(found["made_deg"], rel=0.03)
