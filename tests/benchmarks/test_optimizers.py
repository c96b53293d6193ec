"""The command of the optimizers' benchmark on a few tasks: its figures, its page, and what it says of misses."""

from __future__ import annotations

import json
import sys
from functools import partial

import pytest
import torch

from benchmarks.optimizers import __main__ as optimizers
from benchmarks.optimizers import baselines as optimizer_baselines
from benchmarks.optimizers import curves as optimizer_curves
from benchmarks.optimizers import learned as optimizer_learned
from benchmarks.optimizers import page as optimizer_page
from benchmarks.optimizers.baselines import SEARCHING, joined
from benchmarks.optimizers.learned import PLAIN_STEP
from benchmarks.optimizers.page import TARGETS, asked_against_measured, number
from benchmarks.optimizers.paper import PAPER_SOLVERS
from benchmarks.optimizers.summary import PROFILE_SOLVERS, Measured, by_task, summary
from benchmarks.optimizers.tasks import BenchmarkTask
from benchmarks.page import report
from diffmocap.optim.adafactor_mlp import AdafactorMlp, AdafactorMlpSettings
from diffmocap.optim.optimus import Optimus, OptimusSettings
from diffmocap.optim.weights import save_optimizer

pytestmark = pytest.mark.usefixtures("one_thread")

KEYS = {
    "share_10x_bfgs", "share_10x_adam", "share_5x_adafactor_mlp", "share_5x_lbfgs", "share_at_or_below_paper",
    "share_multimodal_at_or_below_paper", "rotated_decades_over_lbfgs_step", "profile_area", "step_ms", "bfgs_step_ms",
    "peak_mb_n10000", "subset",
}  # fmt: skip
FEW = (
    "--functions", "Sphere,Rosenbrock", "--dimensions", "10,250", "--starts", "2", "--largest-timed", "100", "--json",
)  # fmt: skip


@pytest.fixture
def results(tmp_path, monkeypatch):
    """An empty folder of results in the place of the committed ones."""
    folder = tmp_path / "results"
    for module in (optimizers, report, optimizer_page):
        monkeypatch.setattr(module, "RESULTS", folder)
    monkeypatch.setattr(optimizer_curves, "FOLDER", folder / "baselines")
    monkeypatch.setattr(optimizers, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(optimizers, "REMARKS", folder / "remarks.md")
    monkeypatch.setattr(optimizers, "FULL_RUN", folder / "full.json")
    # An eighth of the iterations: a solver that has ended stays where it is.
    for module in (optimizer_baselines, optimizer_learned):
        monkeypatch.setattr(module, "in_chunks", partial(optimizer_baselines.in_chunks, iterations=30))
    drawn, turned = optimizers.trajectories, optimizers.directions
    monkeypatch.setattr(optimizers, "trajectories", lambda chosen: drawn(chosen, dimensions=(2,), iterations=10))
    monkeypatch.setattr(optimizers, "directions", lambda chosen: turned(chosen, starts=8, iterations=10))
    monkeypatch.setattr("benchmarks.optimizers.costs.memory", lambda solver, begun: {
        "peak_mb": 150.0, "n": 10_000, "steps": 200, "begun": begun,
    })  # fmt: skip
    return folder


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """Runs the command here with small networks; returns the figures of its last line, and all it printed."""
    torch.manual_seed(0)
    settings = OptimusSettings(encoders=1, width=16, heads=2, feedforward=16, mlp_width=16, mlp_layers=2)
    weights = []
    for flag, optimizer in (
        ("--optimus", Optimus(settings)), ("--adafactor-mlp", AdafactorMlp(AdafactorMlpSettings(width=8))),
        ("--adafactor-mlp-large", AdafactorMlp(AdafactorMlpSettings(width=16))), ("--rosenbrock", Optimus(settings)),
    ):  # fmt: skip
        save_optimizer(optimizer, tmp_path / f"{flag[2:]}.safetensors")
        weights += [flag, str(tmp_path / f"{flag[2:]}.safetensors")]

    def call(*arguments: str) -> tuple[dict, str]:
        monkeypatch.setattr(sys, "argv", ["optimizers", *weights, *arguments])
        optimizers.main()
        out = capsys.readouterr().out
        return json.loads(out.strip().splitlines()[-1]), out

    return call


def perfect() -> dict:
    """Figures that meet all that is asked."""
    return {
        "share_10x_bfgs": 0.65, "share_10x_adam": 0.9, "share_5x_adafactor_mlp": 0.9, "share_5x_lbfgs": 0.4,
        "rotated_decades_over_lbfgs_step": 0.5, "rotated_decades_over_lbfgs_step_interval": [0.1, 0.9],
        "unrotated_decades_over_lbfgs_step": 2.0, "share_multimodal_at_or_below_paper": 8 / 15,
        "multimodal_entries": 15, "first_at_every_threshold": True,
        "profile_area": {s: 0.9 if s == "Optimus" else 0.5 for s in PROFILE_SOLVERS},
        "share_at_or_below_paper": 0.75, "step_ms": {"1000": 1, "4000": 10},
        "bfgs_step_ms": {"1000": 2, "4000": 100}, "peak_mb_n10000": 150.0, "weights_sha256": {"Optimus": "abc"},
    }  # fmt: skip


def test_command_ends_with_the_figures_and_writes_its_page(run, results, monkeypatch):
    old = perfect() | {"images": {"profile": "old-profile.png"}}
    record = {"date": "2026-01-02", "commit": "c0ffee", "figures": old}
    results.mkdir()
    (results / "full.json").write_text(json.dumps(record))
    (results / "remarks.md").write_text("A miss and its cause.\n")
    figures, out = run(*FEW, "--refresh-baselines", "--baseline-starts", "2")
    assert KEYS <= set(figures) and "details" not in figures and "subset: {" in out
    assert figures["subset"]["tasks"] == 4 and figures["subset"]["starts"] == {"10": 2, "250": 2}
    assert set(figures["profile_area"]) == set(PROFILE_SOLVERS) and figures["tasks_compared"] == 2
    assert set(figures["profile_area_with_plain_step"]) == {*PROFILE_SOLVERS, PLAIN_STEP}
    assert set(figures["profile_area_paper_solvers"]) == set(PAPER_SOLVERS)
    low, high = figures["rotated_decades_over_lbfgs_step_interval"]
    assert low <= figures["rotated_decades_over_lbfgs_step"] <= high
    assert set(figures["step_ms"]) == set(figures["bfgs_step_ms"]) == {"100"} and figures["peak_mb_n10000"] == 150
    (page,) = results.glob("*-optimizers.md")
    text = page.read_text()
    for word in ("hardware:", "commit:", "command:", "Optimus: `", "full run of 2026-01-02", "c0ffee", "Sphere 250d",
                 "A miss and its cause.", "other weights", "**Relative iterations**", "old-profile.png",
                 "- BFGS: 4 of 120 tasks, sha256", "64 starts (2 for N = 10, 250)", "Trained on Rosenbrock alone",
                 "1.7e-12", "## Turned coordinates", f"| {PLAIN_STEP} |", "**Turned coordinates.**"):  # fmt: skip
        assert word in text, word
    images = {p.name for p in results.glob("*.png")}
    assert len(images) == 9 and all(f"]({name})" in text for name in images)
    assert json.loads((results / "full.json").read_text()) == record, "some of the tasks are no full run"
    again, _ = run(*FEW, "--dimensions", "250", "--no-page", "--parts", "tasks")  # those of the headlines
    for key in KEYS - {"step_ms", "bfgs_step_ms", "peak_mb_n10000", "subset", "rotated_decades_over_lbfgs_step"}:
        assert again[key] == pytest.approx(figures[key], rel=1e-3), key
    assert again["step_ms"] is None


def test_a_run_without_baselines_says_so(run, results):
    figures, out = run("--functions", "Sphere", "--dimensions", "2", "--starts", "2", "--parts", "tasks", "--json")
    assert "Adam: no curves of 1 of 1 tasks yet; --refresh-baselines measures them" in out
    assert figures["profile_area"] == {} and figures["share_10x_bfgs"] is None
    assert figures["first_at_every_threshold"] is None
    (page,) = results.glob("*.md")
    assert "- BFGS: none yet" in page.read_text()


def test_full_and_quick_runs_differ_in_starts_and_in_what_they_keep(run, results, monkeypatch):
    taken = []

    def no_tasks(solver, tasks, starts, shifted, keep=None, turned=False):
        levy, perm = starts(BenchmarkTask("Levy", 50 if keep else 1000)), starts(BenchmarkTask("Perm", 1000))
        taken.append((solver.name, shifted, levy, perm, keep))
        return {}

    monkeypatch.setattr(optimizers, "run_tasks", no_tasks)
    run("--quick", "--no-page", "--parts", "tasks", "--json")
    assert taken == [(name, True, 2, 1, None) for name in ("Optimus", "Adafactor MLP", PLAIN_STEP)]
    taken.clear()
    run("--no-page", "--parts", "tasks", "--json")
    assert {(shifted, levy, perm) for _, shifted, levy, perm, _ in taken} == {(True, 64, 2), (False, 4, 2)}
    assert len(taken) == 8 and all(keep == optimizers.CACHE for *_, keep in taken)


def test_weights_that_are_missing_or_left_out(run, results):
    with pytest.raises(SystemExit, match="no weights of Adafactor MLP: .*gone does not exist.*--adafactor-mlp FILE"):
        run("--adafactor-mlp", "gone", "--quick")
    figures, _ = run(
        "--adafactor-mlp", "none", "--rosenbrock", "none", "--functions", "Sphere", "--dimensions", "2", "--quick",
        "--parts", "tasks,rosenbrock", "--no-page", "--json",
    )  # fmt: skip
    assert set(figures["weights_sha256"]) == {"Optimus"} and figures["share_5x_adafactor_mlp"] is None


@pytest.mark.parametrize("arguments", [("--parts", "all"), ("--dimensions", "3"), ("--functions", "Cube")])
def test_what_is_unknown_is_refused(run, arguments, capsys):
    with pytest.raises(SystemExit):
        run(*arguments)
    assert f"{arguments[1]} is unknown; expected some of" in capsys.readouterr().err


@pytest.mark.parametrize(
    "key, value, word",
    [
        ("share_10x_bfgs", 0.64, "64 %"),
        ("share_10x_adam", 0.1, "10 %"),
        ("share_5x_adafactor_mlp", 0.0, "0 %"),
        ("share_5x_lbfgs", 0.39, "39 %"),
        ("share_at_or_below_paper", 0.4, "40 %"),
        ("share_multimodal_at_or_below_paper", 7 / 15, "7 of 15"),
        ("rotated_decades_over_lbfgs_step", 0.4, "0.40 (0.10 to 0.90)"),
        ("rotated_decades_over_lbfgs_step_interval", [-0.1, 0.9], "0.50 (-0.10 to 0.90)"),
        ("first_at_every_threshold", False, "not first at every threshold"),
        ("step_ms", {"1000": 1.1, "4000": 1}, "1.8 times faster"),
        ("peak_mb_n10000", 201, "201 MB"),
        ("profile_area", dict.fromkeys(PROFILE_SOLVERS, 0.5), "0.500"),
        (
            "profile_area",
            dict.fromkeys(PROFILE_SOLVERS, 0.5) | {"Optimus": 0.8, "L-BFGS": 0.9},
            "L-BFGS 0.900",
        ),
    ],  # fmt: skip
)
def test_a_miss_is_called_a_miss(key, value, word):
    lines = asked_against_measured(perfect() | {key: value}, None)
    assert len(lines) == 2 + len(TARGETS)
    assert [word in line for line in lines if "missed" in line] == [True]


def test_what_was_not_run_has_dashes():
    assert all("| – | – |" in line for line in asked_against_measured({}, None)[2:])
    assert not any("missed" in line for line in asked_against_measured(perfect(), None))


def test_other_weights_than_the_full_run_are_named():
    full = {"date": "2026-01-02", "commit": "c0ffee", "figures": perfect()}
    same = perfect() | {"weights_sha256": {"Optimus": "abc", "Adafactor MLP": "new"}}
    assert not any("other weights" in line for line in asked_against_measured(same, full))
    other = perfect() | {"weights_sha256": {"Optimus": "xyz"}}
    assert asked_against_measured(other, full)[-1] == "The full run measured other weights of Optimus."


def test_figures_follow_from_curves():
    """Optimus at the target of each baseline after 10 of 100 iterations on one task, and never on the other."""
    tasks = [BenchmarkTask("Sphere", 250), BenchmarkTask("Levy", 1000)]
    measured = Measured()
    for solver in PAPER_SOLVERS:
        curve = torch.linspace(200, 0, 201, dtype=torch.float64)[:, None]
        if solver == "Optimus":
            runs = {tasks[0]: (200 - 10.0 * torch.arange(201)).clamp(0)[:, None].double(), tasks[1]: curve * 0 + 200}
        else:
            runs = dict.fromkeys(tasks, curve)
        measured.records[solver] = {
            task: optimizer_learned.LearnedRun.of(solver, task, runs[task].expand(-1, 3)).record for task in tasks
        }
        if solver == "Optimus":
            measured.learned[solver] = {task: runs[task].expand(-1, 3) for task in tasks}
    figures = summary(measured)
    assert figures["share_10x_bfgs"] == figures["share_5x_adafactor_mlp"] == 0.5
    assert figures["share_5x_lbfgs"] is None and figures["tasks_compared"] == 0, "L-BFGS was not run"
    assert figures["profile_area"] == {} and figures["first_at_every_threshold"] is None
    assert figures["share_at_or_below_paper"] == 0.5 and figures["paper_entries"] == 2
    assert figures["share_multimodal_at_or_below_paper"] == 0 and figures["multimodal_entries"] == 1
    assert figures["profile_area_paper_solvers"] == {s: 0.5 if s == "Optimus" else 1.0 for s in PAPER_SOLVERS}
    measured.records["L-BFGS"] = measured.records["Adam"]
    figures = summary(measured)
    assert figures["tasks_compared"] == 2 and set(figures["profile_area"]) == set(PROFILE_SOLVERS)
    assert figures["share_5x_lbfgs"] == figures["share_10x_lbfgs"] == 0.5
    assert figures["first_at_every_threshold"] is False
    rows = by_task(measured)
    assert rows["Sphere 250d"]["relative_iterations"]["Adam"] == 10 and rows["Levy 1000d"]["final"]["Optimus"] == 200
    assert rows["Levy 1000d"]["relative_iterations"]["BFGS"] == 0


def test_numbers_are_short():
    assert [number(v) for v in (None, 0.0, 1.234e-12, 5.6e5, 2e19)] == ["–", "0.0e0", "1.2e-12", "5.6e5", "2.0e+19"]


def test_bfgs_runs_need_no_joining():
    task = BenchmarkTask("Sphere", 2)
    from diffmocap.optim.stopping import Budget

    result = SEARCHING["BFGS"]().minimize(task.problem(False), task.starts(1, False), Budget(iterations=2))
    assert joined([result]) is result
