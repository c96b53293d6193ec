"""Seconds instead of evaluations: who is first at BFGS's loss, and who is lowest after equal time: ``python -m
benchmarks.seconds``.

Two losses of the refinement: a window of 32 frames of lifted motion, where an evaluation takes about half a
millisecond, and controls of DiffPhy that follow a second of motion capture, where it takes some fifteen. Walks of test
subjects, each problem alone, all solvers in turns from the same start, up to 100 evaluations. Seconds are processor
seconds of one thread: other work on the machine does not count; of several rounds each evaluation has its least.

The target is 1.02 times the loss at which BFGS ends. A problem on which a solver does not get there counts with the
time of its whole run. The loss at equal time is looked up when L-BFGS has spent its evaluations.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from benchmarks.page.command import benchmark_parser, end_with_json, name_option, shared_options
from benchmarks.page.report import Page, page_arguments, provenance
from benchmarks.refinement.cache import Cache
from benchmarks.refinement.parts import FRAMES, Bench, spread
from benchmarks.refinement.scores import BFGS, Curves, median_ratio_interval, padded, seconds_to
from benchmarks.refinement.settings import FULL, LOSSES, PAIRS, Settings
from benchmarks.refinement.solvers import LBFGS, OPTIMUS, Solver, progress, searching, warm_up
from diffmocap.optim.cpu import layers
from diffmocap.optim.stopping import Budget
from diffmocap.optim.task import Task
from diffmocap.refinement.stream.optimus.weights import shipped_window_optimus
from diffmocap.refinement.stream.whole_windows import MetricSteps, OptimusSteps

#: The target over the loss at which BFGS ends, and what is asked of Optimus's seconds beside L-BFGS's.
WITHIN, ASKED = 1.02, 0.7
#: Of windows: their metric with nothing learned, and a network that knows none, as the paper's.
METRIC, PAPER_FORM = "metric's step, nothing learned", "Optimus in the paper's form"
TITLES = {"window": "Windows", "diffphy": "DiffPhy"}


class Clocked(Task):
    """One problem whose evaluations are noted with the processor seconds since :meth:`begin`."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.shape, self.minimum, self.scale = task.shape, task.minimum, task.scale
        self.begin()

    def __getattr__(self, name: str) -> Any:
        """What a solver asks beside the loss, such as a window's metric."""
        return getattr(self.__dict__["task"], name)

    def begin(self) -> None:
        """Forgets what was noted."""
        self.losses: list[float] = []
        self.seconds: list[float] = []
        self.spent = 0.0
        self._begun = time.process_time()

    def init(self, count: int, generator: torch.Generator | None = None) -> torch.Tensor:
        return self.task.init(count, generator)

    def loss(self, x: torch.Tensor) -> torch.Tensor:
        return self.task.loss(x)

    def loss_and_gradient(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        entered = time.process_time()
        loss, gradient = self.task.loss_and_gradient(x)
        left = time.process_time()
        self.spent += left - entered
        self.losses.append(float(loss[0]))
        self.seconds.append(left - self._begun)
        return loss, gradient


@dataclass(frozen=True)
class Raced:
    """A solver on B problems: ``curves`` with seconds; ``own_ms`` and ``loss_ms`` of an evaluation, medians over the
    problems: the solver's own work, and the loss with its gradient."""

    curves: Curves
    own_ms: float
    loss_ms: float


def race(solvers: Sequence[Solver], problems: Sequence[Task], cap: int, rounds: int) -> dict[str, Raced]:
    """All solvers in turns on each problem, so often."""
    found: dict[str, list[tuple[np.ndarray, np.ndarray, float]]] = {solver.name: [] for solver in solvers}
    for solver in solvers:
        warm_up(solver, problems[0])
    for problem in progress(problems, "problems"):
        task = Clocked(problem.row(0))
        start = task.init(1)
        runs: dict[str, list[tuple[np.ndarray, np.ndarray, float]]] = {solver.name: [] for solver in solvers}
        for _ in range(rounds):
            for solver in solvers:
                task.begin()
                solver.optimizer.minimize(task, start, Budget(evaluations=cap))
                runs[solver.name].append((np.array(task.losses), np.array(task.seconds), task.spent))
        for name, of in runs.items():
            found[name].append(least_of(of))
    return {name: _raced(of, cap) for name, of in found.items()}


def least_of(runs: Sequence[tuple[np.ndarray, np.ndarray, float]]) -> tuple[np.ndarray, np.ndarray, float]:
    """One run of several of the same losses: each evaluation's least seconds since the one before it, summed up.

    Rounds of which one ended sooner, by rounding, are cut to what all of them have.
    """
    count = min(len(losses) for losses, _, _ in runs)
    steps = np.array([np.diff(seconds[:count], prepend=0.0) for _, seconds, _ in runs])
    return runs[0][0][:count], steps.min(0).cumsum(), min(spent for *_, spent in runs)


def _raced(of: Sequence[tuple[np.ndarray, np.ndarray, float]], cap: int) -> Raced:
    def columns(rows: Sequence[np.ndarray]) -> torch.Tensor:
        return torch.cat([padded(torch.from_numpy(row)[:, None], cap) for row in rows], 1)

    best = [np.minimum.accumulate(np.where(np.isfinite(losses), losses, np.inf)) for losses, *_ in of]
    curves = Curves(columns(best), columns([seconds for _, seconds, _ in of]))
    own = [1e3 * max(seconds[-1] - spent, 0.0) / len(seconds) for _, seconds, spent in of]
    return Raced(curves, float(np.median(own)), float(np.median([1e3 * s / len(x) for x, _, s in of])))


def compared(raced: Mapping[str, Raced], clips: Sequence[str], cap: int) -> dict[str, dict]:
    """Of each solver: evaluations and seconds to the target, share reached, ratio of its seconds to L-BFGS's with an
    interval, loss over L-BFGS's when that has spent its evaluations, final loss over BFGS's; medians over problems."""
    target = raced[BFGS].curves.best[-1] * WITHIN
    theirs, _ = seconds_to(raced[LBFGS].curves, target, cap)
    end, lowest = raced[LBFGS].curves.seconds[-1], raced[LBFGS].curves.best[-1]
    found = {}
    for name, one in raced.items():
        seconds, reached = seconds_to(one.curves, target, cap)
        first = (one.curves.best > target).sum(0).clamp(max=cap - 1) + 1
        at = (one.curves.seconds <= end).sum(0).clamp(min=1) - 1
        then = one.curves.best.gather(0, at[None])[0]
        found[name] = {
            "evaluations": float(first.double().quantile(0.5)), "seconds": float(seconds.quantile(0.5)),
            "reached": float(reached.double().mean()),
            "seconds_ratio": float(seconds.quantile(0.5) / theirs.quantile(0.5)),
            "seconds_ratio_interval": median_ratio_interval(seconds.numpy(), theirs.numpy(), clips),
            "loss_at_equal_seconds": float((then / lowest).quantile(0.5)),
            "final_loss": float((one.curves.best[-1] / raced[BFGS].curves.best[-1]).quantile(0.5)),
            "own_ms": one.own_ms, "loss_ms": one.loss_ms,
        }  # fmt: skip
    return found


@contextmanager
def layers_through(onednn: bool) -> Iterator[None]:
    """Networks whose layers go through oneDNN or through PyTorch's own, whatever suits the processor."""
    here, layers.uses_onednn = layers.uses_onednn, lambda: onednn
    try:
        yield
    finally:
        layers.uses_onednn = here


def own_step_ms(solver: Solver, task: Task, steps: int, rounds: int) -> dict[str, float]:
    """Processor milliseconds of a step without the loss, through PyTorch's layers and through oneDNN's, in turns."""
    found: dict[str, list[float]] = {"pytorch": [], "onednn": []}
    for _ in range(rounds):
        for name, onednn in (("pytorch", False), ("onednn", True)):
            with layers_through(onednn):
                found[name] += _steps(solver, task, steps)
    return {key: float(np.median(taken)) for key, taken in found.items()}


def _steps(solver: Solver, task: Task, steps: int) -> list[float]:
    taken, task = [], task.row(0)
    with torch.no_grad():
        state = solver.optimizer.init(task, task.init(1))
        for _ in range(steps):
            loss, gradient = task.loss_and_gradient(state.x)
            begun = time.process_time()
            state = solver.optimizer.step(state, loss, gradient)
            taken.append(1e3 * (time.process_time() - begun))
    return taken[steps // 4 :]


def solvers_of(loss: str, settings: Settings) -> list[Solver]:
    """Those that are raced, Optimus as it refines files last."""
    path = settings.weights_of(OPTIMUS, loss)
    plain = [*searching(), Solver.plain_step(PAIRS[loss])]
    if loss == "diffphy":
        return [*plain, Solver.learned(OPTIMUS, path)]
    network = shipped_window_optimus()
    count = sum(p.numel() for p in network.parameters())
    return [
        *plain, Solver(METRIC, MetricSteps(), True, ""), Solver.learned(PAPER_FORM, path),
        Solver(OPTIMUS, OptimusSteps(network), True, "", count),
    ]  # fmt: skip


def _of_paper(solvers: Sequence[Solver]) -> Solver:
    """Optimus with the encoders of the paper, which take most of its step."""
    return next(solver for solver in solvers if solver.name in (PAPER_FORM, OPTIMUS))


def problems_of(loss: str, bench: Bench, count: int) -> tuple[list[Task], list[str]]:
    """So many walks of test subjects, one task each, and their takes."""
    amounts = bench.settings.amounts[loss]
    cuts = bench.cuts(loss, FRAMES[loss], amounts.a_take, amounts.cuts)
    cuts = [cuts[i] for i in spread(np.flatnonzero([cut.in_domain for cut in cuts]), count)]
    if loss == "diffphy":
        return [bench.diffphy.task([cut]) for cut in cuts], [cut.take.name for cut in cuts]
    windows = bench.windows.lifted(cuts)
    tasks, _ = bench.windows.tasks(windows)
    batch = bench.windows.batch
    return [tasks[i // batch].row(i % batch) for i in range(len(windows.cuts))], [c.take.name for c in windows.cuts]


def page(found: Mapping[str, dict], head: Sequence[str]) -> list[str]:
    """The Markdown page."""
    lines = ["# Solvers of the refinement, in seconds", "", *head, ""]
    lines += ["| figure | asked | measured | |", "|---|---|---|---|"]
    for loss, part in found.items():
        ours = part["solvers"][OPTIMUS]
        low, high = ours["seconds_ratio_interval"]
        lines.append(
            f"| {TITLES[loss]}: Optimus's seconds to {WITHIN} times BFGS's loss over L-BFGS's | {ASKED} | "
            f"{ours['seconds_ratio']:.2f} ({low:.2f} to {high:.2f}), reached on {100 * ours['reached']:.0f} % | "
            f"{'met' if ours['seconds_ratio'] <= ASKED else '**missed**'} |"
        )
        lines.append(
            f"| {TITLES[loss]}: loss over L-BFGS's after equal seconds | lower | {ours['loss_at_equal_seconds']:.3f} | "
            f"{'met' if ours['loss_at_equal_seconds'] < 1 else '**missed**'} |"
        )
    lines += ["", *(" ".join(part.split()) + "\n" for part in __doc__.split("\n\n")[1:])]
    for loss, part in found.items():
        lines += [
            f"## {TITLES[loss]}", "", f"{part['problems']} problems of {part['unknowns']} unknowns.", "",
            "| solver | evaluations to the target | seconds | reached | seconds over L-BFGS's | loss over L-BFGS's at "
            "equal seconds | final loss over BFGS's | own ms per evaluation | loss ms |", "|---" + "|---:" * 8 + "|",
        ]  # fmt: skip
        for name, of in part["solvers"].items():
            low, high = of["seconds_ratio_interval"]
            lines.append(
                f"| {name} | {of['evaluations']:.0f} | {of['seconds']:.3f} | {100 * of['reached']:.0f} % | "
                f"{of['seconds_ratio']:.2f} ({low:.2f} to {high:.2f}) | {of['loss_at_equal_seconds']:.3f} | "
                f"{of['final_loss']:.4f} | {of['own_ms']:.2f} | {of['loss_ms']:.2f} |"
            )
        own, onednn = part["step_ms"]["pytorch"], part["step_ms"]["onednn"]
        here = "oneDNN" if layers.uses_onednn() else "PyTorch's own layers"
        lines += [
            "", "A step of Optimus in the paper's form without the loss, in turns: "
            f"{own:.1f} ms through PyTorch's own layers, {onednn:.1f} ms through oneDNN's. This processor: {here}.", "",
        ]  # fmt: skip
    return lines


def main(arguments: list[str] | None = None) -> None:
    p: argparse.ArgumentParser = benchmark_parser(__doc__)
    p.add_argument("--losses", nargs="+", choices=LOSSES, default=list(LOSSES), help="which (default: both)")
    p.add_argument("--windows", type=int, default=8, metavar="COUNT", help="problems (default %(default)s)")
    p.add_argument("--clips", type=int, default=4, metavar="COUNT", help="of DiffPhy (default %(default)s)")
    p.add_argument("--evaluations", type=int, default=100, metavar="COUNT", help="of a run (default %(default)s)")
    p.add_argument("--rounds", type=int, default=3, metavar="COUNT", help="of each problem (default %(default)s)")
    name_option(p, "seconds")
    shared_options(p, "json", "no_page", "out")
    args = page_arguments(p, arguments)
    torch.set_num_threads(1)
    bench, found = Bench.of(Settings(FULL), Cache.of_this_code(keep=False)), {}
    for loss in args.losses:
        problems, clips = problems_of(loss, bench, args.windows if loss == "window" else args.clips)
        solvers = solvers_of(loss, bench.settings)
        raced = race(solvers, problems, args.evaluations, args.rounds)
        found[loss] = {
            "problems": len(problems), "unknowns": problems[0].dimension, "clips": clips,
            "solvers": compared(raced, clips, args.evaluations),
            "step_ms": own_step_ms(_of_paper(solvers), problems[0], steps=20, rounds=args.rounds),
        }  # fmt: skip
        print(json.dumps({loss: found[loss]}), flush=True)
    data = "; ".join(f"{TITLES[loss]}: {', '.join(part['clips'])}" for loss, part in found.items())
    lines = page(found, provenance("benchmarks.seconds", data))
    if not args.no_page:
        print(Page.of_today(args.name, args.out).write(lines))
    end_with_json(args, found)


if __name__ == "__main__":
    main()
