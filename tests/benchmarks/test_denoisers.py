"""The comparison of the networks measures each run once and shows what was chosen on the validation split."""

from __future__ import annotations

import json

import pytest
import torch

from benchmarks.lifting import denoisers
from benchmarks.lifting.denoisers import chosen, figures_of
from diffmocap.lifting.sampling.guidance import EVERYWHERE, GUIDANCE_INTERVAL


def run(architecture: str, kind: str, val: float, test: float) -> dict:
    def over_w(x: float) -> dict:
        return dict(zip(denoisers.KEYS, (x, x + 0.001, x - 0.001)))

    def split(x: float) -> dict:
        return {
            "frames": 5, "pixel_error": over_w(x), "mpjpe_mm": over_w(1000 * x),
            "pixel_error_standard_error": over_w(0.002),
        }  # fmt: skip

    return {
        "architecture": architecture, "parameterisation": kind, "parameters": 4_251_536, "steps": 10, "batch": 4,
        "learning_rate": 1e-3,
        "command": "python -m training.lifting", "commit": "c", "weights_sha256": "s", "val": split(val),
        "test": split(test), "learning_curve": [[5, 2 * val], [10, val]], "everywhere": True,
    }  # fmt: skip


def test_the_validation_split_decides(tmp_path, monkeypatch):
    monkeypatch.setattr(denoisers, "RESULTS", tmp_path)
    runs = [run("mlp", "epsilon", 0.05, 0.01), run("mlp", "x0", 0.02, 0.03), run("transformer", "x0", 0.01, 0.012)]
    assert chosen(runs, "mlp") is runs[1]
    page = denoisers.write_page(runs, "cpu").read_text()
    bold = [line for line in page.splitlines() if "**" in line]
    assert len(bold) == 2 and "| x0 |" in bold[0] and "**0.0300 ± 0.0020**" in bold[0] and "0.382" in page
    assert "at every step" in page and "-everywhere-learning.png)" in page
    assert len(list(tmp_path.glob("*-denoisers-everywhere*.png"))) == 2
    assert json.loads(next(tmp_path.glob("*.json")).read_text()) == runs


def test_a_run_is_measured_again_only_with_other_weights(tmp_path, monkeypatch):
    calls, intervals = [], []

    def measure(weights, data, every, frames, steps, seed, device, interval):
        calls.append(data)
        intervals.append(interval)
        return {**run("mlp", "x0", 0.02, 0.03)["val"], "by_subject": {}}

    monkeypatch.setattr(denoisers, "measure", measure)
    weights = tmp_path / "lifting.safetensors"
    weights.write_bytes(b"one")
    model = {"architecture": "mlp", "parameterisation": "x0"}
    recipe = {"steps": 10, "batch": 4, "learning_rate": 1e-3, "model": model}
    config = {"recipe": recipe, "parameters": 5, "command": "c", "commit": "d"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    first = figures_of(tmp_path, {"val": "v", "test": "t"}, 7, "cpu")
    assert first == figures_of(tmp_path, {"val": "v", "test": "t"}, 7, "cpu") and calls == ["v", "t"]
    assert first["architecture"] == "mlp" and first["test"]["pixel_error"]["0.0"] == pytest.approx(0.02)
    weights.write_bytes(b"two")
    assert figures_of(tmp_path, {"val": "v", "test": "t"}, 7, "cpu")["weights_sha256"] != first["weights_sha256"]
    assert len(calls) == 4
    torch.save({"history": [{"step": 3, "pixel_error_w0": 0.2, "minutes": 1.0}]}, tmp_path / "checkpoint.pt")
    everywhere = figures_of(tmp_path, {"val": "v", "test": "t"}, 7, "cpu", everywhere=True)
    assert len(calls) == 6 and set(intervals[:4]) == {GUIDANCE_INTERVAL} and set(intervals[4:]) == {EVERYWHERE}
    assert everywhere["learning_curve"] == [(3, 0.2)] and first["learning_curve"] == []
