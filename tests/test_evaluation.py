"""Pose errors against scipy and against what they must not depend on."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import procrustes as scipy_procrustes
from scipy.spatial.transform import Rotation

from diffmocap.errors import SettingsError
from diffmocap.evaluation.joint_errors import keypoint_error_px, mpjpe_mm, pa_mpjpe_mm, procrustes


@pytest.fixture
def pair():
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(20, 12, 3)) * [0.4, 0.8, 0.3]
    return truth + 0.05 * rng.normal(size=truth.shape), truth


def moved(points, seed=1):
    rng = np.random.default_rng(seed)
    turns = Rotation.random(len(points), random_state=seed).as_matrix()
    scale = rng.uniform(0.5, 2.0, (len(points), 1, 1))
    return scale * points @ turns.transpose(0, 2, 1) + rng.normal(size=(len(points), 1, 3))


def test_equal_poses_have_no_error(pair):
    _, truth = pair
    assert mpjpe_mm(truth, truth) == 0 and pa_mpjpe_mm(truth, truth) == pytest.approx(0, abs=1e-9)
    assert pa_mpjpe_mm(moved(truth), truth) == pytest.approx(0, abs=1e-9)


def test_known_error(pair):
    _, truth = pair
    shifted = truth + [0.03, 0.0, 0.04]
    assert mpjpe_mm(shifted, truth) == pytest.approx(50.0)
    assert mpjpe_mm(shifted, truth, root=(0, 1)) == pytest.approx(0, abs=1e-9)


def test_aligned_error_ignores_similarity_transforms(pair):
    estimate, truth = pair
    assert pa_mpjpe_mm(moved(estimate), truth) == pytest.approx(pa_mpjpe_mm(estimate, truth))
    assert pa_mpjpe_mm(estimate, truth) <= mpjpe_mm(estimate, truth, root=tuple(range(12)))


def test_alignment_equals_scipy(pair):
    """scipy aligns standardised shapes, reflections allowed; ours is the same up to the truth's own size."""
    estimate, truth = pair
    for x, y, fitted in zip(estimate, truth, procrustes(estimate, truth), strict=True):
        ours = ((fitted - y) ** 2).sum() / ((y - y.mean(0)) ** 2).sum()
        assert ours == pytest.approx(scipy_procrustes(y, x)[2], rel=1e-9)


def test_mirror_images_are_not_forgiven(pair):
    _, truth = pair
    assert pa_mpjpe_mm(truth * [-1, 1, 1], truth) > 50


def test_a_collapsed_estimate_is_finite(pair):
    _, truth = pair
    assert np.isfinite(pa_mpjpe_mm(np.zeros_like(truth), truth))


def test_keypoint_error_counts_what_is_there():
    truth = np.zeros((2, 3, 2))
    estimate = truth + [3.0, 4.0]
    estimate[0, 0] = np.nan
    weight = np.array([[0, 1, 1], [1, 1, 0]])
    assert keypoint_error_px(estimate, truth, weight) == pytest.approx(5.0)
    assert np.isnan(keypoint_error_px(estimate, truth, np.zeros((2, 3))))


@pytest.mark.parametrize("bad", [np.zeros((2, 3)), np.zeros((0, 12, 3)), np.full((20, 12, 3), np.nan)])
def test_bad_input_is_said(pair, bad):
    with pytest.raises(SettingsError):
        mpjpe_mm(bad, pair[1] if bad.ndim == 3 and bad.size else bad)
