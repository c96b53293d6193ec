"""Validation loss against training time: ``python -m benchmarks.training_curves RUN RUN ...`` (Optimus paper, figure 6
left).

Each RUN is a folder that ``python -m training.optim`` wrote, on the same problems. Time is the processor time of one
core that steps of the training took; validations are not counted. The loss is what the run validates on: the mean over
the iterations of runs on validation problems of -log(1 + d), d being the decades that the best loss so far has fallen
by from the start's (DiffPhy, whose loss is at least 0, and functions of known minima), or of its change over the
start's size where nothing is known of the minimum.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.meta_training.runs import TrainingRun
from benchmarks.page.command import benchmark_parser, end_with_json, shared_options
from benchmarks.page.report import Page, page_arguments, provenance


def minutes_to(history: Sequence[dict], target: float) -> float | None:
    """Training time of the first validation at or below ``target``; None: there is none."""
    return next((point["minutes"] for point in history if point["validation"] <= target), None)


def compared(runs: Sequence[TrainingRun]) -> dict[str, dict]:
    """Of each kind: its curve, least loss, and the time to the least losses of the others."""
    least = {run.name: min(point["validation"] for point in run.history) for run in runs}
    return {
        run.name: {
            "steps": run.step, "minutes": run.minutes, "least": least[run.name], "history": run.history,
            "minutes_to": {other: minutes_to(run.history, value) for other, value in least.items()},
        }
        for run in runs
    }  # fmt: skip


def figure(found: dict[str, dict], path: Path) -> Path:
    """The curves, with the paper's axes."""
    from benchmarks.optimizers.figures import COLOURS, GREY, plt, save  # here: matplotlib is slow to load

    fig, axis = plt.subplots(figsize=(6.4, 4.4), layout="constrained")
    for name, run in found.items():
        x, y = zip(*((point["minutes"], point["validation"]) for point in run["history"]))
        axis.plot(x, y, marker="o", ms=3, color=COLOURS.get(name, GREY), label=name)
    axis.set(xlabel="training time [processor minutes]", ylabel="validation loss", xlim=(0, None))
    axis.grid(True, alpha=0.25)
    axis.legend(frameon=False)
    return save(fig, path)


def page(runs: Sequence[TrainingRun], found: dict[str, dict], picture: str, head: list[str]) -> list[str]:
    """The Markdown page."""
    names = list(found)
    lines = ["# Validation loss against training time", "", *head, "", f"![validation loss]({picture})", ""]
    lines += [" ".join(part.split()) + "\n" for part in __doc__.split("\n\n")[1:]]
    lines += [
        "| network | steps | minutes | least validation loss |" + "".join(f" minutes to {n}'s least |" for n in names)
    ]
    lines += ["|---" + "|---:" * (3 + len(names)) + "|"]
    for name, run in found.items():
        cells = [f"{run['least']:.3f}"] + [
            "not reached" if run["minutes_to"][n] is None else f"{run['minutes_to'][n]:.1f}" for n in names
        ]
        lines.append(f"| {name} | {run['steps']:,} | {run['minutes']:.1f} | {' | '.join(cells)} |")
    lines += ["", "The runs:", "", *(f"- {run.told}" for run in runs), ""]
    lines += ["| network | minutes | step | validation loss |", "|---|---:|---:|---:|"]
    for name, run in found.items():
        lines += [f"| {name} | {p['minutes']:.1f} | {p['step']:,} | {p['validation']:.3f} |" for p in run["history"]]
    return lines


def main(arguments: list[str] | None = None) -> None:
    parser = benchmark_parser(__doc__)
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="folder of a training run, one of each kind")
    shared_options(parser, "json", "no_page", "out")
    args = page_arguments(parser, arguments)
    runs = [TrainingRun.load(folder) for folder in args.runs]
    if len({run.name for run in runs}) < len(runs) or len({run.options.problems for run in runs}) > 1:
        raise SystemExit("expected runs of different kinds of networks on the same --problems")
    found = compared(runs)
    if not args.no_page:
        target = Page.of_today("training-curves", args.out)
        picture = figure(found, target.beside(".png"))
        head = provenance("benchmarks.training_curves", f"--problems {runs[0].options.problems} of training.optim")
        print(target.write(page(runs, found, picture.name, head)))
    end_with_json(args, found)


if __name__ == "__main__":
    main()
