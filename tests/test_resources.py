"""Shipped models are the files the manifest describes, and anything else is refused with a reason."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from diffmocap import resources
from diffmocap.errors import ModelFileError

ROOT = Path(__file__).resolve().parents[1]


def test_shipped_models_match_the_manifest():
    for name in resources.manifest()["files"]:
        assert resources.verified_model(name).is_file()


def test_metrics_of_the_lifting_weights_are_those_that_were_measured():
    """And a ratio of a mean's error over a sample's, which is no comparison, stands beside the one of two means."""
    entry = resources.manifest()["files"]["lifting.safetensors"]
    measured = json.loads((ROOT / "benchmarks/results/lifting_full.json").read_text())["figures"]
    metrics = entry["metrics"]
    if "live_error_ratio" in metrics:
        assert {"live_error_ratio", "mean_error_ratio"} <= metrics.keys() & metrics["definitions"].keys()
    if entry["sha256"] == measured["weights_sha256"]:
        assert metrics == metrics | {name: measured[name] for name in metrics.keys() & measured.keys()}


def test_a_changed_a_missing_and_an_unknown_file_are_refused(tmp_path, monkeypatch):
    models = tmp_path / "models"
    models.mkdir()
    (models / "a.bin").write_bytes(b"shipped")
    files = {n: {"sha256": resources.sha256_of(models / "a.bin")} for n in ("a.bin", "b.bin")}
    (models / "manifest.json").write_text(json.dumps({"files": files}))
    monkeypatch.setattr(resources, "share_directory", lambda: tmp_path)
    assert resources.verified_model("a.bin") == models / "a.bin"
    (models / "a.bin").write_bytes(b"shippee")
    with pytest.raises(ModelFileError, match="a.bin is corrupt: sha256"):
        resources.verified_model("a.bin")
    with pytest.raises(ModelFileError, match="b.bin is missing"):
        resources.verified_model("b.bin")
    with pytest.raises(ModelFileError, match="does not list c.bin"):
        resources.verified_model("c.bin")
    (models / "manifest.json").write_text("{")
    with pytest.raises(ModelFileError, match="cannot read"):
        resources.verified_model("a.bin")
