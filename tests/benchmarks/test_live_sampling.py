"""The live figures compare what they say they compare."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from benchmarks.lifting.live_sampling import DEFAULTS, OFFLINE, SETTINGS, describe, live_figures, paper_error
from diffmocap.body.mocap import load_split
from diffmocap.body.model import BodyModel
from diffmocap.evaluation.paper_protocol import evaluate_paper_protocol
from diffmocap.lifting.lifter import Lifter
from diffmocap.lifting.network.weights import load_weights


@pytest.fixture(scope="module")
def lifter() -> Lifter:
    return Lifter(load_weights(), BodyModel.load())


@pytest.fixture(scope="module")
def poses(mocap_dir) -> torch.Tensor:
    clips = load_split(mocap_dir / "cmu_smpl30_val.npz")[:3]
    return torch.stack([torch.as_tensor(c.rotations[:2], dtype=torch.float32) for c in clips], 1)


def test_error_of_offline_sampling_is_the_protocols(lifter, poses):
    """The lifter with the protocol's sampler must find what the protocol finds from the same noise."""
    settings = replace(DEFAULTS, keypoint_noise=0.0, **OFFLINE | {"steps": 3})
    torch.manual_seed(0)
    expected = [
        evaluate_paper_protocol(lifter.model, lifter.body, poses[:1, i], steps=3, seed=settings.seed).pixel_error.item()
        for i in range(3)
    ]  # fmt: skip
    found = [paper_error(Lifter(lifter.model, lifter.body), poses[:1, i : i + 1], settings, False) for i in range(3)]
    assert found == pytest.approx(expected, rel=1e-3)


def test_tracked_frames_know_the_one_before(lifter, poses):
    settings = replace(DEFAULTS, use_previous=True, warm_start=True)
    first, both = (paper_error(lifter, p, settings, True) for p in (poses[:1], poses))
    apart = paper_error(lifter, poses, settings, False)
    assert both != pytest.approx(apart, rel=1e-6)
    assert first == pytest.approx(paper_error(lifter, poses[:1], settings, False), rel=1e-6)


def test_figures_are_named_and_of_the_same_run(mocap_dir):
    data = mocap_dir / "cmu_smpl30_val.npz"
    threads = torch.get_num_threads()
    figures = live_figures(None, data, timed_frames=5, clips=2, frames=2, threads=1)
    assert figures["frames"] == 4 and 0 < figures["live_ms"] < figures["ddim50_ms"]
    assert 0.1 < figures["mean_error_ratio"] < 10 and 0.1 < figures["cold_error_ratio"] < 10
    assert figures["mean_error_ratio"] == figures["cold_error_ratio"], "the defaults do not look at the frame before"
    assert torch.get_num_threads() == threads


def test_a_sampler_has_the_error_of_itself(mocap_dir, monkeypatch):
    """Means are compared with means and samples with samples: DDIM-50's settings against DDIM-50 have the ratio 1."""
    monkeypatch.setitem(OFFLINE, "steps", 2)
    same = replace(DEFAULTS, steps=2, keypoint_noise=0.0, fresh_noise=False)
    figures = live_figures(None, mocap_dir / "cmu_smpl30_val.npz", same, 5, clips=4, frames=1, threads=1)
    assert figures["mean_error_ratio"] == pytest.approx(1.0, abs=1e-3)
    assert figures["sample_error_ratio"] == pytest.approx(1.0, abs=1e-3)


def test_every_setting_has_a_text_of_its_own():
    texts = [describe(s) for s in SETTINGS]
    assert len(set(texts)) == len(texts)
    assert "dpm" in describe(replace(DEFAULTS, sampler="dpm")) and "x 0.5" in describe(
        replace(DEFAULTS, temperature=0.5)
    )
