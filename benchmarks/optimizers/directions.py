"""Where steps point on the 2D Rosenbrock function, beside the gradient and Newton's step (paper, figure 5 right), and
where they lead on Rosenbrock functions of N dimensions (supplement, figure 6)."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

import numpy as np
import torch

from benchmarks.optimizers.tasks import ITERATIONS, STARTS, BenchmarkTask
from diffmocap.optim.optimizer import StepOptimizer
from diffmocap.optim.task import Task

TASK = BenchmarkTask("Rosenbrock", 2)
#: Dimensions whose trajectories are drawn.
DRAWN = (2, 10, 100)
#: A step ends a trajectory's part in the mean where it or the gradient is shorter than this: it has no direction.
SHORTEST = 1e-12
#: Means are given as long as so many trajectories still move.
FEWEST = 8


def step_trajectory(optimizer: StepOptimizer, task: Task, x: torch.Tensor, iterations: int) -> torch.Tensor:
    """Points [iterations + 1, B, N] of a solver without line search."""
    points = [x]
    with torch.no_grad():
        state = optimizer.init(task, x)
        for _ in range(iterations):
            state = optimizer.step(state, *task.loss_and_gradient(state.x))
            points.append(state.x)
    return torch.stack(points)


def bfgs_trajectory(task: Task, x: torch.Tensor, iterations: int) -> torch.Tensor:
    """Points [iterations + 1, B, N] at the ends of SciPy's BFGS iterations; a run that ended stands still."""
    from scipy.optimize import minimize

    def evaluate(point: np.ndarray) -> tuple[float, np.ndarray]:
        loss, gradient = task.loss_and_gradient(torch.as_tensor(point)[None])
        return float(loss[0]), gradient[0].numpy()

    columns = []
    for start in x:
        points = [start]
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")  # line searches may overflow
            minimize(
                evaluate, start.numpy(), jac=True, method="BFGS", options={"maxiter": iterations},
                callback=lambda at, points=points: points.append(torch.tensor(at)),
            )  # fmt: skip
        columns.append(torch.stack(points + [points[-1]] * (iterations + 1 - len(points))))
    return torch.stack(columns, 1)


def gradient_and_newton(task: Task, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The gradient and Newton's step -H^-1 g, both [B, N]."""
    with torch.enable_grad():
        x = x.detach().requires_grad_(True)
        (gradient,) = torch.autograd.grad(task.loss(x).sum(), x, create_graph=True)
        rows = [torch.autograd.grad(g.sum(), x, retain_graph=True)[0] for g in gradient.unbind(1)]
    hessian, gradient = torch.stack(rows, 1), gradient.detach()
    finite = torch.isfinite(hessian).flatten(1).all(1)[:, None, None]
    newton = -torch.linalg.lstsq(torch.where(finite, hessian, 0.0), gradient[..., None]).solution[..., 0]
    return gradient, newton


def mean_cosines(task: Task, points: torch.Tensor) -> dict[str, list[float | None]]:
    """Mean |cos| of the steps between ``points`` [K + 1, B, N] with gradient and Newton direction, by iteration [K].

    None from where fewer than FEWEST trajectories move.
    """
    found: dict[str, list[float | None]] = {"gradient": [], "newton": []}
    for here, there in zip(points, points[1:]):
        step = there - here
        gradient, newton = gradient_and_newton(task, here)
        moves = (step.norm(dim=1) > SHORTEST) & (gradient.norm(dim=1) > SHORTEST) & torch.isfinite(there).all(1)
        for name, direction in (("gradient", gradient), ("newton", newton)):
            cosine = torch.cosine_similarity(step[moves], direction[moves], dim=1, eps=1e-300).abs()
            found[name].append(round(float(cosine.mean()), 4) if int(moves.sum()) >= FEWEST else None)
    return found


def directions(
    optimizers: Mapping[str, StepOptimizer], starts: int = STARTS, iterations: int = ITERATIONS
) -> dict[str, dict[str, list[float | None]]]:
    """By solver, BFGS among them: cosines by iteration, on the shifted function."""
    problem, x = TASK.problem(shifted=True), TASK.starts(starts, shifted=True)
    found = {name: mean_cosines(problem, step_trajectory(o, problem, x, iterations)) for name, o in optimizers.items()}
    return found | {"BFGS": mean_cosines(problem, bfgs_trajectory(problem, x, iterations))}


def mean_of(values: list[float | None]) -> float | None:
    """Over the iterations that have a value."""
    known = [v for v in values if v is not None]
    return round(sum(known) / len(known), 3) if known else None


def trajectories(
    optimizers: Mapping[str, StepOptimizer], dimensions: Sequence[int] = DRAWN, iterations: int = ITERATIONS
) -> dict[str, dict[str, list[list[float]]]]:
    """By dimension and solver, BFGS among them: the first two coordinates of the points of a run from the first start,
    the offset taken away, so that the minimum is at (1, 1)."""
    found: dict[str, dict[str, list[list[float]]]] = {}
    for n in dimensions:
        task = BenchmarkTask("Rosenbrock", n)
        problem, x, offset = task.problem(shifted=True), task.starts(1, shifted=True), task.offset()
        points = {name: step_trajectory(o, problem, x, iterations) for name, o in optimizers.items()}
        points["BFGS"] = bfgs_trajectory(problem, x, iterations)
        found[str(n)] = {
            name: [[round(v, 5) for v in point] for point in (path[:, 0, :2] - offset[:2]).tolist()]
            for name, path in points.items()
        }
    return found
