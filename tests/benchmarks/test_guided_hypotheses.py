"""Figures of several hypotheses: what is best, what is published, and how much of the one the other reaches."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.lifting.guided_hypotheses import (
    MEAN,
    OURS,
    Found,
    JudgedVideo,
    figures_of,
    pa_mm,
    share_of_best,
    table,
)
from diffmocap.evaluation.joint_errors import pa_mpjpe_mm
from diffmocap.types import CameraIntrinsics

RNG = np.random.default_rng(0)
TRUTH = RNG.normal(0.0, 0.3, (6, 12, 3))
VIDEO = JudgedVideo([], CameraIntrinsics.from_fov(640, 480), TRUTH, np.arange(6), 30.0)


def found(published: np.ndarray, hypotheses: np.ndarray, there: np.ndarray | None = None) -> Found:
    return Found(np.ones(6, bool) if there is None else there, published, hypotheses)


def test_errors_are_the_evaluations():
    estimate = TRUTH + RNG.normal(0.0, 0.05, TRUTH.shape)
    assert pa_mm(estimate, TRUTH).mean() == pytest.approx(pa_mpjpe_mm(estimate, TRUTH))
    both = np.stack([TRUTH, estimate], 1)
    each = pa_mm(both, np.broadcast_to(TRUTH[:, None], both.shape))
    assert each.shape == (6, 2) and each[:, 0].max() < 1e-6 and each[:, 1].min() > 1.0


def test_the_best_of_several_is_found_frame_by_frame():
    noisy = TRUTH + RNG.normal(0.0, 0.05, TRUTH.shape)
    hypotheses = np.stack([noisy, noisy], 1)
    hypotheses[::2, 0], hypotheses[1::2, 1] = TRUTH[::2], TRUTH[1::2]
    figures = figures_of(found(noisy, hypotheses), VIDEO, found(noisy, hypotheses))
    assert figures["best_of_k_mm"] < 1e-6 and figures["moved_mm"] == 0.0 and figures["poses"] == 1.0
    assert figures["single_mm"] == pytest.approx(0.5 * figures["pa_mpjpe_mm"])


def test_frames_without_a_pose_are_left_out_of_the_errors_and_counted():
    there = np.arange(6) != 3
    ours = found(TRUTH[there], TRUTH[there][:, None], there)
    shifted = TRUTH + [0.0, 0.0, 1.0]
    shifted[:, 5] += [0.012, 0.0, 0.0]
    figures = figures_of(ours, VIDEO, found(shifted, shifted[:, None]))
    assert figures["poses"] == pytest.approx(5 / 6) and figures["mpjpe_mm"] == pytest.approx(0.0, abs=1e-9)
    assert figures["moved_mm"] == pytest.approx(1.0), "12 mm of one joint of twelve; the place is of no account"


def test_how_much_of_the_best_is_reached():
    row = {"mpjpe_mm": 60.0, "single_mm": 55.0, "acceleration": 9.0, "poses": 1.0, "moved_mm": 2.0}
    rows = {
        MEAN: row | {"pa_mpjpe_mm": 50.0, "best_of_k_mm": 50.0},
        OURS: row | {"pa_mpjpe_mm": 48.0, "best_of_k_mm": 42.0},
    }
    assert share_of_best(rows) == pytest.approx(0.25)
    lines = list(table(rows))
    assert len(lines) == 4 and "48.0 (-4.0 %)" in lines[3] and "42.0 (-16.0 %)" in lines[3]
