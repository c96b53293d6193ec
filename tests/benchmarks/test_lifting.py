"""The command that measures everything, on a few frames and steps; its page, and what it says of misses."""

from __future__ import annotations

import json
import sys

import pytest
import torch

from benchmarks.lifting import __main__ as lifting
from benchmarks.lifting import baselines, lifting_page
from benchmarks.lifting.baselines import Baseline, load_baselines
from benchmarks.lifting.lifting_page import TARGETS, asked_against_measured
from benchmarks.lifting.made_poses import MadePoseSet
from benchmarks.lifting.parts import real_part
from benchmarks.lifting.pose_grid import posed, varied_frames
from benchmarks.page import report
from benchmarks.protocols import made_input, real_clip
from benchmarks.synthetic.scenes import SCENES
from diffmocap.body.model import BodyModel
from diffmocap.cli.drawing.render import BodyRenderer
from diffmocap.evaluation.pose_frames import PoseFrames

KEYS = {
    "pixel_error", "pixel_error_mlp", "wild_mpjpe_mm", "wild_pa_mpjpe_mm", "wild_best_of_10_mpjpe_mm",
    "synthetic_pa_mpjpe_mm", "synthetic_baseline_pa_mpjpe_mm", "spread_error_rank_correlation", "live_ms", "ddim50_ms",
    "mean_error_ratio", "sample_error_ratio", "subset", "exact_pa_mpjpe_mm", "exact_depth_pa_mpjpe_mm",
    "made_poses_pa_mpjpe_mm",
}  # fmt: skip
FAST = ("--frames", "12", "--steps", "2", "--wild-steps", "3", "--parts", "paper,wild,exact", "--json")


@pytest.fixture
def results(tmp_path, monkeypatch):
    """An empty folder of results in the place of the committed ones."""
    folder = tmp_path / "results"
    for module in (lifting, report, lifting_page):
        monkeypatch.setattr(module, "RESULTS", folder)
    monkeypatch.setattr(load_baselines, "__defaults__", (folder / "baselines",))
    monkeypatch.setattr(Baseline.save, "__defaults__", (folder / "baselines",))
    monkeypatch.setattr(lifting, "REMARKS", folder / "remarks.md")
    monkeypatch.setattr(lifting, "FULL_RUN", folder / "full.json")
    monkeypatch.setattr(lifting, "SOLVED", 0)
    return folder


@pytest.fixture
def run(monkeypatch, capsys, mocap_dir):
    """Runs the command here and returns the figures of its last line, and all it printed."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)

    def call(*arguments: str) -> tuple[dict, str]:
        data = mocap_dir / "cmu_smpl30_test.npz"
        monkeypatch.setattr(sys, "argv", ["lifting", "--data", str(data), *arguments])
        lifting.main()
        out = capsys.readouterr().out
        return json.loads(out.strip().splitlines()[-1]), out

    yield call
    torch.set_num_threads(threads)


def perfect() -> dict:
    """Figures that meet all that is asked."""

    def pair(case: str, plain: float, deep: float) -> dict:
        return {case: {"pa_mpjpe_mm": plain}, f"{case}_depth": {"pa_mpjpe_mm": deep}}

    view = {"poses": 1.0, "exchanged": 2.0, "acceleration": 10.9, "lean_deg": 6.0}
    turned = {angle: {"whole": {"pa_mpjpe_mm": 58.5}} for angle in ("90", "180")}
    details = {
        "wild": {"turned": turned, "coverage": {"50": 0.45, "90": 0.95}},
        "exact": {"lifted": pair("exact", 20.0, 2.0) | pair("shapes_noise", 42.0, 20.0) | pair("missing", 35.0, 9.0)},
        "made": {"made_poses_pa_mpjpe_mm": 35.0, "made_poses_depth_pa_mpjpe_mm": 6.0},
        "real": {
            "lifted": dict.fromkeys(("1", "2", "3", "4", "mean"), view), "mediapipe": {"2": {"exchanged": 33.0}},
            "footage": {"depth_flips": 0, "straight_knees": {"squats": {"lifted_deg": 10.0}}},
        },
        "synthetic": {"by_film": {"94_13": {"pa_mpjpe_mm": 59.0, "baseline_pa_mpjpe_mm": 60.0}}},
    }  # fmt: skip
    return {
        "pixel_error": {"0.0": 0.0099, "0.5": 0.0089, "2.0": 0.0079},
        "pixel_error_mlp": {"0.0": 0.02, "0.5": 0.02, "2.0": 0.02},
        "wild_mpjpe_mm": 100.0, "wild_pa_mpjpe_mm": 45.0, "wild_best_of_10_mpjpe_mm": 75.0,
        "synthetic_pa_mpjpe_mm": 60.0, "synthetic_baseline_pa_mpjpe_mm": 100.0, "spread_error_rank_correlation": 0.6,
        "real_pa_mpjpe_mm": 52.0, "real_mpjpe_mm": 80.0, "real_baseline_pa_mpjpe_mm": 100.0,
        "live_ms": 5.0, "ddim50_ms": 50.0, "mean_error_ratio": 1.05, "weights_sha256": "abc", "frames": 5,
        "details": details,
    }  # fmt: skip


def changed(*path: str, value) -> dict:
    """Perfect figures, but for one of the details."""
    figures = json.loads(json.dumps(perfect()))
    inner = figures["details"]
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return figures


def baseline(name: str, folder) -> Baseline:
    part = {key: dict.fromkeys(("0.0", "0.5", "2.0"), 0.5) for key in
            ("pixel_error", "pixel_error_standard_error", "mpjpe_mm", "pa_mpjpe_mm")}  # fmt: skip
    origin = ("f" * 64, "c0ffee", "command", "2026-01-01", "cpu", "data")
    made = Baseline(name, f"{name} label", 27, "epsilon", *origin, part, part)
    made.save(folder)
    return made


def test_command_ends_with_the_figures_and_writes_its_page(run, results):
    baseline("mlp", results / "baselines")
    record = {"date": "2026-01-02", "commit": "c0ffee", "figures": perfect()}
    (results / "full.json").write_text(json.dumps(record))
    (results / "remarks.md").write_text("A miss and its cause.\n")
    figures, out = run(*FAST)
    assert KEYS <= set(figures) and figures["subset"] == 12 and "subset: 12 of 133 frames" in out
    assert set(figures["pixel_error"]) == {"0.0", "0.5", "2.0"} and figures["pixel_error_mlp"]["0.5"] == 0.5
    assert 0 < figures["wild_best_of_10_mpjpe_mm"] < figures["wild_mpjpe_mm"] < 500
    wild = figures["details"]["wild"]
    assert figures["wild_best_of_10_mpjpe_mm"] == pytest.approx(wild["best_of_mpjpe_mm"][9], abs=0.01)
    beside = wild["by_guidance"]
    assert {float(w) for w in beside} | {wild["guidance"]} == {0.0, 0.5, 2.0} and len(beside) == 2
    assert all(f["mpjpe_mm"] != wild["mpjpe_mm"] for f in beside.values())
    whole = wild["by_stratum"]["whole"]
    assert figures["wild_pa_mpjpe_mm"] == whole["pa_mpjpe_mm"] != wild["pa_mpjpe_mm"]
    assert figures["live_ms"] is figures["made_poses_pa_mpjpe_mm"] is None, "not run"
    assert not [key for key in figures if key.startswith("real_")]
    exact = figures["details"]["exact"]
    assert exact["frames"] == 12 and exact["inverse_kinematics"] == {}, "solved on none"
    assert figures["exact_pa_mpjpe_mm"] == exact["lifted"]["exact"]["pa_mpjpe_mm"] < 80
    assert 60 < exact["mean_pose"]["exact"]["pa_mpjpe_mm"] < 300
    assert set(wild["turned"]) == {"90", "180"} and 0 < wild["coverage"]["50"] < wild["coverage"]["90"] <= 1
    (page,) = results.glob("*-lifting.md")
    text = page.read_text()
    for word in ("hardware:", "commit:", "command:", "data:", "weights: sha256", "full run of 2026-01-02", "mlp label",
                 "c0ffee", "A miss and its cause.", "other weights", "at most 45 mm", "**Wild protocol**",
                 "## Exact input", "| shapes_noise_depth |", "**Made poses**", "**Real clip**"):  # fmt: skip
        assert word in text, word
    images = {p.name for p in results.glob("*.png")}
    assert len(images) == 5 and all(f"]({name})" in text for name in images)
    again, _ = run(*FAST, "--no-page")
    for key in KEYS:
        assert again[key] == figures[key], key


def test_committed_baselines_hold_what_they_must():
    """Each file in the repository: figures at every weight for both sizes of run, and where they come from."""
    for b in load_baselines(baselines.FOLDER):
        assert len(b.weights_sha256) == 64 and b.commit and "benchmarks.lifting" in b.command
        for part in (b.full, b.quick):
            assert set(part["pixel_error"]) == {"0.0", "0.5", "2.0"}
        assert b.quick["frames"] == lifting.QUICK_FRAMES < b.full["frames"]


def test_a_baseline_is_measured_and_read_again(run, results, monkeypatch):
    monkeypatch.setattr(lifting, "QUICK_FRAMES", 5)
    run("--baseline", "other", "--label", "other network", "--every", "1000", "--steps", "2", "--json")
    (found,) = load_baselines()
    assert found.label == "other network" and found.full["frames"] == 8 and found.quick["frames"] == 5
    assert found.parameters > 1e6 and 0 < found.full["pixel_error"]["0.5"] < 0.5
    (results / "baselines" / "broken.json").write_text("{}")
    with pytest.raises(SystemExit, match="broken.json"):
        load_baselines()


def test_without_the_real_clip_its_figures_are_left_out_and_it_is_said(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(real_clip, "REPOSITORY", tmp_path / "checkout")
    assert real_part(None) is None
    assert "no real clip with ground truth" in capsys.readouterr().err
    assert not [key for key in lifting.headline({}, [], False) if key.startswith("real_")]
    row = {"pa_mpjpe_mm": 1.0, "mpjpe_mm": 2.0}
    found = lifting.headline(
        {"real": {"lifted": {"mean": row}, "mediapipe": {"mean": {"pa_mpjpe_mm": 3.0}}}}, [], False
    )
    assert [found[f"real_{key}mpjpe_mm"] for key in ("pa_", "", "baseline_pa_")] == [1.0, 2.0, 3.0]


def test_made_poses_are_measured_alone_by_their_command(monkeypatch, capsys, one_thread):
    """Two poses of each family."""
    load = MadePoseSet.load

    def few(body) -> MadePoseSet:
        made = load(body)
        first = torch.cat([torch.nonzero(made.family == i)[:2, 0] for i in range(4)])
        parts = (getattr(made, name)[first] for name in ("rotations", "pelvis", "R_camera_world", "family"))
        return MadePoseSet(*parts, body)

    monkeypatch.setattr(MadePoseSet, "load", few)
    monkeypatch.setattr(sys, "argv", ["made_input", "--json"])
    made_input.main()
    out = capsys.readouterr().out.strip().splitlines()
    figures = json.loads(out[-1])
    families = [figures[f"made_poses_pa_mpjpe_mm_{name}"] for name in ("seated", "bent", "kick", "floor")]
    assert figures["made_poses_pa_mpjpe_mm"] == pytest.approx(sum(families) / 4)
    assert out[2].startswith(f"| exact 2D | {figures['made_poses_pa_mpjpe_mm']:.1f} | {families[0]:.1f} |")
    assert lifting.headline({"made": figures}, [], False)["made_poses_pa_mpjpe_mm"] == figures["made_poses_pa_mpjpe_mm"]


def test_page_shows_made_poses_and_the_real_clip():
    view = {"poses": 1.0, "exchanged": 2.0, "acceleration": 10.9, "lean_deg": 6.0, "pa_mpjpe_mm": 51.0,
            "mpjpe_mm": 79.0, "still_ankle": 0.1, "pelvis_m": 0.05}  # fmt: skip
    straight = {"count": 3, "lifted_deg": 12.0, "true_deg": 5.0, "error_deg": 7.5}
    real = {
        "lifted": {"1": view, "mean": view}, "mediapipe": {"1": view | {"pa_mpjpe_mm": 81.0}, "mean": view},
        "straight_knees": {"1": straight},
        "footage": {"depth_flips": 4, "straight_knees": {"squats": {"count": 0, "lifted_deg": None}},
                    "straight_elbows": {}},
    }  # fmt: skip
    made = {f"made_poses_{d}pa_mpjpe_mm{f}": 30.0 for d in ("", "depth_") for f in ("", "_seated", "_floor")}
    figures = perfect() | {"subset": None, "details": {"made": made, "real": real}}
    text = lifting_page.page(figures, ["- head"], [], None, (50, 10), False, {})
    assert "| PA-MPJPE | all | seated | floor |" in text and "| with exact depth | 30.0 | 30.0 | 30.0 |" in text
    assert "| 1 | 51 (81) | 79 (79) | 1 | 2 (2) |" in text and "Depth flips of the raised leg: 4." in text
    assert "| knees, view 1 | 3 | 12.0 | 5.0 | 7.5 |" in text and "| knees, squats | 0 | – | – | – |" in text


def test_unknown_parts_are_named(run, results):
    with pytest.raises(SystemExit, match="nonsense"):
        run("--parts", "paper,nonsense")


def test_what_is_asked_is_met_at_its_bound_and_missed_beyond():
    """Each row by each of the figures that it is about."""
    assert [t.cells(perfect())[1] for t in TARGETS] == ["met"] * len(TARGETS)
    head = {
        0: {"pixel_error": {"0.0": 0.0099, "0.5": 0.0089, "2.0": 0.0081}},
        1: {"pixel_error_mlp": {"0.0": 0.02, "0.5": 0.001, "2.0": 0.02}},
        2: {"wild_pa_mpjpe_mm": 45.1}, 4: {"wild_best_of_10_mpjpe_mm": 75.1},
        5: {"spread_error_rank_correlation": 0.59}, 11: {"real_pa_mpjpe_mm": 52.1, "real_mpjpe_mm": 80.1},
        17: {"synthetic_pa_mpjpe_mm": 60.1}, 18: {"mean_error_ratio": 1.06, "live_ms": 15.5, "ddim50_ms": 49.0},
    }  # fmt: skip
    for row, values in head.items():
        for key, value in values.items():
            assert TARGETS[row].cells(perfect() | {key: value})[1] == "**missed**", key
            assert TARGETS[row].cells(perfect() | {key: None}) == ("–", "–"), "not run"
    details = [
        (3, ("wild", "turned", "180", "whole", "pa_mpjpe_mm"), 58.6), (6, ("wild", "coverage", "90"), 0.96),
        (6, ("wild", "coverage", "50"), 0.44), (7, ("exact", "lifted", "exact", "pa_mpjpe_mm"), 20.1),
        (7, ("exact", "lifted", "exact_depth", "pa_mpjpe_mm"), 2.1),
        (8, ("exact", "lifted", "shapes_noise", "pa_mpjpe_mm"), 42.1),
        (8, ("exact", "lifted", "shapes_noise_depth", "pa_mpjpe_mm"), 20.1),
        (9, ("exact", "lifted", "missing", "pa_mpjpe_mm"), 35.1), (10, ("made", "made_poses_pa_mpjpe_mm"), 35.1),
        (10, ("made", "made_poses_depth_pa_mpjpe_mm"), 6.1), (11, ("real", "lifted", "3", "poses"), 0.99),
        (12, ("real", "lifted", "2", "exchanged"), 3.0), (13, ("real", "footage", "depth_flips"), 1),
        (14, ("real", "lifted", "4", "acceleration"), 11.1), (14, ("real", "lifted", "1", "acceleration"), 7.9),
        (15, ("real", "lifted", "1", "lean_deg"), 6.1),
        (16, ("real", "footage", "straight_knees", "squats", "lifted_deg"), 10.1),
        (17, ("synthetic", "by_film", "94_13", "pa_mpjpe_mm"), 60.0),
    ]  # fmt: skip
    for row, path, value in details:
        assert TARGETS[row].cells(changed(*path, value=value))[1] == "**missed**", path
    without = perfect() | {"details": {}, "pixel_error": None, "real_pa_mpjpe_mm": None, "live_ms": None}
    for row in {row for row, _, _ in details} - {17}:
        assert TARGETS[row].cells(without) == ("–", "–"), "not run"
    assert {*head, *(row for row, _, _ in details)} == set(range(len(TARGETS)))


def test_full_run_stands_beside_a_quick_one():
    full = {"date": "2026-01-01", "commit": "abc1234", "figures": perfect() | {"wild_pa_mpjpe_mm": 70.0}}
    lines = asked_against_measured(perfect(), full)
    assert "full run of 2026-01-01, commit `abc1234`" in lines[0]
    (row,) = [line for line in lines if "PA-MPJPE, whole" in line]
    assert "45.0 mm | met | 70.0 mm | **missed**" in row and not any("other weights" in line for line in lines)


def test_quick_films_are_scenes_of_every_filmed_subject_and_side():
    chosen = [s for s in SCENES if (s.piece.clip, s.view.yaw_deg) in lifting.QUICK_FILMS]
    assert len(chosen) == len(lifting.QUICK_FILMS)
    assert {s.piece.clip.split("_")[0] for s in chosen} == {s.piece.clip.split("_")[0] for s in SCENES}
    yaws = [abs(s.view.yaw_deg) for s in chosen]
    assert min(yaws) <= 30 and max(yaws) >= 150 and any(45 <= y <= 90 for y in yaws)
    assert sum(s.piece.stop - s.piece.start for s in chosen) <= 850, "drawn within three minutes"


def test_page_shows_film_and_live_figures():
    part = {"frames": 6, "pa_mpjpe_mm": 60.0, "mpjpe_mm": 80.0, "baseline_pa_mpjpe_mm": 80.0, "baseline_mpjpe_mm": 90.0,
            "linear_pa_mpjpe_mm": 70.0, "linear_mpjpe_mm": 85.0}  # fmt: skip
    synthetic = part | {"by_yaw": {"rear": part}, "by_film": {"94_13": part}}
    live = {"live_ms": 5.0, "settings": "5 steps", "rows": [1, 2]}
    figures = perfect() | {"subset": None, "details": {"synthetic": synthetic, "live": live}}
    text = lifting_page.page(figures, ["- head"], [], None, (50, 10), False, {})
    for name in ("94_13", "seen from: rear", "**all**"):
        assert f"| {name} | 6 | 60.0 | 80.0 | -25 % | 70.0 | 80.0 | 90.0 | 85.0 |" in text
    assert "- live_ms: 5.0" in text and "- settings: 5 steps" in text and "rows" not in text
    assert "## Remarks" not in text and "(quick run)" not in text


def test_grid_draws_the_pose_that_it_is_given(mocap_dir):
    """The simulator's links lie on the joints of the body model, in the optical frame."""
    frames = PoseFrames.load(mocap_dir / "cmu_smpl30_test.npz", every=400)
    body = BodyModel.load()
    chosen = varied_frames(frames, body, 3)
    pelvis = torch.tensor([0.1, -0.2, 3.0])
    with BodyRenderer() as renderer:
        for rotations in chosen.rotations:
            renderer.pose(posed(rotations, pelvis))
            joints = body.forward_kinematics(rotations[None], pelvis[None])[1][0]
            assert torch.allclose(torch.tensor(renderer.joint_positions_m()).float(), joints, atol=2e-3)
    distances = torch.pdist(body.forward_kinematics(chosen.rotations, torch.zeros(3, 3))[1].flatten(1))
    assert float(distances.min()) > 0.5, "unlike each other"
