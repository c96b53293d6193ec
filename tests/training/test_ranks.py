"""Two processes train as one would on both their batches."""

from __future__ import annotations

import json

import pytest
import torch

from tests.forked import run_ranks
from tests.training import two_ranks
from training.lifting.__main__ import main
from training.lifting.trainer import Trainer
from training.motions.poses import load_rotations

#: What two processes wrote is asked by several tests: one worker runs them all, so that it is written once.
pytestmark = pytest.mark.xdist_group("ranks")


@pytest.fixture(scope="module")
def alone(mocap_dir, tmp_path_factory):
    """One process's trainer, the batch of both, and its gradient; and where the two processes wrote theirs."""
    frames = load_rotations([mocap_dir / "cmu_smpl30_val.npz"])[::50]
    trainer = Trainer(two_ranks.RECIPE, frames, frames[:4], tmp_path_factory.mktemp("alone"), "cpu")
    batch = trainer.draw()
    return frames, batch, two_ranks.first_gradient(trainer, batch)


@pytest.fixture(scope="module")
def both(alone, tmp_path_factory):
    """What the two processes wrote."""
    frames, batch, _ = alone
    out = tmp_path_factory.mktemp("both")
    torch.save({"frames": frames, "batch": batch}, out / "data.pt")
    run_ranks(two_ranks.as_rank, out / "data.pt", out)
    return [torch.load(out / f"rank{i}.pt", weights_only=True) for i in range(2)]


def test_the_gradient_is_that_of_both_batches(alone, both):
    expected = alone[2]
    for result in both:
        assert torch.allclose(result["gradient"], expected, rtol=1e-4, atol=1e-6 + 1e-5 * float(expected.abs().max()))


def test_weights_stay_equal_while_batches_differ(both):
    a, b = both
    assert torch.equal(a["weights"], b["weights"]) and torch.equal(a["ema"], b["ema"])
    assert not torch.equal(a["drawn"], b["drawn"])
    assert a["clock"] == b["clock"]


def test_a_resumed_run_of_two_is_the_uninterrupted_one(both):
    for result in both:
        assert torch.equal(result["resumed"], result["ema"])


def test_the_command_goes_on_in_two_processes_where_one_was(mocap_dir, tmp_path):
    data = str(mocap_dir / "cmu_smpl30_val.npz")
    options = ["--data", data, "--val", data, "--out", str(tmp_path), "--batch", "4", "--validation-frames", "2"]
    options += ["--device", "cpu", "--architecture", "mlp"]
    main([*options, "--steps", "2"])
    run_ranks(two_ranks.command, [*options, "--steps", "3"], tmp_path)
    printed = [(tmp_path / f"printed{i}.txt").read_text() for i in range(2)]
    assert "resumed at step 2" in printed[0] and "parameters" in printed[0]
    assert not printed[1], "the first process alone prints"
    figures = json.loads(printed[0].strip().splitlines()[-1])
    assert figures["step"] == 3 and figures["samples_per_second"] > 0
    record = json.loads((tmp_path / "config.json").read_text())
    assert [(s["step"], s["processes"]) for s in record["starts"]] == [(0, 1), (2, 2)]
    assert record["recipe"]["model"]["architecture"] == "mlp"
    checkpoint = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert checkpoint["step"] == 3 and len(checkpoint["other_ranks"]) == 1
