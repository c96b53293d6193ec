"""Made-up curves and motions whose figures are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks.refinement.judge import RootJudge
from benchmarks.refinement.metrics import Referee, Truth, change
from benchmarks.refinement.scores import (
    Curves,
    compare,
    evaluations_to,
    median_ratio_interval,
    ran,
    seconds_to,
    targets,
)
from diffmocap.body.model import BodyModel
from diffmocap.body.urdf import read_urdf
from diffmocap.evaluation.bootstrap import interval, resampled
from diffmocap.physics.contact_points import ContactPoints


def column(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)[:, None]


def test_first_evaluation_at_the_target_counts_from_one_and_failures_count_the_cap():
    best = torch.tensor([[9.0, 9.0, 1.0], [4.0, 8.0, 1.0], [1.0, 7.0, 1.0]], dtype=torch.float64)
    count, found = evaluations_to(best, torch.tensor([4.0, 2.0, 1.0]), cap=50)
    assert count.tolist() == [2, 50, 1]
    assert found.tolist() == [True, False, True]


def test_the_target_is_bfgs_at_the_cap_and_not_beyond():
    bfgs = Curves(column(8.0, 4.0, 2.0, 1.0))
    assert float(targets(bfgs, cap=3, within=0.0)) == 2.0
    assert float(targets(bfgs, cap=10, within=0.1)) == pytest.approx(1.1)


def test_ratios_are_of_medians_to_bfgs_own():
    """BFGS is within a thousandth of its end at its fourth evaluation of six."""
    bfgs = Curves(column(9.0, 5.0, 3.0, 1.0005, 1.0, 1.0), column(0.1, 0.2, 0.3, 0.4, 0.5, 0.6))
    quick = Curves(column(9.0, 0.9), column(0.3, 0.6))
    never = Curves(column(9.0, 8.0, 7.0, 6.0, 5.0, 4.0), column(1.0, 2.0, 3.0, 4.0, 5.0, 6.0))
    curves = {"BFGS": bfgs, "quick": quick, "never": never}
    found = compare(curves, cap=6, timed=curves)
    assert found["BFGS"]["evaluations"] == 4
    assert found["quick"]["evaluations_ratio"] == 0.5 and found["never"]["evaluations_ratio"] == 1.5
    assert found["quick"]["seconds_ratio"] == pytest.approx(1.5)
    assert found["never"]["seconds_ratio"] == pytest.approx(15.0) and found["never"]["reached"] == 0.0
    assert found["quick"]["ms_an_evaluation"] == pytest.approx(300.0)


def test_the_interval_of_a_ratio_draws_clips_and_pairs():
    values, own = np.array([2.0, 2.0, 9.0]), np.array([4.0, 4.0, 9.0])
    assert median_ratio_interval(values, own, ["a", "a", "a"]) == [0.5, 0.5]
    assert median_ratio_interval(values, own, ["a", "a", "b"]) == [0.5, 1.0]


def test_seconds_of_a_run_that_ended_early_are_its_own():
    quick = Curves(column(9.0, 5.0), column(0.3, 0.6)).upto(10)
    assert ran(quick).tolist() == [2]
    seconds, found = seconds_to(quick, torch.tensor([1.0]), cap=10)
    assert float(seconds) == pytest.approx(0.6) and not bool(found)


def test_a_clusters_rows_are_drawn_together():
    counts = resampled(["a", "b", "a", "c"], draws=50)
    assert (counts[:, 0] == counts[:, 2]).all()
    assert ((counts[:, 0] + counts[:, 1] + counts[:, 3]) == 3).all()
    assert counts[:, 0].std() > 0


def test_the_interval_knows_the_clusters():
    """Ten rows of one clip say no more than one: the interval of the mean is as wide as that of two numbers."""
    values = np.repeat([0.0, 1.0], 10)
    assert interval([values], ["a"] * 10 + ["b"] * 10) == (0.5, 0.0, 1.0)
    mean, low, high = interval([values], list(range(20)))
    assert mean == 0.5 and 0.2 < low < 0.35 and 0.65 < high < 0.8


def test_missing_figures_are_left_out_and_changes_are_paired():
    assert interval([np.array([1.0, np.nan])], ["a", "b"])[0] == 1.0
    assert all(np.isnan(interval([np.array([np.nan])], ["a"])))
    before = np.array([10.0, 1.0, 5.0])
    assert change(before, 0.3 * before, ["a", "b", "c"]) == [0.3, 0.3, 0.3]


@pytest.fixture(scope="module")
def referee() -> Referee:
    body = BodyModel.load()
    return Referee(body, RootJudge(read_urdf(), ContactPoints.from_body(body)))


def standing(referee: Referee, subject: str = "39", frames: int = 8) -> Truth:
    """Someone who stands on a floor at 0, four metres before a camera that looks along -z."""
    up, eye = np.array([0.0, 1.0, 0.0]), np.eye(3)
    rotations = np.broadcast_to(eye, (1, frames, 24, 3, 3)).copy()
    lowest = referee.judge.contact_positions(rotations[0], np.zeros((frames, 3)), up)[..., 1].min()
    pelvis = np.broadcast_to([0.0, -lowest, 0.0], (1, frames, 3)).copy()
    contacts = referee.judge.contacts(rotations[0], pelvis[0], 1 / 30, up, 0.0)[None]
    camera = np.concatenate([np.diag([1.0, -1.0, -1.0]), [[0.0], [1.0], [4.0]]], 1)[None]
    K = np.array([[[600.0, 0, 320], [0, 600, 240], [0, 0, 1]]])
    return Truth(rotations, pelvis, 1 / 30, up[None], np.zeros(1), contacts, K, camera, ("a",), (subject,))


def test_the_truth_has_no_error_and_a_shift_has_the_known_one(referee):
    truth = standing(referee)
    found = referee.figures(truth.rotations, truth.pelvis, truth)
    for key in ("mpjpe_mm", "mpjpe_g_mm", "pa_mpjpe_mm", "mpjpe_2d_px", "tv", "foot_skate_pct", "root_residual"):
        assert float(found[key][0]) == pytest.approx(0.0, abs=1e-5), key
    shifted = referee.figures(truth.rotations, truth.pelvis + [0.1, 0.0, 0.0], truth)
    assert float(shifted["mpjpe_g_mm"][0]) == pytest.approx(100.0) and float(shifted["mpjpe_mm"][0]) < 1e-6
    assert 12 < float(shifted["mpjpe_2d_px"][0]) < 18  # 600 px * 0.1 m / 4 m


def test_a_slide_skates_unless_the_subject_is_left_out(referee):
    slide = np.arange(8)[None, :, None] * np.array([0.03, 0.0, 0.0])
    truth = standing(referee)
    found = referee.figures(truth.rotations, truth.pelvis + slide, truth)
    assert float(found["foot_skate_pct"][0]) == 100.0 and float(found["tv"][0]) < 1e-6
    other = standing(referee, subject="94")
    assert np.isnan(referee.figures(other.rotations, other.pelvis + slide, other)["foot_skate_pct"][0])


def test_who_floats_in_the_estimate_still_has_forces_but_who_shakes_owes_them(referee):
    truth = standing(referee)
    shake = np.random.default_rng(0).normal(0, 0.01, (1, 8, 3))
    found = referee.figures(truth.rotations, truth.pelvis + shake, truth)
    assert float(found["root_residual"][0]) > 30.0
