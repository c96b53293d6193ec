"""Figures 5 (middle) and 6 (left) of the Optimus paper, from tiny runs of the training command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.meta_training import trained_dimensions, training_curves
from benchmarks.meta_training.runs import TrainingRun
from benchmarks.meta_training.training_curves import minutes_to
from training.optim.__main__ import main as train

pytestmark = pytest.mark.usefixtures("one_thread")
SMALL = {
    "optimus": [
        "width=8",
        "heads=2",
        "attention_width=4",
        "feedforward=8",
        "encoders=1",
        "mlp_width=8",
        "mlp_layers=1",
    ],
    "adafactor_mlp": ["width=8", "layers=1"],
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> list[Path]:
    folders = []
    for kind, settings in SMALL.items():
        folders.append(tmp_path_factory.mktemp("runs") / kind)
        options = ["--out", str(folders[-1]), "--kind", kind, "--pairs", "1", "--functions", "Rosenbrock"]
        options += ["--largest", "4", "--validation-dimensions", "4", "4", "--validation-count", "1"]
        options += ["--validation-iterations", "3", *(part for s in settings for part in ("--set", s))]
        train([*options, "--steps", "2"])
        train([*options, "--steps", "3"])
    return folders


def test_a_run_is_read_as_it_was_made(runs, tmp_path) -> None:
    run = TrainingRun.load(runs[0])
    assert run.name == "Optimus" and run.options.functions == ["Rosenbrock"] and run.options.largest == 4
    assert run.step == 3 and run.resumed == 1 and [p["step"] for p in run.history] == [2, 3]
    assert "resumed 1 times" in run.told and str(runs[0].parent) not in run.told
    with pytest.raises(SystemExit, match="is no run of `python -m training.optim`"):
        TrainingRun.load(tmp_path)


def test_time_to_a_loss_is_that_of_the_first_validation_there() -> None:
    history = [{"minutes": m, "validation": v} for m, v in ((1.0, 0.5), (2.0, -0.2), (3.0, 0.1), (4.0, -0.3))]
    assert [minutes_to(history, target) for target in (0.5, 0.0, -0.3, -0.4)] == [1.0, 2.0, 4.0, None]


def test_curves_of_two_kinds_have_a_page(runs, tmp_path, capsys) -> None:
    training_curves.main([*map(str, runs), "--out", str(tmp_path), "--json"])
    found = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    assert set(found) == {"Optimus", "Adafactor MLP"}
    for name, run in found.items():
        assert run["least"] == min(point["validation"] for point in run["history"])
        assert run["minutes_to"][name] is not None
    (page,) = tmp_path.glob("*-training-curves.md")
    assert page.with_suffix(".png").is_file() and "| Adafactor MLP | 3 |" in page.read_text()
    with pytest.raises(SystemExit, match="different kinds"):
        training_curves.main([str(runs[0]), str(runs[0]), "--no-page"])


def test_values_by_the_dimensions_trained_in_have_a_page(runs, tmp_path, capsys) -> None:
    trained_dimensions.main([*map(str, runs), "--dimensions", "2", "--starts", "1", "--out", str(tmp_path), "--json"])
    found = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    assert {"Optimus, 2 to 4", "Adafactor MLP, 2 to 4", "BFGS", "L-BFGS"} < set(found)
    assert all(set(values) == {"2"} for values in found.values())
    assert found["L-BFGS step, nothing learned"]["2"] < 1e-6, "200 iterations in the plane"
    (page,) = tmp_path.glob("*-trained-dimensions.md")
    assert page.with_suffix(".png").is_file() and "| Optimus, 2 to 4 |" in page.read_text()
