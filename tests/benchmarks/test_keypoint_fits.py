"""The benchmark of fits: rows of every method on two frames, and the page."""

from __future__ import annotations

import pytest
import torch

from benchmarks.fits import keypoint_fits, methods
from benchmarks.fits.keypoint_fits import CASES, LGD, NOTHING, SQUARES, chosen_rates, main
from benchmarks.fits.methods import Images, squared, stepped
from benchmarks.protocols.exact_input import draw_frames
from diffmocap.body.model import BodyModel
from diffmocap.fitting.pose_prior import PosePrior
from diffmocap.optim.first_order import Adam
from diffmocap.optim.learned_gradient_descent import LearnedGradientDescent, LearnedGradientDescentSettings
from diffmocap.optim.weights import save_optimizer

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def images(mocap_dir) -> Images:
    frames = draw_frames(mocap_dir / "cmu_smpl30_test.npz", 2)
    return Images.of(BodyModel.load(), PosePrior.load(), frames, CASES["exact"])


def test_the_truth_has_no_error_and_least_squares_come_nearer_to_it_than_the_start(images) -> None:
    truth = images.figures(images.views.rotations, images.views.pelvis)
    assert truth["pa_mpjpe_mm"] < 1e-2 and truth["mpjpe_mm"] < 1e-2
    start = images.task.init(2)
    begun = images.figures_at(start)
    (found,) = squared(images, start[:, None], (6,), before=5)
    assert found["loss"] < 0.1 * begun["loss"] and found["pa_mpjpe_mm"] < begun["pa_mpjpe_mm"]
    assert 5 < found["evaluations"] <= 11


def test_best_points_never_get_worse_and_last_ones_may(images, monkeypatch) -> None:
    monkeypatch.setattr(methods, "EVALUATIONS", (2, 4))
    wild = Adam(3.0)
    best, last = stepped(wild, images), stepped(wild, images, last=True)
    assert best[1]["loss"] <= best[0]["loss"] and last[1]["loss"] > best[1]["loss"]
    assert all(row["ms"] > 0 for row in best)


def test_the_rate_that_is_chosen_is_the_best_of_those_given(images, monkeypatch) -> None:
    monkeypatch.setattr(keypoint_fits, "CHOSEN_AFTER", 3)
    monkeypatch.setattr(keypoint_fits, "RATES", {"Adam": (Adam, (1e-6, 0.1, 50.0))})
    assert chosen_rates([images]) == {"Adam": 0.1}


def test_the_command_writes_its_page(mocap_dir, tmp_path, monkeypatch, capsys) -> None:
    for where in (methods, keypoint_fits):
        monkeypatch.setattr(where, "EVALUATIONS", (2, 3))
    monkeypatch.setattr(keypoint_fits, "RATES", {"Adam": (Adam, (0.1,))})
    torch.manual_seed(0)
    weights = tmp_path / "lgd.safetensors"
    save_optimizer(LearnedGradientDescent(LearnedGradientDescentSettings(78, context=77, width=8)), weights)
    main([
        "--data", str(mocap_dir / "cmu_smpl30_test.npz"), "--val", str(mocap_dir / "cmu_smpl30_val.npz"),
        "--frames", "1", "--lgd", str(weights), "--out", str(tmp_path), "--json",
    ])  # fmt: skip
    (page,) = tmp_path.glob("*-keypoint-fits.md")
    text = page.read_text()
    for name in (NOTHING, LGD, SQUARES, "L-BFGS", "Optimus", "lifting, corrected", *CASES):
        assert name in text, name
    assert f"| {NOTHING} | 0 |" in text and "Rates chosen: Adam 0.1. 1 frames" in text
    assert '"cases"' in capsys.readouterr().out.strip().splitlines()[-1]
