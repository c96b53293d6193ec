"""The variants: what each is, that runs are kept and taken up, and the page."""

from __future__ import annotations

import json

import pytest

from benchmarks.optimizers import optimus_variants
from benchmarks.optimizers.optimus_variants import METHODS, VARIANTS, decades, done, main, train
from benchmarks.optimizers.optimus_variants_page import TITLES, average, table
from diffmocap.optim.optimus import Optimus, OptimusSettings
from diffmocap.optim.weights import build
from training.optim.problems import TRAINED


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_is_one(name: str) -> None:
    variant = VARIANTS[name]
    optimizer = build(variant.kind, variant.settings)
    assert variant.group in TITLES and set(variant.methods) <= set(METHODS)
    reference = OptimusSettings()
    if variant.group == "B":
        assert isinstance(optimizer, Optimus) and optimizer.settings != reference
    assert ("the paper's features" in name) == (not optimizer.settings.features.memory)


def test_the_papers_readings_are_those_of_the_settings() -> None:
    text = build("optimus", VARIANTS["the paper's text: use first, Frobenius, sum"].settings).settings
    paper = OptimusSettings.paper_text()
    assert (text.order, text.norm, text.factor_scale) == (paper.order, paper.norm, paper.factor_scale)
    algorithm = build("optimus", VARIANTS["the paper's algorithm 1: update first, no norm, sum"].settings).settings
    paper = OptimusSettings.paper_algorithm()
    assert (algorithm.order, algorithm.norm, algorithm.factor_scale) == (paper.order, paper.norm, paper.factor_scale)


def test_methods_share_the_time_and_runs_are_measured(monkeypatch) -> None:
    monkeypatch.setattr(optimus_variants, "DIMENSIONS", (6,))
    monkeypatch.setattr(optimus_variants, "ITERATIONS", (2, 3))
    trainer = train(
        optimus_variants.Variant("method", "adafactor_mlp", {"width": 8, "layers": 1}, ("single steps", "PES")), 0.01, 0
    )
    assert trainer.recipe.method == "pes" and trainer.recipe.minutes == 0.005 and trainer.progress >= 1
    found = decades(trainer)
    assert set(found) == set(TRAINED) and all(0 <= v["2"] <= v["3"] <= 14 for v in found.values())


def test_runs_are_kept_and_the_page_has_them(tmp_path, monkeypatch, capsys) -> None:
    kept = tmp_path / "runs.jsonl"
    monkeypatch.setattr(optimus_variants, "RUNS", kept)
    monkeypatch.setattr(optimus_variants, "done", lambda path=kept: done(path))
    calls = []

    def quick(variant, minutes, seed):
        calls.append(variant)
        return type("Trainer", (), {"step": 3, "optimizer": build("adafactor_mlp", {"width": 8, "layers": 1})})

    values = {name: {"10": 1.0, "30": 2.0, "100": 3.0} for name in TRAINED}
    monkeypatch.setattr(optimus_variants, "train", quick)
    monkeypatch.setattr(optimus_variants, "decades", lambda trainer: values)
    arguments = ["--only", "Optimus", "PES", "--out", str(tmp_path), "--minutes", "0.5"]
    main(arguments), main(arguments)
    assert len(calls) == 2 and [json.loads(line)["variant"] for line in kept.read_text().splitlines()] == [
        "Optimus",
        "PES",
    ]
    (page,) = tmp_path.glob("*-optimus-variants.md")
    assert "| PES | " in page.read_text() and "1.00 | 2.00 | 3.00" in page.read_text() and list(tmp_path.glob("*.png"))
    with pytest.raises(SystemExit, match="no run of 9.0 minutes"):
        main(["--page", "--minutes", "9", "--out", str(tmp_path)])
    assert str(page) in capsys.readouterr().out


def test_the_table_begins_with_the_reference_and_falls() -> None:
    def run(variant, value):
        return {
            "variant": variant,
            "seed": 0,
            "weights": 1,
            "steps": 1,
            "decades": {"f": {"10": 1, "30": value, "100": 3}},
        }

    runs = [run("a", 1.0), run("b", 3.0), run("Optimus", 2.0), run("elsewhere", 9.0)]
    groups = {"Optimus": "ablation", "a": "B", "b": "B", "elsewhere": "method"}
    names = [row.split(" | ")[0].strip("| ") for row in table(runs, groups, "B")[2:]]
    assert names == ["Optimus", "b", "a"] and average(runs[0], "30") == 1.0
