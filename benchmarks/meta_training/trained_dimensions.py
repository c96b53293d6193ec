"""Do learned optimizers serve dimensions that they were not trained in? ``python -m benchmarks.trained_dimensions RUN
RUN ...`` (Optimus paper, figure 5 middle).

Each RUN is a folder of ``python -m training.optim --functions Rosenbrock --smallest 2 --largest N``: networks of both
kinds, each trained for the same processor time in Rosenbrock functions of other dimensions. They then minimise
Rosenbrock functions of 2 to 1000 dimensions, shifted at random, for 200 iterations, from the benchmark's starts; BFGS,
L-BFGS and the L-BFGS step of which nothing is learned stand beside. The figure is the mean of f - f* over the starts.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.meta_training.runs import TrainingRun
from benchmarks.optimizers.curves import baseline_file, load_curves
from benchmarks.optimizers.learned import PLAIN_STEP, LearnedSolver
from benchmarks.optimizers.tasks import DIMENSIONS, BenchmarkTask
from benchmarks.page.command import benchmark_parser, end_with_json, shared_options
from benchmarks.page.report import Page, page_arguments, provenance
from diffmocap.resources import sha256_of

BESIDE = ("BFGS", "L-BFGS")
FUNCTION = "Rosenbrock"


def label(run: TrainingRun) -> str:
    """Kind and dimensions of training."""
    return f"{run.name}, {run.options.smallest} to {run.options.largest}"


def finals(solver: LearnedSolver, dimensions: Sequence[int], starts: int) -> dict[str, float]:
    """Mean f - f* at the end, by dimension."""
    found = {}
    for n in dimensions:
        curves = solver.run(BenchmarkTask(FUNCTION, n), starts, shifted=True)
        found[str(n)] = float(curves[-1].mean())
        print(f"{solver.name}, {n}: {found[str(n)]:.4g}", flush=True)
    return found


def beside(dimensions: Sequence[int]) -> dict[str, dict[str, float]]:
    """The committed curves of the baselines."""
    found = {}
    for name in BESIDE:
        curves = load_curves(baseline_file(name))
        tasks = [BenchmarkTask(FUNCTION, n) for n in dimensions]
        found[name] = {str(task.dimension): curves[task].mean[-1] for task in tasks if task in curves}
    return found


def figure(found: dict[str, dict[str, float]], path: Path) -> Path:
    """Values against N, with the paper's axes: solid for Optimus, dashed for Adafactor MLP, dotted beside."""
    from benchmarks.optimizers.figures import COLOURS, GREY, LEAST, plt, save  # here: matplotlib is slow to load

    fig, axis = plt.subplots(figsize=(7.2, 4.8), layout="constrained")
    shades = {}
    for name, values in found.items():
        kind, _, trained = name.partition(", ")
        style = {"Optimus": "-", "Adafactor MLP": "--"}.get(kind, ":")
        colour = COLOURS.get(name) if style == ":" else shades.setdefault(trained, f"C{len(shades)}")
        x, y = [int(n) for n in values], [max(v, LEAST) for v in values.values()]
        axis.plot(x, y, ls=style, marker="o", ms=3, color=colour or GREY, label=name)
    axis.set(xscale="log", yscale="log", xlabel="N", ylabel="f - f* after 200 iterations")
    axis.set_xticks(DIMENSIONS, DIMENSIONS)
    axis.minorticks_off()
    axis.grid(True, alpha=0.25)
    axis.legend(frameon=False, fontsize=8)
    return save(fig, path)


def page(runs: Sequence[TrainingRun], found: dict, starts: int, picture: str, head: list[str]) -> list[str]:
    """The Markdown page."""
    dimensions = list(dict.fromkeys(n for values in found.values() for n in values))
    lines = ["# Rosenbrock functions, by the dimensions trained in", "", *head, "", f"![values]({picture})", ""]
    lines += [" ".join(part.split()) + "\n" for part in __doc__.split("\n\n")[1:]]
    lines += [f"{starts} starts; baselines from those of their committed curves.", ""]
    lines += ["| trained in | " + " | ".join(dimensions) + " |", "|---" + "|---:" * len(dimensions) + "|"]
    for name, values in found.items():
        lines.append(f"| {name} | " + " | ".join(f"{values[n]:.3g}" if n in values else "–" for n in dimensions) + " |")
    return [*lines, "", "The runs:", "", *(f"- {run.told}" for run in runs)]


def main(arguments: list[str] | None = None) -> None:
    parser = benchmark_parser(__doc__)
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="folder of a training run")
    parser.add_argument("--dimensions", type=int, nargs="+", default=list(DIMENSIONS), metavar="N")
    parser.add_argument("--starts", type=int, default=4, help="of each dimension (default %(default)s)")
    shared_options(parser, "json", "no_page", "out")
    args = page_arguments(parser, arguments)
    torch.set_num_threads(1)
    runs = [TrainingRun.load(folder) for folder in args.runs]
    if any(run.options.functions != [FUNCTION] for run in runs):
        raise SystemExit(f"expected runs that were trained with --functions {FUNCTION}")
    found = {}
    for run, folder in zip(runs, args.runs):
        path = folder / "last.safetensors"
        solver = LearnedSolver(label(run), path, run.optimizer, sha256_of(path))
        found[solver.name] = finals(solver, args.dimensions, args.starts)
    found[PLAIN_STEP] = finals(LearnedSolver.plain_step(), args.dimensions, args.starts)
    found |= beside(args.dimensions)
    if not args.no_page:
        target = Page.of_today("trained-dimensions", args.out)
        picture = figure(found, target.beside(".png"))
        head = provenance("benchmarks.trained_dimensions", f"{FUNCTION} functions with random offsets")
        print(target.write(page(runs, found, args.starts, picture.name, head)))
    end_with_json(args, found)


if __name__ == "__main__":
    main()
