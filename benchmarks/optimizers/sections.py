"""The sections of the page of ``benchmarks.optimizers``, put together from tables and plots."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.optimizers.definitions import DEFINITIONS
from benchmarks.optimizers.directions import mean_of
from benchmarks.optimizers.learned import PLAIN_STEP
from benchmarks.optimizers.page import (
    area_table,
    asked_against_measured,
    baseline_lines,
    number,
    ratio_table,
    value_table,
)
from benchmarks.optimizers.tasks import DIMENSIONS, TEST_DIMENSIONS
from benchmarks.optimizers.turned import EVALUATIONS, HEADLINE
from benchmarks.page.report import provenance


def page_head(figures: dict, weights: Mapping[str, tuple[str, str, int]]) -> list[str]:
    """Date, hardware, command, commit, what was run; of the weights path, sha256 and number."""
    s = figures["subset"]
    starts, perm = (
        ", ".join(f"{count} at N = {n}" for n, count in s[key].items()) for key in ("starts", "starts_perm")
    )
    text = f"{s['tasks']} tasks; starts of the learned optimizers: {starts} (Perm: {perm})"
    lines = provenance("benchmarks.optimizers", text)
    return lines + [
        f"- {name}: `{path}`, sha256 `{sha[:12]}…`, {count:,} weights" for name, (path, sha, count) in weights.items()
    ]


def tasks_section(figures: dict, images: Mapping[str, str]) -> list[str]:
    """Profile, relative iterations and values."""
    details = figures["details"]
    compared, entries = figures["tasks_compared"], figures["paper_entries"]
    lines = [
        "## Standard functions", "", f"![performance profile]({images['profile']})", "", *area_table(figures),
        f"Over the {compared} of 45 tasks, in all dimensions {figures['tasks_compared_all_dimensions']} of 120, for "
        f"which there are curves of the paper's five and L-BFGS. At or below the paper's Optimus: {entries} entries "
        "compared.", "",
        f"![relative iterations]({images['relative']})", "",
        "Relative iterations of Optimus, the baseline's own over those of Optimus, mean over starts; 0 for a start "
        "that never reaches the target.", "",
        *ratio_table(details), f"![value against dimension]({images['dimension']})", "",
        "Mean f - f* after 200 iterations, after a slash the paper's value; bold: at or below the paper's Optimus.", "",
        *value_table(details, TEST_DIMENSIONS),
    ]  # fmt: skip
    smaller = value_table(details, set(DIMENSIONS) - set(TEST_DIMENSIONS))
    if len(smaller) > 3:
        lines += ["The dimensions that are trained on:", "", *smaller]
    return [*lines, f"![value against evaluations]({images['evaluations']})", ""]


def turned_section(turned: dict, images: Mapping[str, str]) -> list[str]:
    """Decades of the 45 tasks with their axes and turned, and beyond the plain step."""
    names = {"turned": "turned", "as_they_are": "as they are"}
    solvers = list(turned["medians"]["turned"])
    lines = [
        "## Turned coordinates", "", "Decades that f - f* has fallen by, median over the tasks; in brackets the median "
        "of what is beyond the L-BFGS step of which nothing is learned, with its interval.", "",
        "| | after | " + " | ".join(solvers) + " |", "|---|---:|" + "---:|" * len(solvers),
    ]  # fmt: skip
    for side, medians in turned["medians"].items():
        for i, count in enumerate(EVALUATIONS):
            cells = []
            for solver in solvers:
                cell = f"{medians[solver][i]:.2f}"
                if beyond := turned["over_plain_step"][side].get(solver):
                    median, low, high = beyond[str(count)]
                    cell += f" ({median:+.2f}: {low:+.2f} to {high:+.2f})"
                cells.append(cell)
            lines.append(f"| {names[side]} | {count} | {' | '.join(cells)} |")
    lines += ["", f"![turned tasks]({images['turned']})", "", f"Each task after {HEADLINE} evaluations:", ""]
    head = [f"{solver}, {names[side]}" for side in names for solver in solvers]
    lines += [f"| task | {' | '.join(head)} |", "|---|" + "---:|" * len(head)]
    at = EVALUATIONS.index(HEADLINE)
    for task, of in turned["tasks"].items():
        cells = [f"{of[side][solver][at]:.2f}" for side in names for solver in solvers]
        lines.append(f"| {task} | {' | '.join(cells)} |")
    return [*lines, ""]


def rosenbrock_section(rosenbrock: dict, images: Mapping[str, str]) -> list[str]:
    """The weights trained on Rosenbrock alone, by dimension."""
    dimensions = sorted({n for of in rosenbrock.values() for n in of}, key=int)
    lines = [
        "## Trained on Rosenbrock alone", "", f"| f - f* | {' | '.join(f'N = {n}' for n in dimensions)} |",
        "|---|" + "---:|" * len(dimensions),
    ]  # fmt: skip
    for solver, of in rosenbrock.items():
        lines.append(f"| {solver} | {' | '.join(number(of.get(n)) for n in dimensions)} |")
    return [*lines, "", f"![Rosenbrock alone]({images['rosenbrock']})", ""]


def costs_section(costs: dict, images: Mapping[str, str]) -> list[str]:
    """Step time and memory."""
    time, memory = costs["step_time"], costs["memory"]
    sizes = list(time["step_ms"])
    how = (
        "the run began with the factors of all steps but four in the preconditioner, as random numbers, and took the "
        "first and the last three steps" if memory["begun"] else f"all {memory['steps']} steps were taken"
    )  # fmt: skip
    head = f"ms per iteration, threads: {time['threads']}"
    lines = ["## Costs", "", f"| {head} | {' | '.join(f'N = {n}' for n in sizes)} |", "|---|" + "---:|" * len(sizes)]
    for name, key in (
        ("Optimus", "step_ms"), (PLAIN_STEP, "plain_step_ms"), ("SciPy's BFGS", "bfgs_step_ms"),
    ):  # fmt: skip
        lines.append(f"| {name} | {' | '.join(f'{time[key][n]:.1f}' for n in sizes)} |")
    return [
        *lines, "", f"Peak memory at N = {memory['n']:,}: {memory['peak_mb']:.0f} MB above the process ({how}).", "",
        f"![costs]({images['costs']})", "",
    ]  # fmt: skip


def directions_section(cosines: dict, images: Mapping[str, str]) -> list[str]:
    """Mean cosines over all iterations and the plot by iteration."""
    lines = [
        "## Step directions", "", "2D Rosenbrock with its offset, mean |cos| of the steps over trajectories and "
        "iterations; as long as at least eight trajectories move. BFGS ends by itself.", "",
        "| solver | with the gradient | with Newton's step |", "|---|---:|---:|",
    ]  # fmt: skip
    for solver, of in cosines.items():
        cells = [mean_of(of[key]) for key in ("gradient", "newton")]
        lines.append(f"| {solver} | {' | '.join('–' if c is None else f'{c:.2f}' for c in cells)} |")
    return [
        *lines, "", f"![step directions]({images['directions']})", "",
        "One run of each solver on Rosenbrock functions, its first two coordinates without the offset; the lines are "
        "level lines of the function of these two, the star its minimum.", "",
        f"![trajectories]({images['trajectories']})", "",
    ]  # fmt: skip


def full_images_section(names: list[str]) -> list[str]:
    """A full run's plots beside a quick run's."""
    lines = ["## Plots of the full run", "", "Its tables are on its own page.", ""]
    for name in names:
        lines += [f"![{name.rsplit('-', 1)[-1].removesuffix('.png')}]({name})", ""]
    return lines if names else []


def page(
    figures: dict, head: list[str], full: dict | None, images: Mapping[str, str], remarks: str = "",
) -> str:  # fmt: skip
    """The page as Markdown. ``images``: file names by picture."""
    details, quick = figures["details"], figures["subset"]["quick"]
    lines = ["# Optimizers: Optimus on classical functions" + (" (quick run)" if quick else ""), "", *head, ""]
    lines += [*asked_against_measured(figures, full), ""]
    if remarks:
        lines += ["## Remarks", "", remarks, ""]
    if "tasks" in details:
        lines += baseline_lines() + tasks_section(figures, images)
    if "turned" in details:
        lines += turned_section(details["turned"], images)
    if "rosenbrock" in details:
        lines += rosenbrock_section(details["rosenbrock"], images)
    if "costs" in details:
        lines += costs_section(details["costs"], images)
    if "directions" in details:
        lines += directions_section(details["directions"], images)
    if full:
        lines += full_images_section(list(full["figures"].get("images", {}).values()))
    return "\n".join([*lines, "## Definitions", "", DEFINITIONS]) + "\n"
