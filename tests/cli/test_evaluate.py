"""Evaluation on a small motion file, with the shipped weights."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from diffmocap.body.model import BodyModel
from diffmocap.cli import evaluate
from diffmocap.cli.main import main
from diffmocap.evaluation.paper_protocol import ProtocolResult, paper_view
from diffmocap.evaluation.pose_frames import PoseFrames

FAST = ("--steps", "2", "--wild-steps", "2", "--samples", "3", "--every", "3")
PAPER_KEYS = {"pixel_error", "mpjpe_mm", "pa_mpjpe_mm"}


@pytest.fixture(autouse=True)
def _one_thread():
    """Threads of such small work wait for each other longer than they compute."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def motions(tmp_path_factory) -> Path:
    """Two AMASS files, z-up: bodies that stand and swing their limbs, 24 frames each."""
    folder = tmp_path_factory.mktemp("motions")
    for name, seed in (("wave", 0), ("sway", 1)):
        generator = np.random.default_rng(seed)
        poses = np.zeros((24, 156), np.float32)
        swing = np.sin(np.linspace(0, 3, 24))[:, None]
        poses[:, 3:66] = 0.25 * generator.standard_normal(63) * swing
        poses[:, 0] = np.pi / 2  # SMPL's y up becomes z up
        np.savez(folder / f"{name}.npz", poses=poses, trans=np.tile([0.0, 0.0, 0.95], (24, 1)),
                 betas=np.zeros(10), mocap_framerate=30.0)  # fmt: skip
    return folder


def figures_of(capsys, *arguments: str) -> dict:
    assert main(["evaluate", *arguments, "--json"]) == 0
    out = capsys.readouterr().out
    assert out.count("\n") == 1, "one line of JSON and nothing else"
    return json.loads(out)


def test_json_has_the_metrics_and_is_repeatable(capsys, motions):
    first = figures_of(capsys, str(motions), *FAST, "--by-action")
    assert first["frames"] == 16 and first["clips"] == 2
    assert 0 < first["pixel_error"] < 0.5
    assert 0 < first["pa_mpjpe_mm"] < 1000 and 0 < first["mpjpe_mm"] < 2000
    assert sorted(first["by_action"]) == ["sway", "wave"]
    assert sum(row["frames"] for row in first["by_action"].values()) == 16
    weighted = np.mean([row["mpjpe_mm"] for row in first["by_action"].values()])
    assert weighted == pytest.approx(first["mpjpe_mm"], abs=0.02)  # equally many frames each
    again = figures_of(capsys, str(motions), *FAST, "--by-action")
    assert {**again, "seconds": 0} == {**first, "seconds": 0}
    other = figures_of(capsys, str(motions), *FAST, "--seed", "1")
    assert other["pixel_error"] != first["pixel_error"]
    assert other["wild"]["mpjpe_mm"] != first["wild"]["mpjpe_mm"]


def test_json_has_both_protocols_or_the_one_asked_for(capsys, motions):
    both = figures_of(capsys, str(motions), *FAST, "--by-action")
    wild = both["wild"]
    assert wild["frames"] == 16 and wild["samples"] == 3 and wild["steps"] == 2
    best = wild["best_of_mpjpe_mm"]
    assert best == sorted(best, reverse=True) and len(best) == 3
    assert wild["best_of_3_mpjpe_mm"] < wild["mpjpe_mm"] and wild["pa_mpjpe_mm"] < wild["mpjpe_mm"]
    assert sum(row["frames"] for row in wild["by_stratum"].values()) == 16
    assert sorted(wild["by_action"]) == ["sway", "wave"]
    assert -1 <= wild["spread_error_rank_correlation"] <= 1 and wild["diversity_mm"] > 0
    only_paper = figures_of(capsys, str(motions), *FAST, "--protocol", "paper")
    assert "wild" not in only_paper and {k: only_paper[k] for k in PAPER_KEYS} == {k: both[k] for k in PAPER_KEYS}
    only_wild = figures_of(capsys, str(motions), *FAST, "--protocol", "wild", "--by-action")
    assert only_wild["wild"] == wild and not PAPER_KEYS & set(only_wild)


def test_a_frame_has_the_same_figures_in_a_subset(capsys, motions):
    """The second of two frames of the file, alone with the first and among all of them."""
    whole = PoseFrames.load(motions)
    few = whole.evenly(2)
    assert few.action == ("sway", "wave") and few.numbers.tolist() == [0, 47]
    assert torch.equal(few.rotations, whole.rotations[[0, -1]])
    assert figures_of(capsys, str(motions / "wave.npz"), *FAST, "--frames", "3")["frames"] == 3


def test_the_three_kinds_of_files_are_taken(capsys, motions, repo_root, mocap_dir):
    """AMASS, our own motion files and the collections of the training data."""
    own = repo_root / "media" / "demo.npz"  # written as the package's motion files are
    for path in (motions / "wave.npz", own, mocap_dir / "cmu_smpl30_val.npz"):
        figures = figures_of(capsys, str(path), *FAST, "--frames", "4")
        assert figures["frames"] == figures["wild"]["frames"] == 4
        assert 0 < figures["mpjpe_mm"] < 500 and 0 < figures["wild"]["mpjpe_mm"] < 500


def test_the_table_shows_every_action(capsys, motions):
    assert main(["evaluate", str(motions), *FAST, "--by-action"]) == 0
    out, err = capsys.readouterr()
    assert "pixel error" in out and "wave" in out and "sway" in out
    assert "paper protocol" in out and "wild protocol, 3 samples" in out and "rank correlation" in out
    assert "lifting" in err, "progress goes to stderr"


def test_a_perfect_sample_has_no_error(motions):
    poses = PoseFrames.load(motions, every=6).rotations
    body = BodyModel.load()
    truth, _, _ = paper_view(body, poses)
    result = ProtocolResult(torch.zeros(len(poses)), torch.zeros(len(poses)), truth)
    figures = evaluate.errors(body, poses, result, torch.ones(len(poses), dtype=torch.bool))
    assert figures["pa_mpjpe_mm"] < 0.01
    turned = ProtocolResult(torch.zeros(len(poses)), torch.zeros(len(poses)), truth.flip(0))
    assert evaluate.errors(body, poses, turned, torch.ones(len(poses), dtype=torch.bool))["pa_mpjpe_mm"] > 1.0


@pytest.mark.parametrize(
    ("option", "value"), [("--steps", "100000"), ("--wild-steps", "100000"), ("--samples", "0"), ("--seed", "-1")]
)
def test_settings_out_of_range_are_refused(capsys, motions, option, value):
    assert main(["evaluate", str(motions), option, value]) == 1
    assert option in capsys.readouterr().err
