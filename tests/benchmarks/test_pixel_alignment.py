"""The benchmark's figures come from the protocol, and its page says where they come from."""

from __future__ import annotations

import json
import subprocess
import sys

import torch

from benchmarks.lifting import pixel_alignment
from benchmarks.page.report import provenance
from diffmocap.body.model import BodyModel
from diffmocap.evaluation.paper_protocol import evaluate_paper_protocol, paper_view
from diffmocap.lifting.network.weights import load_weights


def test_error_of_a_sample_is_the_mean_difference_of_its_projection(mocap_dir):
    from diffmocap.body.mocap import load_split
    from diffmocap.camera.projection import project
    from diffmocap.evaluation.paper_protocol import paper_intrinsics

    body, model = BodyModel.load(), load_weights()
    poses = torch.cat([c.rotations[:1] for c in load_split(mocap_dir / "cmu_smpl30_val.npz")[:4]])
    result = evaluate_paper_protocol(model, body, poses, guidance=0.5, steps=3, seed=1)
    truth, pelvis, points = paper_view(body, poses)
    again = project(body.keypoints(result.rotations, pelvis), paper_intrinsics())
    assert torch.allclose(result.pixel_error, (again - points).abs().mean((1, 2)), atol=1e-6)
    same = evaluate_paper_protocol(model, body, poses, guidance=0.5, steps=3, seed=1, batch=2)
    assert torch.allclose(result.pixel_error, same.pixel_error, atol=1e-4)  # the seed decides, not the batch
    assert float((project(body.keypoints(truth, pelvis), paper_intrinsics()) - points).abs().max()) < 1e-6


def test_command_ends_with_one_json_line(mocap_dir, tmp_path):
    command = [
        sys.executable,
        "-m",
        "benchmarks.lifting.pixel_alignment",
        "--frames",
        "6",
        "--steps",
        "2",
        "--json",
        "--no-page",
    ]
    done = subprocess.run(command, cwd=pixel_alignment.RESULTS.parents[1], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout.strip().splitlines()[-1])
    assert set(figures["pixel_error"]) == {"0.0", "0.5", "2.0"} and figures["frames"] == 6


def test_page_names_date_hardware_command_commit_and_data():
    text = "\n".join(provenance("benchmarks.pixel_alignment", "some data"))
    for word in ("date: 20", "hardware:", "python -m benchmarks.pixel_alignment", "commit: `", "some data"):
        assert word in text
