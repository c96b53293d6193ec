"""Page and figure of :mod:`benchmarks.optimus_variants`."""

from __future__ import annotations

from pathlib import Path

from benchmarks.page.report import Page, provenance
from benchmarks.page.targets import load_remarks

TITLES = {
    "ablation": "What the parts are worth",
    "paper": "The paper's ablation, with the supplement's features alone, B as by default",
    "B": "When B is used and what it is divided by, features and safeguard as by default",
    "method": "Truncated backpropagation and PES",
}
REFERENCE = "Optimus"


def average(run: dict, iteration: str) -> float:
    """Mean over the functions of the decades after ``iteration`` iterations."""
    values = [by_iteration[iteration] for by_iteration in run["decades"].values()]
    return sum(values) / len(values)


def table(runs: list[dict], groups: dict[str, str], group: str) -> list[str]:
    """Markdown rows, the reference first, then the variants of the group from best to worst after 30 iterations."""
    mine = [run for run in runs if groups[run["variant"]] == group or run["variant"] == REFERENCE]
    mine.sort(key=lambda run: (run["variant"] != REFERENCE, -average(run, "30")))
    rows = ["| variant | weights | steps | decades after 10 | 30 | 100 iterations |", "|---|---|---|---|---|---|"]
    for run in mine:
        seed = f" (seed {run['seed']})" if run["seed"] else ""
        values = " | ".join(f"{average(run, k):.2f}" for k in ("10", "30", "100"))
        rows.append(f"| {run['variant']}{seed} | {run['weights']:,} | {run['steps']:,} | {values} |")
    return rows


def figure(runs: list[dict], path: Path) -> None:
    """Bars of all variants after 10, 30 and 100 iterations."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    ordered = sorted(runs, key=lambda run: average(run, "30"))
    names = [run["variant"] + (f" ({run['seed']})" if run["seed"] else "") for run in ordered]
    fig, ax = plt.subplots(figsize=(9, 0.45 * len(ordered) + 1.5))
    for offset, (k, colour) in enumerate(zip(("100", "30", "10"), ("#c6dbef", "#6baed6", "#2171b5"))):
        places = [i + 0.27 * (1 - offset) for i in range(len(ordered))]
        ax.barh(places, [average(run, k) for run in ordered], 0.25, color=colour, label=f"after {k} iterations")
    ax.set_yticks(range(len(ordered)), names, fontsize=8)
    ax.set_xlabel("decades that f - f* falls by, mean over 14 functions")
    ax.legend(fontsize=8, loc="lower right")
    ax.grid(axis="x", alpha=0.3)
    fig.tight_layout()
    fig.savefig(path, dpi=130)
    plt.close(fig)


def write_page(runs: list[dict], groups: dict[str, str], out: Path) -> Path:
    """``<date>-optimus-variants.md`` and its figure; remarks come from ``optimus_variants_remarks.md`` beside."""
    page = Page.of_today("optimus-variants", out)
    picture = page.beside(".png")
    figure(runs, picture)
    commits = ", ".join(sorted({run["commit"][:12] for run in runs}))
    lines = [
        "# Variants of Optimus, each trained for the same processor time", "",
        *provenance("benchmarks.optimus_variants", "none: the classical functions with random offsets"), "",
        f"Each variant was trained for {runs[0]['minutes']:g} minutes of one core on dimensions 2 to 100 and measured "
        "on dimensions 150 and 220, which are neither trained nor tested on. Figures are decades by which f - f* has "
        "fallen, 14 at most, mean over 14 functions (all but Perm) with random offsets and four starts each; higher "
        f"is better. One seed where no other is named. Commits of the runs: {commits}.", "",
        f"![decades]({picture.name})", "",
    ]  # fmt: skip
    for group, title in TITLES.items():
        if any(groups[run["variant"]] == group for run in runs):
            lines += [f"## {title}", "", *table(runs, groups, group), ""]
    if remarks := load_remarks(out / "optimus_variants_remarks.md"):
        lines += [remarks, ""]
    return page.write(lines)
