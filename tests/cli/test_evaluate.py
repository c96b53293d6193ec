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
from diffmocap.lifting.paper_protocol import ProtocolResult, paper_view

FAST = ("--steps", "2", "--every", "3")


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


def test_a_subset_is_spread_over_all_frames(capsys, motions):
    assert figures_of(capsys, str(motions / "wave.npz"), *FAST, "--frames", "3")["frames"] == 3
    poses, actions, _ = evaluate.load_poses(motions, every=1, frames=2)
    whole, _, _ = evaluate.load_poses(motions, every=1, frames=0)
    assert actions == ["sway", "wave"]
    assert torch.equal(poses, whole[[0, -1]])


def test_the_table_shows_every_action(capsys, motions):
    assert main(["evaluate", str(motions), *FAST, "--by-action"]) == 0
    out, err = capsys.readouterr()
    assert "pixel error" in out and "wave" in out and "sway" in out
    assert "lifting" in err, "progress goes to stderr"


def test_a_perfect_sample_has_no_error(motions):
    poses, _, _ = evaluate.load_poses(motions, every=6, frames=0)
    body = BodyModel.load()
    truth, _, _ = paper_view(body, poses)
    result = ProtocolResult(torch.zeros(len(poses)), torch.zeros(len(poses)), truth)
    figures = evaluate.errors(body, poses, result, torch.ones(len(poses), dtype=torch.bool))
    assert figures["pa_mpjpe_mm"] < 0.01
    turned = ProtocolResult(torch.zeros(len(poses)), torch.zeros(len(poses)), truth.flip(0))
    assert evaluate.errors(body, poses, turned, torch.ones(len(poses), dtype=torch.bool))["pa_mpjpe_mm"] > 1.0


def test_more_steps_than_the_model_has_are_refused(capsys, motions):
    assert main(["evaluate", str(motions), "--steps", "100000"]) == 1
    assert "--steps" in capsys.readouterr().err
