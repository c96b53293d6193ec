"""Figures from samples whose errors are known."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from diffmocap.evaluation.joint_errors import pa_mpjpe_mm
from diffmocap.evaluation.wild_protocol import WildResult
from diffmocap.evaluation.wild_scores import WildFigures


def result(n: int, k: int, seed: int = 0, error_m: float = 0.1) -> WildResult:
    g = torch.Generator().manual_seed(seed)
    truth = torch.randn(n, 24, 3, generator=g) * torch.tensor([0.2, 0.5, 0.2])
    truth -= truth[:, :1].clone()
    scale = error_m * (0.2 + torch.rand(n, 1, 1, 1, generator=g))
    joints = truth[:, None] + scale * torch.randn(n, k, 24, 3, generator=g)
    joints[:, :, 0] = 0.0
    outside = torch.zeros(n, k, dtype=torch.bool)
    outside[0] = True
    visible = torch.zeros(n, 24, dtype=torch.bool)
    visible[:, 20] = True
    return WildResult(
        joints, truth, torch.eye(3).expand(n, k, 24, 3, 3), torch.full((n, k), 0.01), outside, outside[:, 0], visible,
        torch.arange(n) % 3, torch.full((n,), 3.0), torch.zeros(n), torch.zeros(n),
    )  # fmt: skip


@pytest.fixture(scope="module")
def known() -> WildResult:
    return result(30, 6)


def test_errors_are_those_of_single_frames(known):
    figures = WildFigures(known)
    estimate, truth = known.joints[:, 0].double().numpy(), known.truth.double().numpy()
    row = figures.of(np.ones(30, bool))
    assert row["mpjpe_mm"] == pytest.approx(1e3 * np.linalg.norm(estimate - truth, axis=-1).mean(), abs=1e-2)
    assert row["pa_mpjpe_mm"] == pytest.approx(pa_mpjpe_mm(estimate, truth), abs=1e-2)
    wrist = 1e3 * np.linalg.norm(estimate[:, 20] - truth[:, 20], axis=-1).mean()
    assert row["visible_mpjpe_mm"] == pytest.approx(wrist, abs=1e-2)
    assert row["outside_limits"] == pytest.approx(1 / 30, abs=1e-3) and row["pixel_error"] == 0.01
    pairs = [known.joints[:, i] - known.joints[:, j] for i in range(6) for j in range(i)]
    assert row["diversity_mm"] == pytest.approx(1e3 * float(torch.stack(pairs).norm(dim=-1).mean()), rel=1e-4)


def test_best_of_k_falls_from_the_single_sample_on(known):
    figures = WildFigures(known)
    best, row = figures.best_of(), figures.of(np.ones(30, bool))
    assert len(best) == 6 and best == sorted(best, reverse=True) and best[-1] < 0.95 * best[0]
    assert best[0] == pytest.approx(row["mpjpe_mm"], abs=0.01)
    assert best[-1] == pytest.approx(row["best_of_6_mpjpe_mm"], abs=0.01)


def test_strata_divide_the_frames(known):
    parts, whole = WildFigures(known).by_stratum(), WildFigures(known).of(np.ones(30, bool))
    assert list(parts) == ["whole", "truncated", "occluded"]
    assert np.mean([p["mpjpe_mm"] for p in parts.values()]) == pytest.approx(whole["mpjpe_mm"], abs=0.01)
    only = WildFigures(known.select(known.stratum == 1))
    assert list(only.by_stratum()) == ["truncated"] and only.of(np.ones(10, bool)) == parts["truncated"]


def test_calibration_sees_frames_with_larger_errors():
    """Samples and truth spread together, so the rank correlation is well above nothing; shuffled frames have none."""
    r = result(300, 8)
    calibration = WildFigures(r).calibration()
    assert calibration["spread_error_rank_correlation"] > 0.4
    assert len(calibration["rank_correlation_by_joint"]) == 23 and len(calibration["reliability_mm"]) == 10
    mixed = r.joints[torch.randperm(300, generator=torch.Generator().manual_seed(1))]
    mixed = mixed - mixed.mean(1, keepdim=True) + r.joints.mean(1, keepdim=True)  # spreads of other frames
    r.joints = mixed
    assert abs(WildFigures(r).calibration()["spread_error_rank_correlation"]) < 0.1


def test_coverage_is_told_of_all_joints_and_of_unseen_ones():
    """Truths as far from the samples' centre as samples are, but for one wrist, seen in half of the frames, that is
    far off where it is not seen."""
    g = torch.Generator().manual_seed(3)
    r = result(300, 10)
    centre = r.truth + 0.1 * torch.randn(300, 24, 3, generator=g)
    r.joints = centre[:, None] + 0.1 * torch.randn(300, 10, 24, 3, generator=g)
    r.visible[:] = True
    r.visible[::2, 20] = False
    first = WildFigures(r).calibration()
    assert first["coverage"]["50"] == pytest.approx(0.5, abs=0.03) and first["coverage"]["90"] == pytest.approx(
        0.9, abs=0.03
    )
    assert first["unseen"]["share"] == pytest.approx(0.5 / 12, abs=1e-3)
    assert first["unseen"]["coverage"]["90"] == pytest.approx(0.9, abs=0.06)
    assert abs(first["unseen"]["spread_error_rank_correlation"]) < 0.25
    r.joints[::2, :, 20] += 3.0
    far = WildFigures(r).calibration()
    assert far["unseen"]["coverage"] == {"50": 0.0, "90": 0.0} and far["coverage"]["90"] > 0.85


def test_plain_figures_name_the_best_of_ten_of_more():
    r = result(20, 12)
    figures = WildFigures(r)
    row = figures.of(np.ones(20, bool))
    assert row["best_of_10_mpjpe_mm"] == pytest.approx(figures.best_of()[9], abs=0.01)
    assert row["best_of_10_mpjpe_mm"] > figures.best_of()[11]
    first = WildFigures(WildResult(r.joints[:, :10], *list(r.__dict__.values())[1:])).calibration()
    again = figures.calibration()["rank_correlation_of_first"]
    assert list(again) == ["5", "10"] and again["10"] == first["spread_error_rank_correlation"]


def test_what_is_not_defined_is_null_in_json():
    single = WildFigures(result(3, 1))
    text = json.dumps([single.of(np.ones(3, bool)), single.calibration()])
    assert "NaN" not in text and single.calibration()["spread_error_rank_correlation"] is None
    one = WildFigures(result(1, 3))
    assert one.calibration()["reliability_mm"] is None and one.of(np.ones(1, bool))["diversity_mm"] > 0
