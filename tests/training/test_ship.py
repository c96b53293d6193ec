"""What the manifest says of shipped weights."""

from __future__ import annotations

import json

import pytest

from diffmocap.lifting.network.mlp_denoiser import MlpConfig, MlpDenoiser
from diffmocap.lifting.network.weights import STUDENT_WEIGHTS, save_weights
from training.lifting.moments import MOMENTS
from training.lifting.ship import lifting_entry, main, with_history


def test_the_record_holds_every_start_without_folders(tmp_path):
    weights = tmp_path / "lifting.safetensors"
    save_weights(MlpDenoiser(MlpConfig(width=8, layers=1)), weights, {"step": 7})
    start = {"command": "python -m training.lifting --data /a/b/train.npz --out runs/x", "commit": "c", "step": 0}
    config = {
        **start, "torch": "2", "device": "cpu", "parameters": 5, "recipe": {}, "data": ["/a/b/train.npz"], "frames": 3,
        "exclude": "/c/held_out.txt", "starts": [start, {**start, "step": 4}],
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(config))
    entry = lifting_entry(tmp_path, weights, {"mpjpe_mm": 60})
    text = json.dumps(entry)
    assert "/a/b" not in text and "/c/" not in text and "--data train.npz" in entry["command"]
    assert [s["step"] for s in entry["starts"]] == [0, 4] and entry["step"] == 7
    assert entry["data"]["clips"] == ["train.npz"] and entry["metrics"] == {"mpjpe_mm": 60}
    del config["starts"]  # runs from before they were listed
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert lifting_entry(tmp_path, weights, None)["starts"] == []


def test_a_student_ships_beside_the_weights_and_nothing_else_does(tmp_path, monkeypatch, capsys):
    run, models = tmp_path / "run", tmp_path / "models"
    run.mkdir(), models.mkdir()
    (models / "manifest.json").write_text('{"files": {}}')
    save_weights(MlpDenoiser(MlpConfig(width=8, layers=1)), run / "lifting.safetensors", {"student": {"steps": [1, 2]}})
    config = {
        "command": "python -m training.distill", "commit": "c", "torch": "2", "device": "cpu", "parameters": 5,
        "recipe": {}, "data": ["train.npz"], "frames": 3, "exclude": "held_out.txt", "distillation": {"points": 4},
    }  # fmt: skip
    (run / "config.json").write_text(json.dumps(config))
    monkeypatch.setattr("sys.argv", ["ship", str(run), "--models", str(models)])
    with pytest.raises(SystemExit):
        main()
    assert "--student" in capsys.readouterr().err and not list(models.glob("*.safetensors"))
    monkeypatch.setattr("sys.argv", ["ship", str(run), "--models", str(models), "--student"])
    main()
    assert [p.name for p in models.glob("*.safetensors")] == [STUDENT_WEIGHTS]
    entry = json.loads((models / "manifest.json").read_text())["files"][STUDENT_WEIGHTS]
    assert entry["student"]["steps"] == [1, 2] and entry["distillation"] == {"points": 4}


def test_weights_trained_on_keep_the_record_of_before():
    first = {"command": "a", "commit": "1", "step": 10, "train_minutes": 5.0, "recipe": {"batch": 4}}
    second = with_history({"command": "b", "step": 3}, first)
    assert second["trained_before"] == [{"command": "a", "commit": "1", "step": 10, "train_minutes": 5.0}]
    third = with_history({"command": "c"}, second)
    assert [run["command"] for run in third["trained_before"]] == ["a", "b"] and third["command"] == "c"


def test_runs_that_led_to_the_weights_and_their_moments_go_along(tmp_path, monkeypatch):
    models = tmp_path / "models"
    models.mkdir()
    (models / "manifest.json").write_text('{"files": {}}')
    for name, step in (("first", 3), ("last", 9)):
        run = tmp_path / name
        run.mkdir()
        save_weights(MlpDenoiser(MlpConfig(width=8, layers=1)), run / "lifting.safetensors", {"step": step})
        start = {"command": f"python -m training.lifting --out /home/me/{name}", "commit": name, "step": 0}
        config = {
            **start, "torch": "2", "device": "cpu", "parameters": 5, "recipe": {}, "data": ["train.npz"], "frames": 3,
            "exclude": "held_out.txt", "starts": [start],
        }  # fmt: skip
        (run / "config.json").write_text(json.dumps(config))
        (run / MOMENTS).write_bytes(name.encode())
    arguments = ["ship", str(tmp_path / "last"), "--before", str(tmp_path / "first"), "--models", str(models)]
    monkeypatch.setattr("sys.argv", arguments)
    main()
    files = json.loads((models / "manifest.json").read_text())["files"]
    (earlier,) = files["lifting.safetensors"]["trained_before"]
    assert earlier["step"] == 3 and earlier["starts"][0]["command"].endswith("--out first")
    assert (models / MOMENTS).read_bytes() == b"last" and files[MOMENTS]["of"] == "lifting.safetensors"
