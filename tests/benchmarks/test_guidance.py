"""The guidance benchmark measures what it says, and its command ends with one JSON line."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch

from benchmarks.lifting import guidance
from benchmarks.lifting.guidance_sweep import Guidance, Sweep
from diffmocap.body.model import BodyModel
from diffmocap.evaluation.paper_protocol import evaluate_paper_protocol
from diffmocap.evaluation.pose_frames import PoseFrames
from diffmocap.lifting.network.weights import load_weights
from diffmocap.lifting.sampling.guidance import GUIDANCE_INTERVAL


@pytest.fixture(scope="module")
def poses(mocap_dir) -> torch.Tensor:
    frames = PoseFrames.load(mocap_dir / "cmu_smpl30_val.npz", 50)
    return frames.pick(torch.linspace(0, len(frames) - 1, 6).long()).rotations.float()


def test_classifier_free_rows_are_the_papers_protocol(poses):
    model, body = load_weights(), BodyModel.load()
    found = Sweep(model, body, poses, steps=4, seed=3).sample(Guidance("interval", 2.0))
    reference = evaluate_paper_protocol(model, body, poses, 2.0, steps=4, seed=3)
    assert torch.allclose(found.pixel_error, reference.pixel_error, atol=1e-5)
    assert torch.allclose(found.mpjpe_m, reference.mpjpe_m, atol=1e-4)
    assert set(found.beyond.tolist()) <= {0.0, 1.0} and found.ms > 0


def test_truth_is_without_error_and_a_folded_knee_beyond_its_limits(poses):
    from diffmocap.body.rotations import sixd_from_matrix
    from diffmocap.lifting.network.condition import root_to_network

    sweep = Sweep(load_weights(), BodyModel.load(), poses, steps=2)
    bent = sweep.truth.clone()
    bent[0, 4] = torch.tensor([1.0, -1.0, -1.0]).diag()  # the left knee turned by pi
    for rotations, beyond in ((sweep.truth, 0.0), (bent, 1.0)):
        x = sweep.model.standardise(sixd_from_matrix(root_to_network(rotations, sweep.condition.R_camera_crop)))
        found = sweep.judge(x)
        assert float(found.beyond[0]) == beyond and (float(found.mpjpe_m[0]) > 0.01) == bool(beyond)
        assert float(found.pixel_error[1:].max()) < 1e-5


def test_at_high_noise_guidance_at_every_step_leaves_the_keypoints(poses):
    """Why there is an interval: the first estimate fits, and weighing it against the mean pose spoils it."""
    sweep = Sweep(load_weights(), BodyModel.load(), poses, steps=6)
    rows = sweep.along_times(2.0, lambda i: True)
    assert [r["ratio"] for r in rows] == sorted((r["ratio"] for r in rows), reverse=True) and len(rows) == 6
    first = rows[0]
    assert first["ratio"] > GUIDANCE_INTERVAL[1]
    assert first["guided_pixel_error"] > 2 * first["conditional_pixel_error"]
    assert first["guided_norm"] > 2 * first["conditional_norm"]


def test_command_ends_with_one_json_line(mocap_dir):
    command = [sys.executable, "-m", "benchmarks.lifting.guidance", "--frames", "2", "--steps", "2", "--json"]
    command.append("--no-page")
    done = subprocess.run(command, cwd=guidance.RESULTS.parents[1], capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout.strip().splitlines()[-1])
    assert figures["frames"] == 2 and len(figures["rows"]) == len(guidance.ways())
    assert all(0 <= row["beyond_limits"] <= 1 and row["pixel_error"] >= 0 for row in figures["rows"])


def test_page_holds_every_way(poses, tmp_path, monkeypatch):
    monkeypatch.setattr(guidance, "RESULTS", tmp_path)
    monkeypatch.setattr(guidance, "WEIGHTS", (0.0, 2.0))
    monkeypatch.setattr(guidance, "SCALES", (("estimate", 0.25, (0.3,)),))
    sweep = Sweep(load_weights(), BodyModel.load(), poses[:4], steps=2)
    page = guidance.write_page(guidance.measure(sweep), sweep, tmp_path / "val.npz", "cpu")
    text = page.read_text()
    gradient = "| gradient: estimate, at most 0.25 | unconditional | 0.3 |"
    assert "| interval | conditional | 2 |" in text and gradient in text and "`val.npz`" in text
    for picture in tmp_path.glob("*.png"):
        assert picture.name in text and picture.stat().st_size > 5000
    assert len(list(tmp_path.glob("*.png"))) == 2
