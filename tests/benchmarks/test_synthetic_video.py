"""The comparison with MediaPipe: same joints, same frames, all errors, whole and in parts."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.detector.world_baseline import LIMB_LANDMARKS
from benchmarks.synthetic import synthetic_video
from benchmarks.synthetic.synthetic_video import METHODS, Comparison, breakdowns, errors, write_page
from diffmocap.body.skeleton import LIMB_JOINTS
from diffmocap.pipeline.settings import PipelineSettings


def comparison(seed: int, frames: int = 6, action: str = "walk") -> Comparison:
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=(frames, 12, 3))
    wrong = truth + 0.03 * rng.normal(size=truth.shape)
    half = frames // 2
    return Comparison(
        f"film{seed}", truth, truth + [0.0, 0.0, 2.0], 1.1 * truth, np.concatenate([truth[:half], wrong[half:]]),
        np.array(["front"] * half + ["rear"] * (frames - half)), np.array(["far"] * frames), action, frames, 3.0,
    )  # fmt: skip


def test_landmarks_are_the_limb_joints():
    """MediaPipe's published numbers of hips, knees, ankles, shoulders, elbows and wrists, left then right."""
    assert LIMB_LANDMARKS == (23, 24, 25, 26, 27, 28, 11, 12, 13, 14, 15, 16) and len(LIMB_JOINTS) == 12


def test_figures_of_known_errors():
    """A shift costs nothing once hips are put together; a wrong size costs MPJPE but no PA-MPJPE."""
    figures = errors([comparison(0), comparison(1, frames=9)])
    assert figures["mpjpe_mm"] == pytest.approx(0, abs=1e-6) and figures["pa_mpjpe_mm"] == pytest.approx(0, abs=1e-6)
    assert figures["baseline_pa_mpjpe_mm"] == pytest.approx(0, abs=1e-6) and figures["baseline_mpjpe_mm"] > 50
    assert figures["linear_pa_mpjpe_mm"] > 5


def test_parts_add_up_to_the_whole():
    films = [comparison(0, 6, "walk"), comparison(1, 8, "dance")]
    parts = breakdowns(films)
    assert {key: set(part) for key, part in parts.items()} == {
        "by_yaw": {"front", "rear"}, "by_distance": {"far"}, "by_action": {"walk", "dance"},
    }  # fmt: skip
    whole = errors(films)
    for part in parts.values():
        assert sum(f["frames"] for f in part.values()) == 14
        mean = sum(f["frames"] * f["linear_pa_mpjpe_mm"] for f in part.values()) / 14
        assert mean == pytest.approx(whole["linear_pa_mpjpe_mm"], abs=0.02)
    assert parts["by_yaw"]["front"]["linear_pa_mpjpe_mm"] == pytest.approx(0, abs=1e-6)
    assert parts["by_action"]["walk"]["frames"] == 6


@pytest.mark.parametrize("uncalibrated", [False, True])
def test_page_names_every_film_and_part_and_who_is_better(tmp_path, monkeypatch, uncalibrated):
    monkeypatch.setattr(synthetic_video, "RESULTS", tmp_path / "results")
    errors_of_all = {
        f"{prefix}{error}": value
        for (prefix, _), pair in zip(METHODS.values(), ((50.0, 70.0), (60.0, 80.0), (55.0, 75.0)), strict=True)
        for error, value in zip(("pa_mpjpe_mm", "mpjpe_mm"), pair, strict=True)
    }
    figures = errors_of_all | {"frames": 5, "compared_frames": 4, "keypoint_px": 3.0}
    parts = {"by_yaw": {"rear": figures}, "by_distance": {"near": figures}, "by_action": {"dance": figures}}
    films = {"easy": figures, "hard": figures | {"pa_mpjpe_mm": 61.0}}
    page = write_page(figures | parts, films, PipelineSettings(), uncalibrated)
    text = page.read_text()
    assert "| easy | 4 of 5 | 3.0 | 50.0 | 60.0 | 55.0 | 70.0 | 80.0 | 75.0 |" in text
    assert "in 1 of 2 films; MediaPipe has it in hard." in text
    for group in ("rear", "near", "dance"):
        assert f"| {group} | 5 | 50.0 | 60.0 | 55.0 |" in text
    assert ("uncalibrated" in page.name) == uncalibrated and ("as MediaPipe names them" in text) == uncalibrated
    for word in ("hardware", "commit", "command", "data", "keypoints"):
        assert f"- {word}:" in text
