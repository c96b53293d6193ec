"""The ablation turns on what it says, skips what is finished, and its page holds the runs' figures."""

from __future__ import annotations

import json

from benchmarks.lifting import data_ablation
from benchmarks.lifting.data_ablation import PARTS, VARIANTS, by_variant, cell, recipe
from benchmarks.page import report
from training.lifting.recipe import Recipe
from training.motions.poses import PoseAugmentation

#: Values of a recipe that belong to a part.
BELONGING = {
    "cameras": ("captured_heading_share", "paper_share"), "body shapes": ("beta_std",), "mirroring": ("mirror_share",),
    "limb mixing": ("mix_share", "leg_mix_share", "trunk_mix_share"), "joint noise": ("joint_noise_share",),
}  # fmt: skip


def values(of: Recipe) -> dict:
    return {**vars(of.poses), **vars(of.view)}


def test_variants_differ_from_the_default_in_their_parts_alone():
    default = {**vars(PoseAugmentation()), **vars(Recipe().view)}
    for name, parts in VARIANTS.items():
        found = values(recipe(parts, 10, 8, 0))
        changed = {key for key in default if found[key] != default[key]}
        assert changed == {key for part in PARTS if part not in parts for key in BELONGING[part]}, name
    assert values(recipe(PARTS, 10, 8, 0)) == default


def test_cell_shows_mean_and_half_range():
    assert cell([1.0], "{:.1f}") == "1.0" and cell([1.0, 2.0], "{:.1f}") == "1.5 ± 0.5"


def test_finished_runs_are_kept_and_go_into_the_page(mocap_dir, tmp_path, monkeypatch):
    for module in (data_ablation, report):
        monkeypatch.setattr(module, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(data_ablation, "VARIANTS", {"none": (), "all": PARTS})
    runs, val = tmp_path / "runs", str(mocap_dir / "cmu_smpl30_val.npz")
    options = ["--train", val, "--val", val, "--every-clip", "60", "--steps", "2", "--batch", "4", "--frames", "2"]
    monkeypatch.setattr("sys.argv", ["x", *options, "--seeds", "1", "--runs", str(runs)])
    data_ablation.main()
    kept = runs / "all-0.json"
    kept.write_text(json.dumps({**json.loads(kept.read_text()), "pixel_error": 0.1234}))
    data_ablation.main()
    raw = json.loads(next((tmp_path / "results").glob("*.json")).read_text())
    assert by_variant(raw)["all"]["pixel_error"] == [0.1234] and set(by_variant(raw)) == {"none", "all"}
    page = next((tmp_path / "results").glob("*.md")).read_text()
    assert "| all | 0.1234 |" in page and "commit:" in page
    assert next((tmp_path / "results").glob("*.png")).stat().st_size > 1000
