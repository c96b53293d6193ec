"""The comparison with MediaPipe: same joints, same frames, both errors."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import synthetic_video
from benchmarks.synthetic_video import LIMB_LANDMARKS, Comparison, errors, write_page
from diffmocap.body.skeleton import LIMB_JOINTS
from diffmocap.pipeline import PipelineSettings


def comparison(seed: int, frames: int = 5) -> Comparison:
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=(frames, 12, 3))
    return Comparison(f"film{seed}", truth, truth + [0.0, 0.0, 2.0], 1.1 * truth, frames, 3.0)


def test_landmarks_are_the_limb_joints():
    """MediaPipe's published numbers of hips, knees, ankles, shoulders, elbows and wrists, left then right."""
    assert LIMB_LANDMARKS == (23, 24, 25, 26, 27, 28, 11, 12, 13, 14, 15, 16) and len(LIMB_JOINTS) == 12


def test_figures_of_known_errors():
    """A shift costs nothing once hips are put together; a wrong size costs MPJPE but no PA-MPJPE."""
    figures = errors([comparison(0), comparison(1, frames=9)])
    assert figures["mpjpe_mm"] == pytest.approx(0, abs=1e-6) and figures["pa_mpjpe_mm"] == pytest.approx(0, abs=1e-6)
    assert figures["baseline_pa_mpjpe_mm"] == pytest.approx(0, abs=1e-6) and figures["baseline_mpjpe_mm"] > 50


def test_page_names_every_film_and_who_is_better(tmp_path, monkeypatch):
    monkeypatch.setattr(synthetic_video, "RESULTS", tmp_path / "results")
    figures = {"pa_mpjpe_mm": 50.0, "baseline_pa_mpjpe_mm": 60.0, "mpjpe_mm": 70.0, "baseline_mpjpe_mm": 80.0}
    figures |= {"frames": 5, "compared_frames": 4, "keypoint_px": 3.0}
    page = write_page(figures, {"easy": figures, "hard": figures | {"pa_mpjpe_mm": 61.0}}, PipelineSettings())
    text = page.read_text()
    assert "| easy | 4 of 5 | 3.0 | 50.0 | 60.0 |" in text and "in 1 of 2 films; MediaPipe has it in hard." in text
    for word in ("hardware", "commit", "command", "data"):
        assert f"- {word}:" in text
