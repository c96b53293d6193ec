"""The lifting model under its protocols, on film and live: ``python -m benchmarks.lifting --json``.

Seven parts. *paper*: pixel alignment error under the diffusion paper's protocol at w = 0, 0.5 and 2, beside the MLP.
*wild*: K samples of people before any camera with a detector's noise: errors, best of K, plausibility, diversity,
calibration, and people who lie or stand on their hands. *exact*: how near poses come where the keypoints are exact.
*made*: the same for poses beyond the motion capture. *real*: a real clip with ground truth, whole pipeline, beside
MediaPipe's own 3D. *synthetic*: the same on rendered video. *live*: the live sampler against DDIM with 50 steps. Every
fifth frame of every test clip for the first two; ``--quick`` takes 256 of these, drawn from a seed with each clip's
share, and some of the films: at most ten minutes on two cores. ``--json`` ends with one JSON line, which lacks the
figures of the real clip where there is none. Writes a dated page with plots to ``benchmarks/results``.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.lifting.baselines import MLP, Baseline, load_baselines
from benchmarks.lifting.lifting_page import FULL_RUN, REMARKS, page, page_head
from benchmarks.lifting.parts import (
    TURNS_DEG,
    exact_part,
    made_part,
    paper_figures,
    real_part,
    synthetic_figures,
    wild_figures,
    wild_samples,
)
from benchmarks.page.command import benchmark_parser, clips_option, end_with_json, shared_options
from benchmarks.page.report import REPOSITORY, RESULTS, Page, commit, hardware, mocap_file, page_arguments, today
from benchmarks.page.targets import load_full_run, load_remarks, save_full_run
from benchmarks.protocols.exact_input import FRAMES as EXACT_FRAMES
from benchmarks.synthetic.scenes import SCENES, Scene
from diffmocap.body.model import BodyModel
from diffmocap.evaluation.pose_frames import PoseFrames
from diffmocap.evaluation.wild_protocol import DEFAULT_VIEWS
from diffmocap.evaluation.wild_scores import WildFigures
from diffmocap.evaluation.wild_views import WildConfig
from diffmocap.lifting.lifter import Lifter
from diffmocap.lifting.network.weights import load_weights, weights_file
from diffmocap.resources import sha256_of

PARTS = ("paper", "wild", "exact", "made", "real", "synthetic", "live")
#: Weights of classifier-free guidance in the paper's table.
GUIDANCE = (0.0, 0.5, 2.0)
QUICK_FRAMES, QUICK_SEED = 256, 0
#: Films of a quick run: every test subject that is filmed, from the front, the sides and behind.
QUICK_FILMS = (
    ("38_01", 25), ("127_02.0", 40), ("17_03", 20), ("17_10.0", -60), ("94_04.0", 160), ("94_13", -70),
)  # fmt: skip
#: Samples a frame in the wild protocol; fewer make the spread itself uncertain. With the other guidance weights: fewer.
SAMPLES, SAMPLES_BESIDE = 20, 10
#: Guidance of the wild protocol's samples, chosen on the validation split.
WILD_GUIDANCE = 2.0
#: Frames of the exact protocol of a quick run, and those that inverse kinematics solves, a second each and case.
QUICK_EXACT_FRAMES = 120
SOLVED, QUICK_SOLVED = 24, 4
#: Kinds of poses in the pose grid.
GRID_ROWS = 6


def films(quick: bool) -> list[Scene]:
    """The scenes that are filmed."""
    return [s for s in SCENES if not quick or (s.piece.clip, s.view.yaw_deg) in QUICK_FILMS]


def measure_baseline(name: str, args: argparse.Namespace, frames: PoseFrames, data: Path) -> Baseline:
    """A network's figures over all frames and over the quick run's."""
    model, body = load_weights(args.weights, args.device), BodyModel.load(device=args.device)
    parameters = sum(p.numel() for p in model.parameters())
    kind = model.config.parameterisation
    subset = frames.stratified(QUICK_FRAMES, QUICK_SEED)
    full, quick = (
        paper_figures(model, body, part, GUIDANCE, args.steps, args.seed, f"{name}, {len(part)} frames")
        for part in (frames, subset)
    )
    return Baseline(
        name, args.label or f"{name}, {parameters / 1e6:.1f}M, predicts {kind}", parameters, kind,
        sha256_of(weights_file(args.weights)), commit(), command(), today(),
        hardware(args.device), data.name, full, quick,
    )  # fmt: skip


def headline(parts: dict, baselines: Sequence[Baseline], quick: bool) -> dict:
    """The figures that the JSON line names; None where a part was not run."""
    paper, wild, exact, made, real, synthetic, live = (parts.get(p) or {} for p in PARTS)
    lifted = exact.get("lifted", {})
    mlp = parts.get(MLP) or next((b.figures(quick) for b in baselines if b.name == MLP), {})
    return {
        "pixel_error": paper.get("pixel_error"),
        "pixel_error_mlp": mlp.get("pixel_error"),
        "wild_mpjpe_mm": wild.get("mpjpe_mm"),
        "wild_pa_mpjpe_mm": wild.get("by_stratum", {}).get("whole", {}).get("pa_mpjpe_mm"),
        "wild_best_of_10_mpjpe_mm": wild.get("best_of_10_mpjpe_mm"),
        "exact_pa_mpjpe_mm": lifted.get("exact", {}).get("pa_mpjpe_mm"),
        "exact_depth_pa_mpjpe_mm": lifted.get("exact_depth", {}).get("pa_mpjpe_mm"),
        "made_poses_pa_mpjpe_mm": made.get("made_poses_pa_mpjpe_mm"),
        **real_headline(real),
        "synthetic_pa_mpjpe_mm": synthetic.get("pa_mpjpe_mm"),
        "synthetic_baseline_pa_mpjpe_mm": synthetic.get("baseline_pa_mpjpe_mm"),
        "spread_error_rank_correlation": wild.get("spread_error_rank_correlation"),
        "live_ms": live.get("live_ms"),
        "ddim50_ms": live.get("ddim50_ms"),
        "mean_error_ratio": live.get("mean_error_ratio"),
        "sample_error_ratio": live.get("sample_error_ratio"),
    }


def real_headline(real: dict) -> dict[str, float]:
    """Means of the four views; nothing where the clip was missing."""
    if not real:
        return {}
    ours, theirs = real["lifted"]["mean"], real["mediapipe"]["mean"]
    return {
        "real_pa_mpjpe_mm": ours["pa_mpjpe_mm"], "real_mpjpe_mm": ours["mpjpe_mm"],
        "real_baseline_pa_mpjpe_mm": theirs["pa_mpjpe_mm"],
    }  # fmt: skip


def run(args: argparse.Namespace) -> dict:
    """Measures and writes the page; returns the figures of the JSON line."""
    data = mocap_file("test", args.data)
    every = PoseFrames.load(data, args.every)
    if args.baseline:
        found = measure_baseline(args.baseline, args, every, data)
        print(f"wrote {found.save()}")
        return {"pixel_error": found.full["pixel_error"], "frames": found.full["frames"]}
    frames = every.stratified(args.frames or (QUICK_FRAMES if args.quick else len(every)), QUICK_SEED)
    subset = len(frames) if len(frames) < len(every) else None
    if subset:
        clips = len(set(frames.clip))
        print(f"subset: {subset} of {len(every)} frames, stratified over {clips} clips, seed {QUICK_SEED}")
    model, body = load_weights(args.weights, args.device), BodyModel.load(device=args.device)
    parts, wild = {}, None
    if "paper" in args.parts:
        parts["paper"] = paper_figures(model, body, frames, GUIDANCE, args.steps, args.seed, "paper protocol")
        if args.mlp_weights:
            mlp = load_weights(args.mlp_weights, args.device)
            parts[MLP] = paper_figures(mlp, body, frames, GUIDANCE, args.steps, args.seed, "paper, MLP")
    if "wild" in args.parts:

        def samples(count: int, w: float, config: WildConfig = DEFAULT_VIEWS) -> WildFigures:
            return wild_samples(model, body, frames, count, w, args.wild_steps, args.seed, config)

        w = args.wild_guidance
        wild = samples(SAMPLES, w)
        beside = {} if args.quick else {other: samples(SAMPLES_BESIDE, other) for other in GUIDANCE if other != w}
        turned = {angle: samples(1, w, WildConfig(turned_deg=angle)) for angle in TURNS_DEG}
        parts["wild"] = wild_figures(wild, w, beside, turned)
    lifter = Lifter(model, body)
    if "exact" in args.parts:
        count = args.frames or (QUICK_EXACT_FRAMES if args.quick else EXACT_FRAMES)
        parts["exact"] = exact_part(lifter, data, count, QUICK_SOLVED if args.quick else SOLVED)
    if "made" in args.parts:
        parts["made"] = made_part(lifter)
    if "real" in args.parts and (real := real_part(lifter)) is not None:
        parts["real"] = real
    if "synthetic" in args.parts:
        parts["synthetic"] = synthetic_figures(args.weights, data, args.films, films(args.quick), args.device)
    if "live" in args.parts:
        from benchmarks.lifting.live_sampling import live_figures

        parts["live"] = live_figures(args.weights, args.data)
    baselines = [b for b in load_baselines() if not (MLP in parts and b.name == MLP)]
    figures = headline(parts, baselines, args.quick) | {
        "subset": subset, "frames": len(frames), "weights_sha256": sha256_of(weights_file(args.weights)),
        "parameters": sum(p.numel() for p in model.parameters()), "parameterisation": model.config.parameterisation,
        "commit": commit(), "details": parts,
    }  # fmt: skip
    if not args.no_page:
        written = Page.of_today(f"lifting{'-quick' if args.quick else ''}", RESULTS)
        images = draw(figures, baselines, wild, model, body, frames, args, written)
        head = page_head(figures, data.name, len(every), args.device)
        full = load_full_run(FULL_RUN) if subset else None
        steps = args.steps, args.wild_steps
        text = page(figures, head, baselines, full, steps, args.quick, images, load_remarks(REMARKS))
        print(f"wrote {written.write(text)}")
        if not subset and set(args.parts) == set(PARTS):
            save_full_run(FULL_RUN, figures, command(), args.device)
    return figures


def draw(
    figures: dict, baselines: Sequence[Baseline], wild: WildFigures | None, model, body: BodyModel, frames: PoseFrames,
    args: argparse.Namespace, page: Page,
) -> dict[str, str]:  # fmt: skip
    """The page's pictures, written beside it; their file names."""
    from benchmarks.lifting.figures import best_of_plot, calibration_plot, guidance_plot, wild_plot
    from benchmarks.lifting.pose_grid import draw_grid, varied_frames

    def path(picture: str) -> Path:
        return page.beside(f"-{picture}.png")

    found = []
    if figures["pixel_error"]:
        curves = {f"these weights, {figures['parameters'] / 1e6:.1f}M": figures["pixel_error"]}
        if MLP in figures["details"]:
            curves["MLP, this run"] = figures["details"][MLP]["pixel_error"]
        curves |= {b.label: b.figures(args.quick)["pixel_error"] for b in baselines}
        found.append(guidance_plot(curves, path("guidance")))
        chosen = varied_frames(frames, body, GRID_ROWS)
        found.append(draw_grid(model, body, chosen, GUIDANCE, args.steps, args.seed, path("poses")))
    if wild is not None:
        found += [wild_plot(wild, path("wild")), best_of_plot(wild, path("best-of"))]
        found.append(calibration_plot(wild, path("calibration")))
    return {p.stem.removeprefix(f"{page.name}-").replace("-", "_"): p.name for p in found}


def command() -> str:
    """As it was typed."""
    return f"python -m benchmarks.lifting {shlex.join(sys.argv[1:])}"


def main() -> None:
    parser = benchmark_parser(__doc__)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_FRAMES} frames, some films: at most ten minutes")
    parser.add_argument("--parts", default=",".join(PARTS), help=f"which to run, of {', '.join(PARTS)} (default: all)")
    clips_option(parser, "test", what="clips to test on")
    shared_options(parser, "weights")
    parser.add_argument("--mlp-weights", metavar="FILE", help="measure this MLP instead of taking committed figures")
    parser.add_argument("--baseline", metavar="NAME", help="measure --weights as a baseline and commit its figures")
    parser.add_argument("--label", help="what plots call the baseline")
    shared_options(parser, "every")
    parser.add_argument("--frames", type=int, default=0, help="subset of so many frames (default: all, or --quick's)")
    parser.add_argument("--steps", type=int, default=50, help="DDIM steps of the paper's protocol (default 50)")
    parser.add_argument("--wild-steps", type=int, default=10, help="DDIM steps of the wild protocol (default 10)")
    parser.add_argument(
        "--wild-guidance",
        type=float,
        default=WILD_GUIDANCE,
        metavar="W",
        help="guidance weight of the wild protocol (default %(default)g)",
    )
    parser.add_argument("--films", type=Path, default=REPOSITORY / ".cache" / "synthetic", help="folder of the films")
    shared_options(parser, "seed", "device", "json", "no_page")
    args = page_arguments(parser)
    args.parts = args.parts.split(",")
    if unknown := set(args.parts) - set(PARTS):
        raise SystemExit(f"--parts {','.join(sorted(unknown))} is unknown; expected some of {', '.join(PARTS)}")
    figures = run(args)
    end_with_json(args, figures)


if __name__ == "__main__":
    main()
