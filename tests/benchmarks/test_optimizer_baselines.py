"""Tasks and hand-written solvers of the optimizers' benchmark: equivariance, tuning, records that survive."""

from __future__ import annotations

import json

import pytest
import torch

from benchmarks.optimizers import baselines as optimizer_baselines
from benchmarks.optimizers.baselines import (
    BASELINES,
    LEARNING_RATES,
    SEARCHING,
    TUNED,
    affordable_starts,
    joined,
    measure,
    refresh,
    tune,
)
from benchmarks.optimizers.curves import (
    EVALUATIONS,
    FOLDER,
    QUANTILE_ITERATIONS,
    Curve,
    append_curve,
    baseline_file,
    by_iteration,
    load_curves,
    make_curve,
    tidy,
)
from benchmarks.optimizers.tasks import DIMENSIONS, ITERATIONS, STARTS, TEST_DIMENSIONS, BenchmarkTask, all_tasks
from diffmocap.optim.first_order import Adam
from diffmocap.optim.functions import FUNCTIONS
from diffmocap.optim.stopping import Budget

pytestmark = pytest.mark.usefixtures("one_thread")


def test_there_are_45_tasks_and_they_come_first():
    tasks = all_tasks()
    assert len(tasks) == 120 == len(set(tasks)) and len(FUNCTIONS) == 15
    assert {t.dimension for t in tasks[:45]} == set(TEST_DIMENSIONS) and {t.dimension for t in tasks} == set(DIMENSIONS)


@pytest.mark.parametrize("task", [BenchmarkTask("Ackley", 10), BenchmarkTask("Trid", 50)])
def test_starts_lie_in_the_domain_and_move_with_the_offset(task):
    low, high = task.problem(False).function.domain
    x, moved = task.starts(STARTS, shifted=False), task.starts(STARTS, shifted=True)
    assert x.shape == (STARTS, task.dimension) and x.dtype == torch.float64 and low <= x.min() and x.max() <= high
    assert torch.equal(x, task.starts(STARTS, False)), "seeded"
    assert torch.equal(task.starts(5, False), x[:5]), "fewer starts are the first ones"
    assert torch.allclose(moved - x, task.offset().expand_as(x), rtol=0, atol=1e-9 * high)
    assert 0 < task.offset().abs().max() <= 0.5 * (high - low) / 2
    assert torch.allclose(task.problem(True).loss(moved), task.problem(False).loss(x), rtol=1e-9)
    other = BenchmarkTask(task.function, task.dimension + 1)
    assert not torch.allclose(other.starts(2, False)[:, :-1], x[:2])


def test_the_loss_is_the_distance_from_the_minimum():
    for name in FUNCTIONS:
        problem = BenchmarkTask(name, 10).problem(True)
        at_best = problem.loss(problem.function.minimiser[None])
        assert float(at_best) < 1e-6 and problem.minimum == 0, name


@pytest.mark.parametrize("solver", BASELINES)
@pytest.mark.parametrize("name", ["Rosenbrock", "Styblinski-Tang", "Trid"])
def test_shifting_function_and_starts_shifts_the_solvers(solver, name):
    """Why the baselines need to be run once only. Few iterations: rounding grows along a line search."""
    task = BenchmarkTask(name, 10)
    solve = TUNED[solver](1e-4) if solver in TUNED else SEARCHING[solver]()
    plain, shifted = (
        solve.minimize(task.problem(side), task.starts(4, side), Budget(iterations=6)) for side in (False, True)
    )
    torch.testing.assert_close(by_iteration(shifted, 6), by_iteration(plain, 6), rtol=1e-5, atol=1e-9)
    torch.testing.assert_close(shifted.x - task.offset(), plain.x, rtol=1e-4, atol=1e-6)


def test_the_grid_is_the_papers():
    assert len(LEARNING_RATES) == 100 and LEARNING_RATES[0] == 1e-6 and LEARNING_RATES[-1] == 1
    assert torch.allclose(LEARNING_RATES[1:] / LEARNING_RATES[:-1], LEARNING_RATES.new_tensor(1e6 ** (1 / 99)))


@pytest.mark.parametrize("chunk", [50, 100_000])
def test_tuning_finds_the_rate_that_single_runs_find(chunk, monkeypatch):
    monkeypatch.setattr(optimizer_baselines, "CHUNK", chunk)
    task, rates = BenchmarkTask("Sphere", 10), torch.tensor([1e-3, 0.03, 0.5, 30.0], dtype=torch.float64)
    finals = [
        float(Adam(float(r)).minimize(task.problem(False), task.starts(4, False), Budget(iterations=30)).loss.mean())
        for r in rates
    ]
    best = min(range(4), key=finals.__getitem__)
    assert tune("Adam", task, 4, rates, 30) == rates[best] and 0 < best < 3


def test_runs_in_parts_are_the_run():
    task = BenchmarkTask("Rosenbrock", 10)
    x, problem = task.starts(5, False), task.problem(False)
    whole = Adam(0.1).minimize(problem, x, Budget(iterations=10))
    parts = joined([Adam(0.1).minimize(problem, part, Budget(iterations=10)) for part in x.split(2)])
    assert parts.reasons == whole.reasons and torch.equal(parts.losses, whole.losses) and torch.equal(parts.x, whole.x)


def test_curves_hold_best_values_and_survive_the_file(tmp_path):
    curve = measure("BFGS", BenchmarkTask("Sphere", 2), 3)
    assert len(curve.mean) == ITERATIONS + 1 and curve.mean == sorted(curve.mean, reverse=True) and curve.starts == 3
    assert len(curve.final) == 3 and curve.mean[-1] == pytest.approx(sum(curve.final) / 3, rel=1e-5, abs=1e-30)
    assert curve.learning_rate is None and curve.by_evaluation[0] == curve.mean[0] > 0
    assert {len(v) for v in curve.quantiles.values()} == {len(QUANTILE_ITERATIONS)}
    assert len(curve.by_evaluation) == len(EVALUATIONS)
    path = tmp_path / "deep" / "curves.jsonl"
    append_curve(path, curve)
    with path.open("a") as f:
        f.write('{"solver": "BF')  # a run that was ended while it wrote
    assert load_curves(path) == {curve.task: curve}
    append_curve(path, curve)
    tidy(path)
    assert path.read_text().count("\n") == 1 and load_curves(path) == {curve.task: curve}
    path.write_text("nonsense\n")
    with pytest.raises(SystemExit, match="line 1 is no curve"):
        load_curves(path)


def test_a_solver_that_ended_early_repeats_its_last_value():
    task = BenchmarkTask("Sphere", 2)
    result = SEARCHING["BFGS"]().minimize(task.problem(False), task.starts(2, False), Budget(iterations=200))
    curve = by_iteration(result)
    assert len(result.losses) < 50 and curve.shape == (201, 2) and torch.equal(curve[-1], result.loss)
    assert make_curve("BFGS", task, result).mean[30:] == [make_curve("BFGS", task, result).mean[-1]] * 171


def test_refreshing_goes_on_where_it_ended(tmp_path, monkeypatch):
    measured = []

    def pretend(solver: str, task: BenchmarkTask, starts: int) -> Curve:
        measured.append((solver, task.label, starts))
        return Curve(solver, task.function, task.dimension, starts, [1.0], {}, [1.0], [1.0], 1.0)

    monkeypatch.setattr(optimizer_baselines, "measure", pretend)
    tasks = [BenchmarkTask("Perm", 1000), BenchmarkTask("Sphere", 2), BenchmarkTask("Levy", 1000)]
    refresh(["BFGS"], tasks[:2], folder=tmp_path)
    assert measured == [("BFGS", "Perm 1000d", 2), ("BFGS", "Sphere 2d", 64)]
    refresh(["BFGS"], tasks, folder=tmp_path)
    assert measured[2:] == [("BFGS", "Levy 1000d", 4)]
    refresh(["BFGS"], tasks, starts=64, folder=tmp_path)
    assert measured[3:] == [("BFGS", "Levy 1000d", 64), ("BFGS", "Perm 1000d", 64)], "more starts are measured again"
    refresh(["BFGS"], tasks[1:2], anew=True, folder=tmp_path)
    assert measured[5:] == [("BFGS", "Sphere 2d", 64)]
    assert {t.label: c.starts for t, c in load_curves(baseline_file("BFGS", tmp_path)).items()} == {
        "Perm 1000d": 64, "Sphere 2d": 64, "Levy 1000d": 64,
    }  # fmt: skip


def test_fewer_starts_where_all_are_not_affordable():
    for solver, name, n, starts in (
        ("BFGS", "Ackley", 250, 64), ("BFGS", "Ackley", 500, 8), ("BFGS", "Ackley", 1000, 4),
        ("Adam", "Ackley", 1000, 64), ("Adam", "Perm", 1000, 2), ("BFGS", "Perm", 500, 4), ("L-BFGS", "Perm", 100, 64),
        ("L-BFGS", "Ackley", 1000, 64), ("Optimus", "Ackley", 50, 64), ("Optimus", "Ackley", 1000, 2),
        ("Optimus", "Perm", 1000, 2),
    ):  # fmt: skip
        assert affordable_starts(solver, BenchmarkTask(name, n)) == starts


def test_committed_curves_hold_what_they_must():
    for solver in BASELINES:
        for task, curve in load_curves(baseline_file(solver, FOLDER)).items():
            assert curve.solver == solver and len(curve.mean) == ITERATIONS + 1 and len(curve.final) == curve.starts
            assert curve.mean == sorted(curve.mean, reverse=True) and curve.mean[-1] >= 0
            assert (curve.learning_rate is not None) == (solver in TUNED) and curve.commit != "unknown", task
            assert json.dumps(curve.mean).find("Infinity") < 0
