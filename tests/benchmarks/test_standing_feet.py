"""The benchmark of feet that stand: what is still and what moves is told by the truth, and rows are what they say."""

from __future__ import annotations

import pytest
import torch

from benchmarks.protocols.standing_feet import _Replayed, ankle_figures, on_motions, table
from benchmarks.refinement.live_judge import WARM_UP, Judge
from diffmocap.body.mocap import load_split
from diffmocap.body.model import BodyModel
from training.motions.live_streams import FPS, live_stream


@pytest.fixture(scope="module")
def judge() -> Judge:
    return Judge(BodyModel.load())


@pytest.fixture(scope="module")
def stream(mocap_dir):
    clip = next(c for c in load_split(mocap_dir / "cmu_smpl30_val.npz") if c.name == "39_05")
    return live_stream(clip, BodyModel.load(), "synthetic", 40, 0.5)


def test_the_truth_is_still_where_it_is_and_a_drift_adds_its_own_speed(judge, stream):
    truth = stream.rotations, stream.pelvis
    still = ankle_figures(judge, truth, stream, 0)
    assert still["still"] < 0.2 and still["moving"] == 0.0
    drifting = stream.pelvis + torch.arange(len(stream.pelvis))[:, None] * torch.tensor([0.0, 0.0, 1.0 / FPS])
    moved = ankle_figures(judge, (stream.rotations, drifting), stream, 0)
    assert moved["still"] == pytest.approx(1.0, abs=0.2)
    assert moved["moving"] > 1e3 * WARM_UP / FPS


def test_what_is_held_is_stiller_than_before(judge, stream):
    found = on_motions(judge, [stream], {"default before": {"still_feet": False}, "default": {}})
    assert found["truth"]["mpjpe_g"] == 0.0
    assert {"as lifted", "one-euro filter"} < set(found)
    lines = table(found, {"tv": ("TV", 0), "ms": ("ms", 1)})
    assert len(lines) == 2 + len(found) and lines[2].startswith("| truth |") and lines[2].endswith("|  |")


def test_a_replayed_lifter_gives_what_it_gave(judge):
    class Counting:
        hears_past, calls = True, 0

        def lift(self, *arguments):
            self.calls += 1
            return self.calls

    lifter = Counting()
    replayed = _Replayed(lifter)
    assert [replayed.lift() for _ in range(3)] == [replayed.again().lift(), *(replayed.lift() for _ in range(2))]
    assert lifter.calls == 3
