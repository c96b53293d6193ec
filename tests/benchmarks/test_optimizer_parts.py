"""Learned runs, costs and step directions of the optimizers' benchmark."""

from __future__ import annotations

import pytest
import torch

from benchmarks.optimizers import directions as optimizer_directions
from benchmarks.optimizers import learned as optimizer_learned
from benchmarks.optimizers.costs import bfgs_times, memory, memory_above_start, step_time_table
from benchmarks.optimizers.directions import (
    bfgs_trajectory,
    directions,
    gradient_and_newton,
    mean_cosines,
    mean_of,
    step_trajectory,
    trajectories,
)
from benchmarks.optimizers.learned import LearnedSolver, run_tasks
from benchmarks.optimizers.tasks import ITERATIONS, BenchmarkTask
from diffmocap.optim.adafactor_mlp import AdafactorMlp, AdafactorMlpSettings
from diffmocap.optim.first_order import Momentum
from diffmocap.optim.optimus import Optimus, OptimusSettings
from diffmocap.optim.stopping import Budget
from diffmocap.optim.weights import save_optimizer
from tests.optim.function_task import FunctionTask

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = {"width": 16, "heads": 2, "feedforward": 16, "mlp_width": 16, "mlp_layers": 2}


@pytest.fixture
def solver(tmp_path) -> LearnedSolver:
    """A small Optimus with random weights."""
    torch.manual_seed(0)
    save_optimizer(Optimus(OptimusSettings(**SMALL)), tmp_path / "small.safetensors")
    return LearnedSolver.load("Optimus", tmp_path / "small.safetensors", "--optimus")


def test_learned_runs_are_those_of_the_optimizer_in_parts(solver, monkeypatch):
    monkeypatch.setattr(optimizer_learned, "CHUNK", 20)
    task = BenchmarkTask("Ackley", 10)
    curves = solver.run(task, 5, shifted=True)
    whole = solver.optimizer.minimize(task.problem(True), task.starts(5, True), Budget(iterations=ITERATIONS))
    assert curves.shape == (ITERATIONS + 1, 5) and curves.dtype == torch.float64
    # Rounding differs with the size of a batch, and on Ackley's ripples later points with it.
    torch.testing.assert_close(curves[:8], whole.best_so_far()[:8], rtol=1e-3, atol=0)
    assert (curves[1:] <= curves[:-1]).all()


def test_learned_runs_are_kept_and_taken_up_again(solver, tmp_path, monkeypatch):
    tasks = [BenchmarkTask("Sphere", 2), BenchmarkTask("Levy", 2)]
    first = run_tasks(solver, tasks, lambda task: 2, True, keep=tmp_path / "kept")
    assert len(list((tmp_path / "kept").rglob("*.npy"))) == 2
    monkeypatch.setattr(LearnedSolver, "run", lambda *a: pytest.fail("ran again"))
    again = run_tasks(solver, tasks, lambda task: 2, True, keep=tmp_path / "kept")
    assert all(torch.equal(again[t].curves, first[t].curves) and again[t].record == first[t].record for t in tasks)
    assert again[tasks[0]].record.evaluations == ITERATIONS + 1 and again[tasks[0]].record.starts == 2
    with pytest.raises(BaseException, match="ran again"):
        run_tasks(solver, tasks, lambda task: 2, False, keep=tmp_path / "kept")  # without offsets it is another run
    with pytest.raises(BaseException, match="ran again"):
        run_tasks(solver, tasks, lambda task: 2, True)


def test_missing_weights_are_named_with_what_to_do(tmp_path):
    with pytest.raises(SystemExit, match=r"no weights of Optimus.*none\.safetensors does not exist.*--optimus FILE"):
        LearnedSolver.load("Optimus", tmp_path / "none.safetensors", "--optimus")


def test_bfgs_iterations_are_timed_from_one_line_search_to_the_next():
    task = BenchmarkTask("Rosenbrock", 20)
    assert len(bfgs_times(task.problem(True), task.starts(1, True), updates=4)) == 4


def test_step_times_stand_side_by_side(solver):
    table = step_time_table(solver, (10, 20), rounds=1)
    keys = ("step_ms", "plain_step_ms", "bfgs_step_ms")
    assert all(set(table[key]) == {"10", "20"} for key in keys) and table["threads"] == 1
    assert all(v > 0 for key in keys for v in table[key].values())


@pytest.mark.parametrize("begun", [True, False])
def test_memory_is_that_of_a_process_of_its_own(solver, begun):
    """More than the factors (3 of 3,000 float32 a step), and however much this process holds."""
    held = torch.ones(100_000_000)
    found = memory(solver, begun, n=3_000, steps=30 if begun else 5)
    assert 1 < found["peak_mb"] < 300 and found["begun"] == begun and len(held) == 100_000_000


def test_a_begun_run_has_the_factors_of_all_steps(solver, monkeypatch):
    states, step = [], Optimus.step
    monkeypatch.setattr(Optimus, "step", lambda self, *a: states.append(step(self, *a)) or states[-1])
    memory_above_start(solver.optimizer, 300, steps=20, begun=True)
    assert len(states) == 4 and states[-1].b.factors.shape[1] == 20 * 3


def quadratic(a: float) -> FunctionTask:
    """(a x^2 + y^2) / 2, whose Newton step goes to the minimum."""
    return FunctionTask(lambda x: (a * x[:, 0] ** 2 + x[:, 1] ** 2) / 2, 2)


def test_newton_steps_go_to_the_minimum_of_a_quadratic():
    x = torch.tensor([[1.0, 2.0], [-3.0, 0.5]], dtype=torch.float64)
    gradient, newton = gradient_and_newton(quadratic(10.0), x)
    assert torch.allclose(newton, -x) and torch.allclose(gradient, x * torch.tensor([10.0, 1.0], dtype=torch.float64))


def test_cosines_by_hand(monkeypatch):
    """At (1, 1), where the gradient is (3, 1): a step along x has cosines 3 / sqrt 10 and 1 / sqrt 2."""
    monkeypatch.setattr(optimizer_directions, "FEWEST", 1)
    points = torch.tensor([[[1.0, 1.0], [1.0, 1.0]], [[0.5, 1.0], [1.0, 1.0]]], dtype=torch.float64)
    cosines = mean_cosines(quadratic(3.0), points)
    assert cosines["gradient"][0] == pytest.approx(0.9487, abs=1e-4), "the one that stands still does not count"
    assert cosines["newton"][0] == pytest.approx(0.7071, abs=1e-4)
    monkeypatch.setattr(optimizer_directions, "FEWEST", 2)
    assert mean_cosines(quadratic(3.0), points)["newton"] == [None] and mean_of([None, 0.5, 1.0]) == 0.75


def test_plain_gradient_descent_follows_the_gradient_and_bfgs_finds_newtons():
    task = quadratic(5.0)
    x = torch.randn(8, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    descent = mean_cosines(task, step_trajectory(Momentum(0.01, mu=0.0), task, x, 5))
    assert descent["gradient"] == pytest.approx([1.0] * 5)
    points = bfgs_trajectory(task, x, 30)
    assert points.shape == (31, 8, 2) and torch.allclose(points[-1], torch.zeros_like(x), atol=1e-4)
    cosines = mean_cosines(task, points)
    assert cosines["gradient"][0] == pytest.approx(1.0), "BFGS begins with the gradient"
    assert [v for v in cosines["newton"] if v is not None][2] > 0.9


def test_directions_of_all_solvers():
    torch.manual_seed(0)
    mlp = AdafactorMlp(AdafactorMlpSettings(width=8))
    found = directions({"Adafactor MLP": mlp}, starts=8, iterations=3)
    assert set(found) == {"Adafactor MLP", "BFGS"}
    assert all(len(v) == 3 and 0 <= v[0] <= 1 for of in found.values() for v in of.values())


def test_trajectories_begin_at_one_start_and_lead_towards_the_minimum():
    found = trajectories({"still": Momentum(1e-12, mu=0.0)}, dimensions=(2, 10), iterations=40)
    assert set(found) == {"2", "10"}
    for of in found.values():
        still, bfgs = (torch.tensor(of[name]) for name in ("still", "BFGS"))
        assert still.shape == bfgs.shape == (41, 2) and torch.equal(still[0], bfgs[0])
        assert torch.allclose(still[-1], still[0]) and (still[0] - 1).norm() > 0.5
    assert torch.allclose(torch.tensor(found["2"]["BFGS"][-1]), torch.ones(2), atol=1e-3), "the offset is taken away"
