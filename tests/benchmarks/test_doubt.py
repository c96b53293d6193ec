"""The command that measures doubt, on a few frames."""

from __future__ import annotations

import json
import sys

import pytest

from benchmarks.protocols import doubt
from benchmarks.protocols.doubt import doubt_figures, lines
from benchmarks.protocols.exact_input import draw_frames
from diffmocap.lifting.lifter import Lifter

pytestmark = pytest.mark.usefixtures("one_thread")


def test_figures_are_those_of_the_protocol_and_seeded(mocap_dir):
    lifter, frames = Lifter.load(), draw_frames(mocap_dir / "cmu_smpl30_val.npz", 24)
    first = doubt_figures(lifter, frames, samples=8, steps=3)
    assert first == doubt_figures(lifter, frames, samples=8, steps=3)
    assert first["best_of_8_mpjpe_mm"] < first["mpjpe_mm"] < 300 and "best_of_10_mpjpe_mm" not in first
    assert -1 <= first["spread_error_rank_correlation"] <= 1
    assert 0 <= first["coverage"]["50"] < first["coverage"]["90"] <= 1
    alone = doubt_figures(lifter, frames, samples=8, steps=3, model_alone=True)
    assert alone["mpjpe_mm"] == pytest.approx(first["mpjpe_mm"], rel=0.25) and alone != first
    text = "\n".join(lines(first))
    assert "best of 8" in text and "in the region of 90 %" in text


def test_seeds_draw_other_views_and_samples(mocap_dir):
    lifter, frames = Lifter.load(), draw_frames(mocap_dir / "cmu_smpl30_val.npz", 6)
    figures = [doubt_figures(lifter, frames, 2, steps=2, seed=seed)["mpjpe_mm"] for seed in (0, 1, 0)]
    assert figures[0] == figures[2] != figures[1]


def test_command_ends_with_the_figures(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["doubt", "--frames", "4", "--samples", "3", "--steps", "2", "--json"])
    doubt.main()
    out = capsys.readouterr().out.strip().splitlines()
    assert json.loads(out[-1])["samples"] == 3 and out[0].startswith("4 frames of the val split")
    monkeypatch.setattr(sys, "argv", ["doubt", "--samples", "1"])
    with pytest.raises(SystemExit, match="at least 2"):
        doubt.main()
