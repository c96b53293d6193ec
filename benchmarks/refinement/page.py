"""The dated page of ``benchmarks.refinement``: what was asked against what was measured, tables, plots, definitions."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from benchmarks.page.report import RESULTS
from benchmarks.page.targets import Target, target_table
from benchmarks.refinement.ablations import PAPER
from benchmarks.refinement.definitions import DEFINITIONS
from benchmarks.refinement.scores import BFGS
from benchmarks.refinement.solvers import ADAFACTOR_MLP, OPTIMUS

#: The last full run, whose figures stand beside those of a quick one.
FULL_RUN = RESULTS / "refinement_full.json"
#: What its author has to say of the figures, misses above all.
REMARKS = RESULTS / "refinement_remarks.md"
TITLES = {"window": "Windows: lifted motion, refined", "diffphy": "DiffPhy: controls of a simulated body"}
DOMAINS = {"in_domain": "in domain", "out_of_domain": "out of domain"}
#: The paper's table 1.
PAPER_MPJPE_G = {"in_domain": {BFGS: 38.3, ADAFACTOR_MLP: 33.0, OPTIMUS: 24.0},
                 "out_of_domain": {BFGS: 24.7, ADAFACTOR_MLP: 29.3, OPTIMUS: 25.0}}  # fmt: skip
#: Figures of motions on the page, in this order.
COLUMNS = {
    "mpjpe_mm": "MPJPE", "mpjpe_g_mm": "MPJPE-G", "pa_mpjpe_mm": "PA", "mpjpe_2d_px": "2D [px]", "tv": "TV [m/s²]",
    "foot_skate_pct": "skate, excess", "foot_skate_raw_pct": "skate [%]", "root_residual": "root residual [%]",
    "root_residual_median": "its median", "root_force_pct": "force [%]", "root_moment_nm": "moment [N m]",
}  # fmt: skip
NAMES = {
    "before": "before", "start": "start: smoothed", "one_euro_tuned": "one-euro, tuned",
    "one_euro": "one-euro, equal jitter", "kalman_tuned": "Kalman, tuned", "kalman": "Kalman, equal jitter",
}  # fmt: skip


def _evaluations(loss: str) -> Callable[[dict], tuple[str, bool]]:
    def measured(f: dict) -> tuple[str, bool]:
        count, seconds = (f[loss][k][OPTIMUS] for k in ("evals_to_bfgs_loss", "seconds_to_bfgs_loss"))
        return f"{count:.2f} of BFGS's evaluations, {seconds:.2f} of its seconds", count <= 0.5 and seconds < 1

    return measured


def _errors(f: dict) -> tuple[str, bool]:
    inside, outside = (f["diffphy"][f"mpjpe_g_{d}_mm"] for d in DOMAINS)
    rows = (f"{s} {inside[s]:.1f} / {outside[s]:.1f}" for s in (BFGS, ADAFACTOR_MLP, OPTIMUS) if s in inside)
    best = inside[OPTIMUS] <= min(inside.values()) and outside[OPTIMUS] <= 1.02 * min(outside.values())
    return "; ".join(rows), best


def _halved(f: dict) -> tuple[str, bool]:
    before, after = f["window"]["before"], f["window"]["after"]
    text = ", ".join(f"{COLUMNS[k]} {before[k]:.1f} → {after[k]:.1f}" for k in ("tv", "foot_skate_pct", "mpjpe_mm"))
    half = all(after[k] <= 0.5 * before[k] for k in ("tv", "foot_skate_pct"))
    return text, half and after["mpjpe_mm"] <= before["mpjpe_mm"]


def _filters(f: dict) -> tuple[str, bool]:
    w = f["window"]
    skate = {name: w[name]["foot_skate_pct"] for name in ("one_euro", "kalman", "after")}
    text = ", ".join(f"{NAMES.get(k, 'refined')} {v:.1f} (MPJPE {w[k]['mpjpe_mm']:.0f} mm)" for k, v in skate.items())
    return f"excess skate: {text}", skate["after"] < min(skate["one_euro"], skate["kalman"])


def _residual(f: dict) -> tuple[str, bool]:
    before, after = (f["window"][k]["root_residual"] for k in ("before", "after"))
    down = 100 * (1 - after / before)
    return f"{before:.0f} → {after:.1f} % of the weight: down by {down:.0f} %", after <= 0.3 * before


def _speed(f: dict) -> tuple[str, bool]:
    return f"{f['loss_ms_32']:.1f} ms", f["loss_ms_32"] < 5


def _tracking(f: dict) -> tuple[str, bool]:
    before, after = (f["diffphy"][k]["pybullet_seconds"] for k in ("before", "after"))
    return f"{before:.2f} → {after:.2f} s, {after / before:.2f} times", after >= 2 * before


def _ablations(f: dict) -> tuple[str, bool]:
    found = {f"{loss}: {pair}": kept for loss, part in f["details"]["ablations"].items()
             for pair, kept in part["order"].items()}  # fmt: skip
    wrong = [pair for pair, kept in found.items() if not kept]
    if not found:
        raise KeyError("no pair to compare")
    text = f"{len(found) - len(wrong)} of {len(found)} pairs"
    return text + (f"; not {'; '.join(wrong)}" if wrong else ""), not wrong


TARGETS = (
    Target("window: Optimus to BFGS's final loss, in domain", "about half", "half, and less time",
           _evaluations("window")),
    Target("DiffPhy: the same", "about half", "half, and less time", _evaluations("diffphy")),
    Target("MPJPE-G [mm] in / out of domain", "BFGS 38.3 / 24.7, Adafactor MLP 33.0 / 29.3, Optimus 24.0 / 25.0",
           "Optimus best in domain, within 2 % out of it", _errors),
    Target("from 2D, after against before refinement", "", "TV and skate halved, MPJPE no worse", _halved),
    Target("against filters at equal jitter", "", "lower foot skate", _filters),
    Target("root wrench unexplained by contact", "", "down by 70 %", _residual),
    Target("loss with gradient, 32 frames, two CPU cores", "about 4 s an evaluation", "under 5 ms", _speed),
    Target("PyBullet tracking before a fall, DiffPhy mode", "", "twice as long", _tracking),
    Target("order of table 4 and basin hopping", "", "reproduced", _ablations),
)  # fmt: skip


def page(figures: dict, head: list[str], full: dict | None, images: Mapping[str, str], remarks: str = "") -> str:
    """The page as Markdown. ``images``: file names by picture."""
    details, quick = figures["details"], figures["subset"]["quick"]
    lines = ["# Refinement: physics, solvers, filters" + (" (quick run)" if quick else ""), "", *head, ""]
    lines += [*target_table(TARGETS, "paper", figures, full, absent=(TypeError, KeyError)), ""]
    if remarks:
        lines += ["## Remarks", "", remarks, ""]
    for loss, title in TITLES.items():
        if loss in details:
            lines += part_section(loss, title, details[loss], images)
    if "ablations" in details:
        lines += ablation_section(details["ablations"])
    return "\n".join([*lines, "## Definitions", "", DEFINITIONS]) + "\n"


def part_section(loss: str, title: str, part: dict, images: Mapping[str, str]) -> list[str]:
    """Races, errors by solver, figures before and after, PyBullet."""
    counted = {d: ", ".join(f"{n} of {s}" for s, n in of.items()) for d, of in part["motions"].items()}
    lines = [f"## {title}", "", f"In domain: {counted['in_domain']}. Out of domain: {counted['out_of_domain']} "
             "(motions of subject).", "", *race_table(part), f"![convergence]({images[f'{loss}-convergence']})", "",
             *mpjpe_table(loss, part)]  # fmt: skip
    rates = ", ".join(f"{name} {rate:g}" for name, rate in part["rates"].items())
    lines += [f"Learning rates: {rates}.", ""]
    for group, name in (("all", "all motions"), *DOMAINS.items()):
        if group in part["figures"]:
            lines += motion_table(part, group, name)
    if "filters" in part:
        settings = "; ".join(f"{NAMES[k]}: `{v}`" for k, v in part["filters"].items())
        lines += [f"![jitter and skate]({images['window-trade']})", "", f"Filters: {settings}.", ""]
    return lines + rollout_lines(part["pybullet"], part["after_by"])


def race_table(part: dict) -> list[str]:
    """Evaluations and seconds to BFGS's final loss."""
    lines = []
    for domain, of in part["race"].items():
        lines += [
            f"To BFGS's final loss at {part['cap']} evaluations, {DOMAINS[domain]}; medians, failures at the cap:", "",
            "| solver | evaluations | of BFGS's | reached | s | of BFGS's | reached | ms per evaluation | final loss |",
            "|---|" + "---:|" * 8,
        ]  # fmt: skip
        for solver, x in of.items():
            timed = "seconds" in x
            low, high = x["evaluations_ratio_interval"]
            cells = [f"{x['evaluations']:.0f}", f"{x['evaluations_ratio']:.2f} ({low:.2f} to {high:.2f})",
                     f"{100 * x['reached']:.0f} %"]  # fmt: skip
            cells += [f"{x['seconds']:.2f}", f"{x['seconds_ratio']:.2f}", f"{100 * x['seconds_reached']:.0f} %",
                      f"{x['ms_an_evaluation']:.1f}"] if timed else ["–"] * 4  # fmt: skip
            lines.append(f"| {solver} | {' | '.join(cells)} | {x['final_loss']:.4g} |")
        lines.append("")
    for cap, groups in part["race_at_cap"].items():
        inside = groups.get("in_domain", {})
        ratios = ", ".join(f"{solver} {x['evaluations_ratio']:.2f}" for solver, x in inside.items())
        lines += [f"With a cap of {cap} evaluations, in domain, of BFGS's own: {ratios}.", ""]
    return lines


def mpjpe_table(loss: str, part: dict) -> list[str]:
    """MPJPE-G by solver and domain, beside the paper's where it is DiffPhy's."""
    solvers = list(next(iter(part["mpjpe_g_mm"].values())))
    lines = [f"| MPJPE-G [mm] | {' | '.join(solvers)} |", "|---|" + "---:|" * len(solvers)]
    for domain, name in DOMAINS.items():
        of = part["mpjpe_g_mm"].get(domain) or {}
        cells = [f"{of[s][0]:.1f} ({of[s][1]:.1f} to {of[s][2]:.1f})" if s in of else "–" for s in solvers]
        lines.append(f"| {name} | {' | '.join(cells)} |")
        if loss == "diffphy":
            theirs = (str(PAPER_MPJPE_G[domain].get(s, "–")) for s in solvers)
            lines.append(f"| {name}, paper | {' | '.join(theirs)} |")
    return [*lines, ""]


def motion_table(part: dict, group: str, name: str) -> list[str]:
    """Every figure of every method, means with 95 % intervals, and the change."""
    lines = [f"Motion, {name}; mean (95 % interval):", "", f"| | {' | '.join(COLUMNS.values())} |",
             "|---|" + "---:|" * len(COLUMNS)]  # fmt: skip
    for method, of in part["figures"][group].items():
        cells = (f"{of[k][0]:.4g} ({of[k][1]:.3g} to {of[k][2]:.3g})" for k in COLUMNS)
        lines.append(f"| {NAMES.get(method, method)} | {' | '.join(cells)} |")
    moved = part["change"][group]
    cells = (f"{moved[k][0]:.3g} ({moved[k][1]:.2g} to {moved[k][2]:.2g})" for k in COLUMNS)
    return [*lines, f"| **{part['after_by']} over before** | {' | '.join(cells)} |", ""]


def rollout_lines(tracked: dict, solver: str) -> list[str]:
    """How long PyBullet's character tracks."""
    if not tracked:
        return []
    before, after = tracked["seconds"]["before"], tracked["seconds"]["after"]
    beside = [f"{NAMES[k]} {v[0]:.2f} s" for k, v in tracked["seconds"].items() if k not in ("before", "after")]
    return [
        f"PyBullet, {tracked['clips']} clips of {tracked['clip_s']:g} s ({tracked['in_domain']} in domain), {solver}: "
        f"{before[0]:.2f} s ({before[1]:.2f} to {before[2]:.2f}) before, {after[0]:.2f} s ({after[1]:.2f} to "
        f"{after[2]:.2f}) after, {tracked['change'][0]:.2f} times ({tracked['change'][1]:.2f} to "
        f"{tracked['change'][2]:.2f}); tracked to the end: {tracked['censored']['before']} and "
        f"{tracked['censored']['after']}." + (f" Filters: {', '.join(beside)}." if beside else ""), "",
    ]  # fmt: skip


def ablation_section(parts: Mapping[str, dict]) -> list[str]:
    """Table 4, a table a loss."""
    lines = ["## Ablations and test-time modes (table 4)", ""]
    for loss, part in parts.items():
        lines += [
            f"{loss}, {part['cuts']} motions in domain, runs ended by the stopping criterion or at the cap:", "",
            "| variant | MPJPE-G [mm] | of each seed | without criterion | paper's | loss | evaluations | weights | "
            "ms per step |", "|---|" + "---:|" * 8,
        ]  # fmt: skip
        for name, x in part["rows"].items():
            mm, loss_ = (f"{v[0]:.3g} ({v[1]:.3g} to {v[2]:.3g})" for v in (x["mpjpe_g_mm"], x["loss"]))
            step = "–" if x["step_ms"] is None else f"{x['step_ms']:.1f}"
            seeds, whole = (", ".join(f"{v:.3g}" for v in x.get(k, ())) or "–" for k in ("of_seeds_mm", "unstopped_mm"))
            cells = (name, mm, seeds, whole, str(PAPER[name]), loss_, str(x["evaluations"]), f"{x['weights']:,}", step)
            lines.append(f"| {' | '.join(cells)} |")
        by = {"mpjpe_g_mm": "MPJPE-G", "loss": "the loss"}[part["ordered_by"]]
        lines += ["", f"| MPJPE-G, one over the next | measured, paired | paper's | in order, by {by} |",
                  "|---|---:|---:|---|"]  # fmt: skip
        for pair, (ratio, low, high) in part["ratios"].items():
            better, worse = pair.split(" < ")
            cells = (f"{better} / {worse}", f"{ratio:.3f} ({low:.3f} to {high:.3f})",
                     f"{PAPER[better] / PAPER[worse]:.3f}", "yes" if part["order"][pair] else "no")  # fmt: skip
            lines.append(f"| {' | '.join(cells)} |")
        if part["missing"]:
            lines += ["", f"Not trained on this loss: {', '.join(part['missing'])}."]
        lines.append("")
    return lines
