"""What the manifest says of a trained optimizer, and that the shipped ones load."""

from __future__ import annotations

import json

import pytest
import torch

from diffmocap.errors import ModelFileError
from diffmocap.optim.weights import SHIPPED, kind_of, load_optimizer, load_shipped
from diffmocap.resources import sha256_of
from training.manifest import ACKNOWLEDGEMENT
from training.optim.__main__ import main as train
from training.optim.ship import data_of
from training.optim.ship import main as ship


def test_a_run_is_shipped_with_its_record(tmp_path, capsys) -> None:
    run, models = tmp_path / "run", tmp_path / "models"
    models.mkdir()
    options = [
        "--kind",
        "adafactor_mlp",
        "--set",
        "width=8",
        "--set",
        "layers=1",
        "--functions",
        "Sphere",
        "--largest",
        "3",
    ]
    options += ["--validation-dimensions", "4", "4", "--validation-count", "1", "--steps", "2"]
    train(["--out", str(run), *options])
    ship([str(run), "adafactor_mlp_128x4", "--models", str(models), "--before", str(run)])
    name = SHIPPED["adafactor_mlp_128x4"]
    assert [p.name for p in models.glob("*.safetensors")] == [name] and "shipped" in capsys.readouterr().out
    entry = json.loads((models / "manifest.json").read_text())["files"][name]
    assert entry["step"] == 2 and entry["kind"] == "optimizer: adafactor_mlp" and entry["recipe"]["steps"] == 2
    assert entry["parameters"] == load_optimizer(models / name).theta.numel() and len(entry["starts"]) == 1
    assert "--out run --kind" in entry["starts"][0]["command"] and str(tmp_path) not in json.dumps(entry)
    assert [earlier["step"] for earlier in entry["trained_before"]] == [2]
    ship([str(run), "adafactor_mlp_128x4", "--models", str(models), "--best"])
    entry = json.loads((models / "manifest.json").read_text())["files"][name]
    assert sha256_of(run / "best.safetensors") == sha256_of(models / name) == entry["sha256"]
    assert entry["validation"]["step"] <= 2 and entry["trained_before"] == [] and entry["set_after_training"] == []
    ship([str(run), "adafactor_mlp_128x4", "--models", str(models), "--set", "lambda_a=0.5"])
    shipped, trained = load_optimizer(models / name), load_optimizer(run / "last.safetensors")
    assert shipped.settings.lambda_a == 0.5 != trained.settings.lambda_a and torch.equal(shipped.theta, trained.theta)
    entry = json.loads((models / "manifest.json").read_text())["files"][name]
    assert entry["set_after_training"] == ["lambda_a=0.5"] and entry["sha256"] == sha256_of(models / name)
    with pytest.raises(SystemExit, match="--set: trained weights do not fit"):
        ship([str(run), "adafactor_mlp_128x4", "--models", str(models), "--set", "width=9"])
    assert entry["sha256"] == sha256_of(models / name)  # refused before anything was written


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_optimizers_are_what_they_are_called(name: str) -> None:
    optimizer = load_shipped(name)
    assert name.startswith(kind_of(optimizer)) and optimizer.theta.isfinite().all()
    if "x" in name.removeprefix("adafactor_mlp_"):
        assert f"{optimizer.settings.width}x{optimizer.settings.layers}" in name


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ModelFileError, match="no optimizer 'adam' is shipped; one of optimus"):
        load_shipped("adam")


def test_data_of_a_run_is_what_its_command_names() -> None:
    assert str(data_of(["python -m training.optim --out run"])).startswith("none")
    data = data_of(["python -m training.optim --problems windows --data walks.npz --out run"])
    assert data["clips"] == ["walks.npz"] and data["acknowledgement"] == ACKNOWLEDGEMENT
