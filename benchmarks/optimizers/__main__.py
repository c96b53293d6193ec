"""Optimus on the paper's 15 classical functions beside five solvers: ``python -m benchmarks.optimizers --json``.

Five parts. *tasks*: 15 functions in 2 to 1000 dimensions with random offsets, 200 iterations: performance
profile, relative iterations, values beside the paper's table. *turned*: the 45 largest in turned coordinates,
beside the L-BFGS step of which nothing is learned. *rosenbrock*: weights trained on Rosenbrock alone. *costs*: time
of a step beside SciPy's BFGS, memory at N = 10,000. *directions*: steps against gradient and Newton's direction.

``--quick`` runs every task from fewer starts, at most ten minutes on two cores; a full run takes hours, and one
that was ended is taken up where it was. Curves of BFGS, L-BFGS, Adam and momentum are committed;
``--refresh-baselines`` measures those that are missing. ``--json`` ends with one JSON line. Writes a dated page
with plots to ``benchmarks/results``.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.optimizers.baselines import BASELINES, LEARNED_STARTS, PERM_STARTS, affordable_starts, refresh
from benchmarks.optimizers.costs import TIMED_DIMENSIONS, costs
from benchmarks.optimizers.curves import baseline_file, load_curves
from benchmarks.optimizers.directions import directions, trajectories
from benchmarks.optimizers.learned import CACHE, PLAIN_STEP, LearnedSolver, run_tasks
from benchmarks.optimizers.page import FULL_RUN, REMARKS
from benchmarks.optimizers.paper import ADAFACTOR_MLP, OPTIMUS
from benchmarks.optimizers.sections import page, page_head
from benchmarks.optimizers.summary import ADAFACTOR_MLP_LARGE, Measured, by_task, headline_tasks, summary
from benchmarks.optimizers.tasks import DIMENSIONS, SEED, STARTS, BenchmarkTask, all_tasks
from benchmarks.optimizers.turned import headline as turned_headline
from benchmarks.optimizers.turned import turned_part
from benchmarks.page.command import benchmark_parser, end_with_json, shared_options
from benchmarks.page.report import REPOSITORY, RESULTS, Page, commit, page_arguments
from benchmarks.page.targets import load_full_run, load_remarks, save_full_run
from diffmocap.optim.functions import FUNCTIONS

PARTS = ("tasks", "turned", "rosenbrock", "costs", "directions")
ROSENBROCK_ONLY = "Optimus, Rosenbrock only"
ROSENBROCK_DIMENSIONS = (10, 20, 50, 100, 250, 500, 1000)
#: Starts of a quick run by the largest dimension that they are for: five minutes of two cores in all.
QUICK_STARTS = ((50, 8), (250, 4), (1000, 2))
QUICK_PERM_STARTS = ((50, 8), (250, 4), (1000, 1))
#: Starts of the learned optimizers on the functions without offset, which stand beside.
UNSHIFTED_STARTS = 4
#: Flag, file and whether a quick run has it.
WEIGHTS = {
    OPTIMUS: ("--optimus", "optimus.safetensors", True),
    ADAFACTOR_MLP: ("--adafactor-mlp", "adafactor_mlp_128x4.safetensors", True),
    ADAFACTOR_MLP_LARGE: ("--adafactor-mlp-large", "adafactor_mlp_512x4.safetensors", False),
    ROSENBROCK_ONLY: ("--rosenbrock", "optimus_rosenbrock.safetensors", True),
}


def quick_starts(task: BenchmarkTask) -> int:
    """How many starts a quick run takes."""
    table = QUICK_PERM_STARTS if task.function == "Perm" else QUICK_STARTS
    return next(starts for largest, starts in table if task.dimension <= largest)


def starts_of(args: argparse.Namespace, limit: int = STARTS) -> Callable[[BenchmarkTask], int]:
    """How many starts each task has: those asked for, a quick run's, or a full run's."""
    if args.starts:
        return lambda task: min(args.starts, limit)
    if args.quick:
        return lambda task: min(quick_starts(task), limit)
    return lambda task: min(affordable_starts(OPTIMUS, task), limit)


def load_solvers(args: argparse.Namespace) -> dict[str, LearnedSolver]:
    """The learned optimizers that this run needs, and the step of which nothing is; ``none`` leaves one out.

    Raises:
        SystemExit: weights are missing.
    """
    found = {}
    for name, (flag, _, quick) in WEIGHTS.items():
        path = getattr(args, flag[2:].replace("-", "_"))
        users = {OPTIMUS: PARTS, ADAFACTOR_MLP: ("tasks", "turned", "directions"), ROSENBROCK_ONLY: ("rosenbrock",)}
        needed = (quick or not args.quick) and set(args.parts) & set(users.get(name, ("tasks",)))
        if needed and (path != "none" or name == OPTIMUS):
            found[name] = LearnedSolver.load(name, path, flag)
    return found | {PLAIN_STEP: LearnedSolver.plain_step()}


def measure_tasks(
    solvers: dict[str, LearnedSolver], tasks: list[BenchmarkTask], starts: Callable[[BenchmarkTask], int],
    shifted: bool, keep: Path | None,
) -> Measured:  # fmt: skip
    """Learned optimizers run, the others from their files."""
    measured = Measured()
    for name, solver in solvers.items():
        if name == ROSENBROCK_ONLY:
            continue
        runs = run_tasks(solver, tasks, starts, shifted, keep)
        measured.records[name] = {task: run.record for task, run in runs.items()}
        measured.learned[name] = {task: run.curves for task, run in runs.items()}
    for name in BASELINES:
        curves = load_curves(baseline_file(name))
        measured.records[name] = {task: curves[task] for task in tasks if task in curves}
        if missing := len(tasks) - len(measured.records[name]):
            print(f"{name}: no curves of {missing} of {len(tasks)} tasks yet; --refresh-baselines measures them")
    return measured


def rosenbrock_finals(
    solver: LearnedSolver, measured: Measured, dimensions: list[int], starts: Callable[[BenchmarkTask], int],
    keep: Path | None,
) -> dict[str, dict[str, float]]:  # fmt: skip
    """Mean final values by solver and dimension; those beside come from the tasks, where these were run."""
    tasks = [BenchmarkTask("Rosenbrock", n) for n in dimensions]
    runs = run_tasks(solver, tasks, starts, True, keep)
    finals = {solver.name: {str(t.dimension): run.record.mean[-1] for t, run in runs.items()}}
    for name, records in measured.records.items():
        if of := {str(t.dimension): records[t].mean[-1] for t in tasks if t in records}:
            finals[name] = of
    return finals


def run(args: argparse.Namespace) -> dict:
    """Measures and writes the page; returns the figures of the JSON line and ``details``."""
    tasks = [t for t in all_tasks() if t.dimension in args.dimensions and t.function in args.functions]
    if args.refresh_baselines:
        refresh(args.baselines, tasks, args.baseline_starts, anew=args.refresh_baselines == "all")
    solvers, starts = load_solvers(args), starts_of(args)
    # A quick run is for measuring these weights now, so it takes nothing from earlier ones.
    keep = None if args.quick or args.starts else CACHE
    measured, plain, details = Measured(), Measured(), {}
    subset = {
        "quick": args.quick, "parts": list(args.parts), "tasks": len(tasks),
        "headline_tasks": len(headline_tasks(tasks)),
        "starts": {str(n): starts(BenchmarkTask("Sphere", n)) for n in args.dimensions},
        "starts_perm": {str(n): starts(BenchmarkTask("Perm", n)) for n in args.dimensions}, "seed": SEED,
    }  # fmt: skip
    print(f"subset: {json.dumps(subset)}", flush=True)
    if "tasks" in args.parts:
        measured = measure_tasks(solvers, tasks, starts, True, keep)
        details["tasks"] = by_task(measured)
        if not args.quick and args.unshifted_starts:
            plain = measure_tasks(solvers, tasks, starts_of(args, args.unshifted_starts), False, keep)
            details |= {"unshifted": by_task(plain), "unshifted_summary": summary(plain)}
    if "turned" in args.parts and headline_tasks(tasks):
        chosen = {name: s for name, s in solvers.items() if name != ROSENBROCK_ONLY}
        details["turned"] = turned_part(chosen, headline_tasks(tasks), starts, keep, measured.learned)
    if "rosenbrock" in args.parts and ROSENBROCK_ONLY in solvers:
        sizes = [n for n in args.dimensions if n in ROSENBROCK_DIMENSIONS]
        details["rosenbrock"] = rosenbrock_finals(solvers[ROSENBROCK_ONLY], measured, sizes, starts, keep)
    if "directions" in args.parts:
        chosen = {name: s.optimizer for name, s in solvers.items() if name != ROSENBROCK_ONLY}
        details |= {"directions": directions(chosen), "trajectories": trajectories(chosen)}
    if "costs" in args.parts:
        sizes = [n for n in TIMED_DIMENSIONS if n <= args.largest_timed]
        details["costs"] = costs(solvers[OPTIMUS], args.quick or bool(args.starts), sizes, solvers[PLAIN_STEP])
    figures = headline(measured, details, subset, solvers)
    if not args.no_page:
        write_page(figures, measured, plain, solvers, complete=not args.starts and len(tasks) == len(all_tasks()))
    return figures


def headline(measured: Measured, details: dict, subset: dict, solvers: dict[str, LearnedSolver]) -> dict:
    """The figures of the JSON line; None where a part was not run."""
    time, memory = (details.get("costs", {}).get(part, {}) for part in ("step_time", "memory"))
    figures = summary(measured) | {
        "step_ms": time.get("step_ms"), "bfgs_step_ms": time.get("bfgs_step_ms"),
        "plain_step_ms": time.get("plain_step_ms"), "threads": time.get("threads"),
        "peak_mb_n10000": memory.get("peak_mb"), "subset": subset, "commit": commit(),
        "weights_sha256": {name: solver.sha256 for name, solver in solvers.items() if solver.path}, "details": details,
    }  # fmt: skip
    if "turned" in details:
        figures |= turned_headline(details["turned"])
    if "unshifted_summary" in details:
        figures |= {f"{k}_unshifted": v for k, v in details["unshifted_summary"].items() if k.startswith("share_")}
    return figures


def write_page(
    figures: dict, measured: Measured, plain: Measured, solvers: dict[str, LearnedSolver], complete: bool
) -> None:
    """The page and its plots, and of a full run the record that stands beside quick ones."""
    quick = figures["subset"]["quick"]
    written = Page.of_today(f"optimizers{'-quick' if quick else ''}", RESULTS)
    images = figures["images"] = draw(figures["details"], measured, plain, written)
    weights = {n: (_short(s.path), s.sha256, s.parameters) for n, s in solvers.items() if s.path}
    full = load_full_run(FULL_RUN) if quick or not complete else None
    text = page(figures, page_head(figures, weights), full, images, load_remarks(REMARKS))
    print(f"wrote {written.write(text)}")
    if complete and not quick and set(figures["subset"]["parts"]) == set(PARTS):
        save_full_run(FULL_RUN, figures, command())


def _short(path: Path) -> str:
    path = path.resolve()
    return str(path.relative_to(REPOSITORY) if path.is_relative_to(REPOSITORY) else path)


def draw(details: dict, measured: Measured, plain: Measured, page: Page) -> dict[str, str]:
    """The page's pictures, written beside it; their file names."""
    from benchmarks.optimizers import cost_figures as single
    from benchmarks.optimizers import figures as plots
    from benchmarks.optimizers.summary import ASKED_RATIOS

    def path(picture: str) -> Path:
        return page.beside(f"-{picture}.png")

    found = []
    if "tasks" in details:
        every = sorted(measured.optimus)
        tests = headline_tasks(every)
        groups = {"250 to 1000 dimensions": measured.performance(tests), "all": measured.performance(every)}
        if plain.optimus:
            groups["250 to 1000 dimensions, unshifted"] = plain.performance(tests)
        found.append(plots.profile_plot(groups, path("profile")))
        ratios = {b: measured.ratios(b, tests) for b in ASKED_RATIOS}
        found.append(plots.relative_plot(ratios, path("relative")))
        found.append(plots.dimension_plot(measured, path("dimension")))
        sizes = [t.dimension for t in every if t.function == "Rosenbrock" and t.dimension >= 10]
        found.append(plots.evaluations_plot(measured, sizes or [every[0].dimension], path("evaluations")))
    if "turned" in details:
        found.append(single.turned_plot(details["turned"]["tasks"], path("turned")))
    if "rosenbrock" in details:
        finals = {s: {int(n): v for n, v in of.items()} for s, of in details["rosenbrock"].items()}
        found.append(single.rosenbrock_plot(finals, path("rosenbrock")))
    if "costs" in details:
        memory = details["costs"]["memory"]
        found.append(single.cost_plot(details["costs"]["step_time"], memory["peak_mb"], memory["n"], path("costs")))
    if "directions" in details:
        found.append(single.direction_plot(details["directions"], path("directions")))
        found.append(single.trajectory_plot(details["trajectories"], path("trajectories")))
    return {p.stem.removeprefix(f"{page.name}-"): p.name for p in found}


def command() -> str:
    """As it was typed."""
    return f"python -m benchmarks.optimizers {shlex.join(sys.argv[1:])}"


def _list(known: tuple, kind: type, text: str) -> list:
    """Comma-separated values that must be among ``known``."""
    try:
        values = [kind(v) for v in text.split(",")]
    except ValueError:
        values = [text]
    if unknown := [str(v) for v in values if v not in known]:
        expected = ", ".join(map(str, known))
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)} is unknown; expected some of {expected}")
    return [k for k in known if k in values]


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    p = benchmark_parser(__doc__)

    def choice(known: tuple, kind: type = str) -> dict:
        return {"type": lambda text: _list(known, kind, text), "default": list(known), "metavar": "A,B"}

    p.add_argument("--quick", action="store_true", help="all tasks from fewer starts: at most ten minutes on two cores")
    shared_options(p, "json")
    p.add_argument("--parts", **choice(PARTS), help=f"which to run, of {', '.join(PARTS)} (default: all)")
    p.add_argument("--functions", **choice(tuple(FUNCTIONS)), help="some of the 15 functions (default: all)")
    p.add_argument("--dimensions", **choice(DIMENSIONS, int), help="some of the dimensions (default: all)")
    fewer = ", ".join(str(count) for _, count in LEARNED_STARTS[1:])
    p.add_argument("--starts", type=int, default=0, help=f"of the learned optimizers (default: {STARTS}, from 100 "
                   f"dimensions on {fewer}; or --quick's)")  # fmt: skip
    p.add_argument("--unshifted-starts", type=int, default=UNSHIFTED_STARTS, metavar="STARTS",
                   help="of a full run without offsets; 0: none (default %(default)s)")  # fmt: skip
    for name, (flag, file, _) in WEIGHTS.items():
        beside = "" if name == OPTIMUS else "; none: leave it out"
        p.add_argument(flag, default=str(REPOSITORY / "models" / file), metavar="FILE",
                       help=f"weights of {name} (default: models/{file}{beside})")  # fmt: skip
    p.add_argument("--refresh-baselines", nargs="?", const="missing", choices=("missing", "all"),
                   help="first measure curves of the baselines that are missing from the committed ones, or all anew; "
                   "hours, kept task by task")  # fmt: skip
    p.add_argument("--baselines", **choice(BASELINES), help=f"to refresh, of {', '.join(BASELINES)} (default: all)")
    p.add_argument("--baseline-starts", type=int, metavar="STARTS",
                   help=f"of each task when refreshing (default: {STARTS}, and fewer of BFGS and Perm in 500 and 1000 "
                   f"dimensions: {', '.join(str(count) for _, count in PERM_STARTS[1:])})")  # fmt: skip
    p.add_argument("--only-baselines", action="store_true", help="end after refreshing")
    p.add_argument("--largest-timed", type=int, default=TIMED_DIMENSIONS[-1], metavar="N",
                   help="largest problem that steps are timed on (default %(default)s)")  # fmt: skip
    shared_options(p, "threads", "no_page")
    return p


def main() -> None:
    args = page_arguments(parser())
    if args.threads:
        torch.set_num_threads(args.threads)
    if args.only_baselines:
        tasks = [t for t in all_tasks() if t.dimension in args.dimensions and t.function in args.functions]
        refresh(args.baselines, tasks, args.baseline_starts, anew=args.refresh_baselines == "all")
        return
    figures = run(args)
    end_with_json(args, {k: v for k, v in figures.items() if k != "details"})


if __name__ == "__main__":
    main()
