"""The figures of the live refinement's benchmark: of the truth, of what came in, and of what is published."""

from __future__ import annotations

import pytest
import torch

from benchmarks.refinement.live_judge import WARM_UP, Judge, unrefined
from benchmarks.refinement.live_refinement import measure, page
from diffmocap.body.mocap import load_split
from diffmocap.body.model import BodyModel
from training.motions.live_streams import UP, live_stream


@pytest.fixture(scope="module")
def measured(mocap_dir):
    body = BodyModel.load()
    clip = next(c for c in load_split(mocap_dir / "cmu_smpl30_val.npz") if c.name == "39_05")
    stream, judge = live_stream(clip, body, "synthetic", 32, 0.5), Judge(body)
    return stream, judge, measure([stream], judge, [0, 4], {"iterations": 1, "window_frames": 12})


def test_a_stream_is_its_clip_on_the_floor_with_errors(measured):
    stream, judge, _ = measured
    soles, joints = judge._places((stream.rotations, stream.pelvis))
    lowest = float((torch.as_tensor(soles) @ torch.tensor(UP)).min()) - stream.ground_height
    assert abs(lowest) < 0.05
    apart = (stream.pelvis - unrefined(stream)[1]).norm(dim=-1)
    assert 0.005 < float(apart.mean()) < 0.3
    pixels = (
        stream.frames[5].points_px[0] - (stream.frames[5].K @ torch.as_tensor(joints[5, 15]))[:2] / joints[5, 15, 2]
    )
    assert float(pixels.norm()) < 60.0  # the nose is near the head


def test_figures_tell_the_truth_from_what_came_and_what_went(measured):
    stream, judge, found = measured
    truth, came, went, late = (found[n] for n in ("truth", "as lifted", "refined, lag 0", "refined, lag 4"))
    assert truth["mpjpe"] == truth["mpjpe_g"] == truth["excess"] == 0.0 and truth["tv"] < came["tv"]
    assert went["tv"] < 0.5 * came["tv"] and late["tv"] < 0.5 * went["tv"]
    assert late["mpjpe_g"] < 1.5 * came["mpjpe_g"]  # of the frames that it belongs to, which lie 14 cm apart in lag
    still = found["0 steps, lag 0"]  # the window's share without the loss
    assert still["tv"] < 0.5 * came["tv"] and still["tv"] != went["tv"]
    assert all(0.0 < row["ms_least"] <= row["ms"] for row in (still, went, late))
    same = found["one-euro, jitter of lag 0"]
    assert same["tv"] == pytest.approx(went["tv"], rel=0.05)
    moved = stream.rotations[WARM_UP - 4 :], stream.pelvis[WARM_UP - 4 :] + torch.tensor([0.1, 0.0, 0.0])
    shifted = judge.figures(moved, stream, WARM_UP - 4)
    assert shifted["mpjpe_g"] == pytest.approx(100.0, abs=0.1) and shifted["mpjpe"] == pytest.approx(0.0, abs=0.01)
    assert shifted["tv"] == pytest.approx(truth["tv"], rel=1e-3)


def test_the_page_has_a_row_for_every_method(measured):
    text = page({"Walks": measured[2]}, "synthetic", ["- date: today"])
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert len(rows) == 1 + len(measured[2]) and all(row.count("|") == rows[0].count("|") for row in rows)
