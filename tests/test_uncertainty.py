"""Spread against error: scipy's rank correlation, and an ensemble whose calibration is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from diffmocap.evaluation.calibration import (
    coverage,
    error_of_mean,
    rank_correlation,
    rank_correlation_by_joint,
    reliability,
    spread,
)


@pytest.fixture(scope="module")
def ensemble():
    """[2000, 8, 3, 3] samples and truth [2000, 3, 3] drawn alike, with another deviation for every frame and joint."""
    rng = np.random.default_rng(0)
    sigma = rng.uniform(1.0, 10.0, (2000, 1, 3, 1))
    centre = rng.normal(size=(2000, 1, 3, 3))
    return centre + sigma * rng.normal(size=(2000, 8, 3, 3)), (centre + sigma * rng.normal(size=(2000, 1, 3, 3)))[:, 0]


@pytest.mark.parametrize("decimals", [6, 0])
def test_rank_correlation_is_scipys_with_ties_and_without(decimals):
    rng = np.random.default_rng(1)
    x = rng.normal(size=200)
    y = np.round(x + rng.normal(size=200), decimals)
    assert rank_correlation(np.round(x, decimals), y) == pytest.approx(spearmanr(np.round(x, decimals), y).statistic)
    assert rank_correlation(x, np.exp(3 * x)) == pytest.approx(1.0)
    assert np.isnan(rank_correlation(x, np.ones(200)))


def test_correlation_is_taken_within_a_joint():
    """Two joints that differ in scale: together they would correlate, each on its own does not."""
    rng = np.random.default_rng(2)
    values, errors = rng.normal(size=(500, 2)) + [0, 10], rng.normal(size=(500, 2)) + [0, 10]
    assert rank_correlation(values.ravel(), errors.ravel()) > 0.7
    assert np.abs(rank_correlation_by_joint(values, errors)).max() < 0.15


def test_spread_has_the_size_of_a_known_deviation():
    """Samples with a standard deviation of 2 along each axis: root of the summed variances."""
    samples = 2.0 * np.random.default_rng(3).normal(size=(4000, 5, 1, 3))
    assert np.sqrt((spread(samples) ** 2).mean()) == pytest.approx(2.0 * 3**0.5, rel=0.02)


def test_truth_drawn_like_the_samples_is_reliable(ensemble):
    samples, truth = ensemble
    predicted, observed = reliability(spread(samples), error_of_mean(samples, truth), samples.shape[1])
    assert len(predicted) == 10 and (np.diff(predicted) > 0).all()
    np.testing.assert_allclose(observed[2:-1], predicted[2:-1], rtol=0.12)  # the ends regress to the mean
    assert rank_correlation_by_joint(spread(samples), error_of_mean(samples, truth)).min() > 0.5


def test_samples_that_are_too_sure_lie_above_the_diagonal(ensemble):
    samples, truth = ensemble
    mean = samples.mean(1, keepdims=True)
    narrow = mean + 0.5 * (samples - mean)
    predicted, observed = reliability(spread(narrow), error_of_mean(narrow, truth), samples.shape[1])
    assert (observed[2:-1] > 1.7 * predicted[2:-1]).all()


@pytest.mark.parametrize("samples", [2, 5, 8])
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_truth_drawn_like_the_samples_is_covered_as_often_as_said(ensemble, samples, share):
    drawn, truth = ensemble
    inside = coverage(drawn[:, :samples], truth, share)
    assert inside.shape == (2000, 3) and inside.mean() == pytest.approx(share, abs=0.02)


def test_coverage_of_samples_that_are_too_sure_or_far_off_is_low(ensemble):
    drawn, truth = ensemble
    centre = drawn.mean(1, keepdims=True)
    sure = centre + 0.5 * (drawn - centre)
    assert coverage(sure, truth, 0.5).mean() < 0.3 and coverage(sure, truth, 0.9).mean() < 0.7
    assert coverage(drawn, truth + 1e3, 0.8).max() == 0
    middle = drawn.mean(1)
    assert coverage(drawn, middle, 0.5).min() == 1, "the samples' own mean is inside"
    same = np.ones((4, 9, 2, 3))
    assert coverage(same, same[:, 0], 0.5) == pytest.approx(0.5), "equal distances share their ranks"
