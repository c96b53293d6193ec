"""How much further than the plain L-BFGS step could anything be? ``python -m benchmarks.krylov_limit``.

On a quadratic whose axes are turned, points that are combinations of the start and of gradients lie in a Krylov space,
whatever combined them: momentum, quasi-Newton steps, a network that sees inner products alone. Conjugate gradients with
the exact step take the lowest point of that space (Hestenes & Stiefel 1952; Nocedal & Wright, "Numerical
Optimization", theorem 5.3). So on the twelve quadratics among the 45 turned tasks (four functions) their decades are
the most there are to win, save for what position and the spread of coordinates give away about the offset. Beside them
the L-BFGS step of which nothing is learned, and Optimus, on the same starts.

Functions on which that step has reached the floor of the count (14 decades), or stands in a local minimum that all
solvers stand in, leave nothing to win either: they are on the page of ``benchmarks.optimizers``.
"""

from __future__ import annotations

import argparse

import torch

from benchmarks.optimizers.baselines import chunk_rows, in_chunks
from benchmarks.optimizers.curves import by_iteration
from benchmarks.optimizers.learned import PLAIN_STEP, LearnedSolver
from benchmarks.optimizers.paper import OPTIMUS
from benchmarks.optimizers.scores import decades_after
from benchmarks.optimizers.tasks import TEST_DIMENSIONS, BenchmarkTask
from benchmarks.optimizers.turned import HEADLINE
from benchmarks.page.command import benchmark_parser, end_with_json, shared_options
from benchmarks.page.report import Page, page_arguments, provenance
from diffmocap.optim.task import Task
from diffmocap.resources import verified_model

#: Those of the 15 functions that are quadratic, with offsets and turned, too.
QUADRATICS = ("Rotated Hyper-Ellipsoid", "Sphere", "Sum of Squares", "Trid")
KRYLOV = "conjugate gradients"


def conjugate_gradients(task: Task, start: torch.Tensor, evaluations: int) -> torch.Tensor:
    """Losses [evaluations, B] of a quadratic task from ``start`` [B, N]: the lowest in each Krylov space.

    Products with the Hessian are differences of gradients, exact for a quadratic: they are not counted, as this is a
    limit and no solver that one would use.
    """
    loss, gradient = task.loss_and_gradient(start)
    at_zero = task.loss_and_gradient(torch.zeros_like(start))[1]
    x, residual, losses = start, -gradient, [loss]
    direction, square = residual, residual.square().sum(-1, keepdim=True)
    for _ in range(evaluations - 1):
        curved = task.loss_and_gradient(direction)[1] - at_zero
        along = (direction * curved).sum(-1, keepdim=True)
        step = torch.where(along > 0, square / along, 0.0)
        x, residual = x + step * direction, residual - step * curved
        grown = residual.square().sum(-1, keepdim=True)
        direction = residual + torch.where(square > 0, grown / square, 0.0) * direction
        square = grown
        losses.append(task.loss_and_gradient(x)[0])
    return torch.stack(losses)


def decades_of(task: BenchmarkTask, solvers: list[LearnedSolver], starts: int, evaluations: int) -> dict[str, float]:
    """Mean decades over the starts after so many evaluations, by solver, on the turned task."""
    limit = conjugate_gradients(task.problem(True, True), task.starts(starts, True, True), evaluations)
    found = {KRYLOV: float(decades_after(limit.cummin(0).values, evaluations).mean())}
    for solver in solvers:
        runs = in_chunks(
            solver.optimizer, task.problem(True, True), task.starts(starts, True, True), chunk_rows(task), evaluations
        )
        curves = torch.cat([by_iteration(run, evaluations) for run in runs], 1)
        found[solver.name] = float(decades_after(curves, evaluations).mean())
    return found


def page(found: dict[str, dict[str, float]], starts: int, evaluations: int, head: list[str]) -> list[str]:
    """The Markdown page."""
    names = list(next(iter(found.values())))
    lines = ["# What a step could still win on turned quadratics", "", *head, f"- starts: {starts} of each task", ""]
    lines += [" ".join(part.split()) + "\n" for part in __doc__.split("\n\n")[1:]]
    lines += [f"Decades that f - f* falls by in {evaluations} evaluations, mean over the starts.", ""]
    lines += ["| task | " + " | ".join(names) + " | the limit beyond the plain step |", "|---" + "|---:" * 4 + "|"]
    for label, of in found.items():
        cells = [f"{of[name]:.2f}" for name in names] + [f"{of[KRYLOV] - of[PLAIN_STEP]:+.2f}"]
        lines.append(f"| {label} | " + " | ".join(cells) + " |")
    return [*lines, ""]


def main(arguments: list[str] | None = None) -> None:
    parser: argparse.ArgumentParser = benchmark_parser(__doc__)
    parser.add_argument("--starts", type=int, default=4, help="of each task (default %(default)s)")
    parser.add_argument("--dimensions", type=int, nargs="+", default=list(TEST_DIMENSIONS), metavar="N")
    shared_options(parser, "weights", "out", "json")
    options = page_arguments(parser, arguments)
    torch.set_num_threads(1)
    weights = options.weights or verified_model("optimus.safetensors")
    solvers = [LearnedSolver.plain_step(), LearnedSolver.load(OPTIMUS, weights, "--weights")]
    found = {
        task.label: decades_of(task, solvers, options.starts, HEADLINE)
        for task in (BenchmarkTask(name, n) for name in QUADRATICS for n in options.dimensions)
    }
    data = f"{len(found)} turned tasks in {', '.join(map(str, options.dimensions))} dimensions"
    text = page(found, options.starts, HEADLINE, provenance("benchmarks.krylov_limit", data))
    print("\n".join(text))
    print(Page.of_today("krylov-limit", options.out).write(text))
    end_with_json(options, {"decades": found})


if __name__ == "__main__":
    main()
