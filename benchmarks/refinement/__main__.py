"""What the physics refinement brings, and which solver brings it: ``python -m benchmarks.refinement --json``.

Three parts. *window*: test motions before a camera, noisy keypoints, the shipped lifting; its poses before and after
the refinement and beside two filters, judged by independent inverse dynamics, and every solver on the window loss.
*diffphy*: controls of a simulated body that follows motion capture, every solver from the same start, and PyBullet as
a judge of 3 s clips. *ablations*: the paper's table 4 on both losses.

``--quick`` measures a fixed, seeded subset in at most ten minutes of two idle cores, printed as ``subset``, with the
last full run's figures beside. A full run takes hours; what it has measured is kept (as long as code and weights stay),
so one that was ended goes on where it was, and parts can be run one by one. ``--json`` ends with one JSON line. Writes
a dated page with plots to ``benchmarks/results``.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
from dataclasses import replace
from pathlib import Path

import torch
from tqdm import tqdm

from benchmarks.page.command import benchmark_parser, end_with_json, shared_options
from benchmarks.page.report import REPOSITORY, RESULTS, Page, commit, page_arguments, provenance
from benchmarks.page.targets import load_full_run, load_remarks, save_full_run
from benchmarks.refinement import plots
from benchmarks.refinement.ablations import ablation_part
from benchmarks.refinement.cache import FOLDER, Cache
from benchmarks.refinement.page import FULL_RUN, REMARKS, page
from benchmarks.refinement.parts import DOMAINS, Bench, diffphy_part, window_part
from benchmarks.refinement.scores import BFGS
from benchmarks.refinement.settings import FULL, LOSSES, QUICK, SMALLEST, SOLVERS, USUAL, Settings
from benchmarks.refinement.solvers import OPTIMUS

PARTS = ("window", "diffphy", "ablations")
#: What is in the plots alone, not in the record of a full run.
DRAWN = ("curves", "timed_curves")
#: Of motions, in the JSON line.
FIGURES = ("mpjpe_mm", "tv", "foot_skate_pct", "root_residual")


def run(args: argparse.Namespace) -> dict:
    """Measures and writes the page; returns the figures of the JSON line, with ``details``."""
    amounts = SMALLEST if args.smallest else QUICK if args.quick else FULL
    if args.evaluations:
        amounts = {loss: replace(a, cap=args.evaluations) for loss, a in amounts.items()}
    args.parts = args.parts or [part for part in PARTS if not args.quick or part != "ablations"]
    solvers = tuple(name for name in SOLVERS if name in {BFGS, args.after, *args.solvers})
    long_s = 1.2 if args.smallest else 3.0
    settings = Settings(amounts, args.weights, args.data, solvers, args.after, args.seed, long_s)
    subset = {"quick": bool(args.quick or args.smallest), "parts": args.parts, "seed": args.seed,
              "amounts": {k: vars(a) for k, a in amounts.items()}}  # fmt: skip
    print(f"subset: {json.dumps(subset)}", flush=True)
    # A quick run is for measuring this code and these weights now, so it takes nothing from earlier ones.
    bench = Bench.of(settings, Cache.of_this_code(args.keep or not subset["quick"], args.cache))
    details: dict = {}
    work = [("window", lambda: window_part(bench)), ("diffphy", lambda: diffphy_part(bench)),
            ("ablations", lambda: {loss: ablation_part(bench, loss, args.ablation_weights or [args.weights])
                                   for loss in LOSSES})]  # fmt: skip
    for name, measure in tqdm([w for w in work if w[0] in args.parts], desc="parts", file=sys.stderr):
        begin = time.perf_counter()
        details[name] = measure()
        print(f"{name}: {time.perf_counter() - begin:.0f} s", flush=True)
    origins = taken_over(details) if args.complete else {}
    for origin in dict.fromkeys(origins.values()):
        parts = ", ".join(part for part, of in origins.items() if of == origin)
        settings.notes.append(f"{parts}: not run again, taken over from the full run of {origin}")
    figures = headline(details) | {"subset": subset, "commit": commit(), "details": details, "origins": origins,
                                   "notes": sorted(set(settings.notes))}  # fmt: skip
    if not args.no_page:
        write_page(figures, args)
    return figures


def taken_over(details: dict) -> dict[str, str]:
    """Adds the parts that were not run from the last full record; returns for each which run measured it.

    Raises:
        SystemExit: there is no record of one.
    """
    full = load_full_run(FULL_RUN)
    if full is None:
        raise SystemExit(f"--complete takes parts from {FULL_RUN}, which is not there: run all parts")
    missing = [part for part in PARTS if part not in details]
    details |= {part: full["figures"]["details"][part] for part in missing}
    origin = f"{full['date']}, commit `{full['commit']}`, {full['hardware']}"
    before = full["figures"].get("origins", {})  # of parts that the record took over itself
    return {part: before.get(part, origin) for part in missing}


def headline(details: dict) -> dict:
    """The figures of the JSON line; None where a part was not run."""
    found: dict = {loss: part_figures(details[loss]) if loss in details else None for loss in LOSSES}
    window = found["window"] or {}
    found |= {key: window.get(key) for key in ("one_euro", "kalman", "loss_ms_32")}
    if "ablations" in details:
        found["ablations"] = {loss: {name: row["mpjpe_g_mm"][0] for name, row in part["rows"].items()}
                              for loss, part in details["ablations"].items()}  # fmt: skip
    return found


def part_figures(part: dict) -> dict:
    """Of a loss: ratios in domain, MPJPE-G by domain, motions before and after and beside filters, the loss's time."""
    race = part["race"].get("in_domain") or next(iter(part["race"].values()))
    seconds = part["pybullet"].get("seconds", {})

    def motion(name: str, key: str | None = None) -> dict | None:
        if name not in part["figures"]["all"]:
            return None
        of = {k: part["figures"]["all"][name][k][0] for k in FIGURES}
        return of | {"pybullet_seconds": seconds[key][0] if key in seconds else None}

    return {
        "evals_to_bfgs_loss": {k: round(v["evaluations_ratio"], 4) for k, v in race.items()},
        "seconds_to_bfgs_loss": {k: round(v["seconds_ratio"], 4) for k, v in race.items() if "seconds_ratio" in v},
        **{f"mpjpe_g_{domain}_mm": {k: v[0] for k, v in part["mpjpe_g_mm"].get(domain, {}).items()}
           for domain in DOMAINS},
        "before": motion("before", "before"), "after": motion(part["after_by"], "after"),
        "one_euro": motion("one_euro", "one_euro"), "kalman": motion("kalman", "kalman"),
        # The slower of start and solution, with the better number of threads.
        "loss_ms_32": max(min(median for median, _ in of.values()) for of in part["loss_ms_32"].values()),
    }  # fmt: skip


def write_page(figures: dict, args: argparse.Namespace) -> None:
    """The page and its plots, and of a full run the record that stands beside quick ones."""
    quick, details = figures["subset"]["quick"], figures["details"]
    complete = not quick and not args.evaluations and set(details) == set(PARTS) and set(args.solvers) >= set(USUAL)
    written = Page.of_today(f"refinement{'-quick' if quick else ''}", args.out)
    images = {}
    for loss in LOSSES:
        if "curves" in details.get(loss, {}):
            path = written.beside(f"-{loss}.png")
            images[f"{loss}-convergence"] = plots.convergence_plot(details[loss], path).name
        elif loss in details:  # taken over, and so is its plot
            images[f"{loss}-convergence"] = f"{load_full_run(FULL_RUN)['date']}-refinement-{loss}.png"
    if "window" in details:
        of = details["window"]["figures"]["all"], details["window"]["after_by"]
        images["window-trade"] = plots.trade_plot(*of, written.beside("-trade.png")).name
    data = "CMU motion capture, validation and test files" + (f" in `{args.data}`" if args.data else "")
    head = provenance("benchmarks.refinement", data) + [f"- subset: `{json.dumps(figures['subset'])}`"]
    head += [f"- note: {note}" for note in figures["notes"]]
    full = None if complete else load_full_run(FULL_RUN)
    text = page(figures, head, full, images, load_remarks(REMARKS))
    print(f"wrote {written.write(text)}")
    if complete and args.out == RESULTS:
        kept = {part: {k: v for k, v in of.items() if k not in DRAWN} for part, of in details.items()}
        command = f"python -m benchmarks.refinement {shlex.join(sys.argv[1:])}"
        save_full_run(FULL_RUN, figures | {"details": kept}, command)


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    p = benchmark_parser(__doc__)
    p.add_argument("--quick", action="store_true", help="a fixed subset: at most ten minutes on two idle cores")
    p.add_argument("--smallest", action="store_true", help="a minute or two, to see that everything runs")
    shared_options(p, "json")
    p.add_argument("--parts", nargs="+", choices=PARTS,
                   help="which to run (default: all; a quick run: no ablations)")  # fmt: skip
    p.add_argument("--complete", action="store_true",
                   help="take the parts that are not run from the last full run; the page says so")  # fmt: skip
    p.add_argument("--solvers", nargs="+", choices=SOLVERS, default=list(USUAL), metavar="SOLVER",
                   help=f"of {', '.join(SOLVERS)}; {BFGS} is always there (default: all but momentum)")  # fmt: skip
    p.add_argument("--after", choices=SOLVERS, default=OPTIMUS, metavar="SOLVER",
                   help="whose motions are called after, and drive PyBullet (default %(default)s)")  # fmt: skip
    p.add_argument("--evaluations", type=int, default=0, help="cap of every run (default: the subset's)")
    p.add_argument("--weights", type=Path, default=REPOSITORY / "models", metavar="FOLDER",
                   help="of learned optimizers (default: models)")  # fmt: skip
    p.add_argument("--ablation-weights", type=Path, nargs="+", metavar="FOLDER",
                   help="of table 4's variants, trained for equally many steps, a folder a seed (default: as "
                        "--weights)")  # fmt: skip
    p.add_argument("--data", type=Path, metavar="FOLDER",
                   help="of cmu_smpl30_{train,val,test}.npz (default: DIFFMOCAP_DATA)")  # fmt: skip
    p.add_argument("--seed", type=int, default=0, help="of motions, cameras and noise (default %(default)s)")
    p.add_argument("--keep", action="store_true", help="let a quick run keep and take results, too")
    p.add_argument("--cache", type=Path, default=FOLDER, help="where results are kept (default %(default)s)")
    shared_options(p, "out", "no_page")
    return p


def main(arguments: list[str] | None = None) -> None:
    args = page_arguments(parser(), arguments)
    torch.set_num_threads(1)
    figures = run(args)
    end_with_json(args, {k: v for k, v in figures.items() if k != "details"})


if __name__ == "__main__":
    main()
