"""Shipped models are the files the manifest describes, and anything else is refused with a reason."""

from __future__ import annotations

import json

import pytest

from diffmocap import resources
from diffmocap.errors import ModelFileError


def test_shipped_models_match_the_manifest():
    for name in resources.manifest()["files"]:
        assert resources.verified_model(name).is_file()


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
