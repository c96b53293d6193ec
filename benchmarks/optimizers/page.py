"""The dated page of ``benchmarks.optimizers``: what was asked against what was measured, tables, plots, definitions."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from benchmarks.optimizers.baselines import BASELINES, TUNED
from benchmarks.optimizers.curves import baseline_file, load_curves
from benchmarks.optimizers.learned import PLAIN_STEP
from benchmarks.optimizers.paper import NOT_COMPARABLE, OPTIMUS, PAPER_SOLVERS, comparable_excess, paper_value
from benchmarks.optimizers.summary import ASKED_RATIOS, PROFILE_SOLVERS
from benchmarks.optimizers.tasks import STARTS, TEST_DIMENSIONS, BenchmarkTask, all_tasks
from benchmarks.page.report import RESULTS
from benchmarks.page.targets import Target, target_table
from diffmocap.resources import sha256_of

#: The last full run, whose figures stand beside those of a quick one.
FULL_RUN = RESULTS / "optimizers_full.json"
#: What its author has to say of the figures, misses above all; it becomes a part of every page.
REMARKS = RESULTS / "optimizers_remarks.md"


def _share(key: str, least: float) -> Callable[[dict], tuple[str, bool]]:
    return lambda f: (f"{100 * f[key]:.0f} %", f[key] >= least)


def _area(f: dict) -> tuple[str, bool]:
    areas, first = f["profile_area"], f["first_at_every_threshold"]
    others = {s: a for s, a in areas.items() if s != OPTIMUS}
    beside = ", ".join(f"{s} {a:.3f}" for s, a in sorted(others.items(), key=lambda item: -item[1]))
    where = "first at every threshold" if first else "not first at every threshold"
    return f"{areas[OPTIMUS]:.3f} ({beside}); {where}", first and areas[OPTIMUS] > max(others.values())


def _turned(f: dict) -> tuple[str, bool]:
    decades, (low, high) = f["rotated_decades_over_lbfgs_step"], f["rotated_decades_over_lbfgs_step_interval"]
    plain = f["unrotated_decades_over_lbfgs_step"]
    return f"{decades:.2f} ({low:.2f} to {high:.2f}); as they are {plain:.2f}", decades >= 0.5 and low > 0


def _multimodal(f: dict) -> tuple[str, bool]:
    share, entries = f["share_multimodal_at_or_below_paper"], f["multimodal_entries"]
    return f"{round(share * entries)} of {entries}", share * entries >= 8


def _step(n: str, factor: float) -> Callable[[dict], tuple[str, bool]]:
    def measured(f: dict) -> tuple[str, bool]:
        ours, theirs = f["step_ms"][n], f["bfgs_step_ms"][n]
        return f"{ours:.1f} against {theirs:.1f} ms: {theirs / ours:.1f} times faster", theirs >= factor * ours

    return measured


TARGETS = (
    Target("tasks on which Optimus needs 10 times fewer iterations than BFGS", "about 50 %", "65 %",
           _share("share_10x_bfgs", 0.65)),
    Target("tasks on which it needs 10 times fewer than Adam", "about 50 %", "90 %", _share("share_10x_adam", 0.9)),
    Target("tasks on which it needs 5 times fewer than Adafactor MLP 128x4", "about 50 %", "90 %",
           _share("share_5x_adafactor_mlp", 0.9)),
    Target("tasks on which it needs 5 times fewer than L-BFGS", "", "40 %", _share("share_5x_lbfgs", 0.4)),
    Target("the 45 tasks turned: decades after 30 evaluations beyond the L-BFGS step of which nothing is learned", "",
           "0.5, interval above 0", _turned),
    Target("functions of local minima and valleys: entries at or below the paper's Optimus", "", "8 of 15",
           _multimodal),
    Target("all entries at or below the paper's Optimus, 250 to 1000 dimensions", "", "75 %",
           _share("share_at_or_below_paper", 0.75)),
    Target("area under the performance profile, 45 tasks, L-BFGS among the solvers", "highest of five",
           "first at every threshold", _area),
    Target("step at N = 1000 beside SciPy's BFGS, same run", "faster", "2 times faster", _step("1000", 2)),
    Target("step at N = 4000", "", "10 times faster", _step("4000", 10)),
    Target("peak memory of 200 steps at N = 10,000 above the process", "", "below 200 MB",
           lambda f: (f"{f['peak_mb_n10000']:.0f} MB", f["peak_mb_n10000"] < 200)),
)  # fmt: skip


def number(value: float | None) -> str:
    """Two digits, as tables have it; a dash where there is none."""
    return "–" if value is None else f"{value:.1e}".replace("e-0", "e-").replace("e+0", "e")


def asked_against_measured(figures: dict, full: dict | None) -> list[str]:
    """The table, with a column for the full run where this is not one."""
    lines = target_table(TARGETS, "paper", figures, full, absent=(TypeError, KeyError))
    here, there = (f.get("weights_sha256", {}) for f in (figures, full["figures"] if full else {}))
    if other := [name for name in here if name in there and here[name] != there[name]]:
        lines += ["", f"The full run measured other weights of {', '.join(other)}."]
    return lines


def baseline_lines() -> list[str]:
    """Where the committed curves come from."""
    lines = ["Baseline curves are not measured in this run, but taken from `benchmarks/results/baselines`:", ""]
    for solver in BASELINES:
        path = baseline_file(solver)
        curves = load_curves(path)
        if not curves:
            lines.append(f"- {solver}: none yet; `python -m benchmarks.optimizers --refresh-baselines` makes them")
            continue
        commits = ", ".join(f"`{c}`" for c in sorted({c.commit for c in curves.values()}))
        dates = " to ".join(sorted({min(c.date for c in curves.values()), max(c.date for c in curves.values())}))
        lines.append(
            f"- {solver}: {len(curves)} of {len(all_tasks())} tasks, sha256 `{sha256_of(path)[:12]}…`, "
            f"commit {commits}, {dates}, {_fewer(curves.items(), 'starts', STARTS)}"
        )
        if solver in TUNED:
            lines[-1] += f"; rates tuned over {_fewer(curves.items(), 'tuning_starts', STARTS)}"
    return [*lines, ""]


def _fewer(curves: Iterable, attribute: str, all_starts: int) -> str:
    """How many starts, and which tasks had fewer."""
    groups: dict[tuple[int, str], set[int]] = {}
    for task, curve in curves:
        count = getattr(curve, attribute)
        if count != all_starts:
            groups.setdefault((count, "Perm" if task.function == "Perm" else ""), set()).add(task.dimension)
    text = [
        f"{count} for {name + ' ' if name else ''}N = {', '.join(map(str, sorted(dimensions)))}"
        for (count, name), dimensions in sorted(groups.items(), key=lambda item: (item[0][1], -item[0][0]))
    ]
    return f"{all_starts} starts" + (f" ({'; '.join(text)})" if text else "")


def value_table(details: dict, dimensions: Iterable[int]) -> list[str]:
    """Mean final f - f* of each task: Optimus with and without offset, then each solver, the paper's after a slash."""
    tasks, plain = details["tasks"], details.get("unshifted", {})
    columns = ["Optimus", "unshifted", "paper's Optimus", *(s for s in PAPER_SOLVERS if s != OPTIMUS)]
    extra = [
        s for s in ("L-BFGS", PLAIN_STEP, "Adafactor MLP 512x4") if any(s in row["final"] for row in tasks.values())
    ]
    lines = [f"| task | {' | '.join(columns + extra)} |", "|---|" + "---:|" * (len(columns) + len(extra))]
    dimensions = set(dimensions)
    for task in sorted(all_tasks()):
        row = tasks.get(task.label)
        if row is None or task.dimension not in dimensions:
            continue
        final = row["final"]
        cells = [
            _with_verdict(task, final[OPTIMUS]), number(plain.get(task.label, {}).get("final", {}).get(OPTIMUS)),
            number(paper_value(task, OPTIMUS)),
        ]  # fmt: skip
        cells += [f"{number(final.get(s))} / {number(paper_value(task, s))}" for s in columns[3:]]
        cells += [number(final.get(s)) for s in extra]
        lines.append(f"| {task.label} | {' | '.join(cells)} |")
    return [*lines, ""]


def _with_verdict(task: BenchmarkTask, excess: float) -> str:
    """Bold where it is at or below the paper's."""
    theirs = paper_value(task, OPTIMUS)
    better = task.function not in NOT_COMPARABLE and theirs is not None and comparable_excess(task, excess) <= theirs
    return f"**{number(excess)}**" if better else number(excess)


def ratio_table(details: dict) -> list[str]:
    """Relative iterations of the 45 tasks against each baseline."""
    rows = {t: details["tasks"][t.label]["relative_iterations"] for t in sorted(all_tasks(TEST_DIMENSIONS))
            if t.label in details["tasks"]}  # fmt: skip
    solvers = [s for s in ASKED_RATIOS if any(s in of for of in rows.values())]
    lines = [f"| task | {' | '.join(solvers)} |", "|---|" + "---:|" * len(solvers)]
    for task, of in rows.items():
        cells = ["–" if s not in of else f"{of[s]:.1f}" for s in solvers]
        lines.append(f"| {task.label} | {' | '.join(cells)} |")
    return [*lines, ""]


def area_table(figures: dict) -> list[str]:
    """Areas under the profiles with L-BFGS, of the paper's five, and of all: 45 tasks and every one, with offsets and
    without."""
    plain, columns = figures["details"].get("unshifted_summary", {}), (*PROFILE_SOLVERS, PLAIN_STEP)
    lines = [f"| area | {' | '.join(columns)} |", "|---|" + "---:|" * len(columns)]
    groups = (("", "with L-BFGS"), ("_paper_solvers", "the paper's five"), ("_with_plain_step", "all seven"))
    for group, solvers in groups:
        for of, offsets in ((figures, ""), (plain, ", unshifted")):
            for dimensions, tasks in (("", "45 tasks"), ("_all_dimensions", "all dimensions")):
                if areas := of.get(f"profile_area{group}{dimensions}"):
                    cells = (f"{areas[s]:.3f}" if s in areas else "–" for s in columns)
                    lines.append(f"| {tasks}{offsets}, {solvers} | {' | '.join(cells)} |")
    return [*lines, ""]
