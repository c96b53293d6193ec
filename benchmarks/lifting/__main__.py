"""The lifting model under both protocols, on film and live: ``python -m benchmarks.lifting --json``.

Four parts. *paper*: pixel alignment error under the diffusion paper's protocol at w = 0, 0.5 and 2, beside the MLP.
*wild*: K samples of people before any camera with a detector's noise: errors, best of K, plausibility, diversity,
calibration. *synthetic*: rendered video through the whole pipeline, beside MediaPipe's own 3D. *live*: the live sampler
against DDIM with 50 steps. Every fifth frame of every test clip; ``--quick`` takes 256 of these, drawn from a seed with
each clip's share, and some of the films: at most ten minutes on two cores. ``--json`` ends with one JSON line. Writes a
dated page with plots to ``benchmarks/results``.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from benchmarks.lifting.baselines import MLP, Baseline, load_baselines
from benchmarks.lifting.lifting_page import FULL_RUN, REMARKS, page, page_head
from benchmarks.page.command import benchmark_parser, clips_option, end_with_json, shared_options
from benchmarks.page.report import REPOSITORY, RESULTS, Page, commit, hardware, mocap_file, page_arguments, today
from benchmarks.page.targets import load_full_run, load_remarks, save_full_run
from diffmocap.body.model import BodyModel
from diffmocap.evaluation.joint_errors import pa_mpjpe_mm
from diffmocap.evaluation.paper_protocol import evaluate_paper_protocol, paper_view
from diffmocap.evaluation.pose_frames import PoseFrames
from diffmocap.evaluation.wild_protocol import evaluate_wild_protocol
from diffmocap.evaluation.wild_scores import WildFigures
from diffmocap.lifting.network.weights import load_weights, weights_file
from diffmocap.resources import sha256_of

PARTS = ("paper", "wild", "synthetic", "live")
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
#: Kinds of poses in the pose grid.
GRID_ROWS = 6


def progress(total: int, text: str) -> tqdm:
    """A bar on stderr that counts frames."""
    return tqdm(total=total, unit="frame", desc=text, file=sys.stderr, dynamic_ncols=True)


def paper_figures(model, body: BodyModel, frames: PoseFrames, steps: int, seed: int, text: str) -> dict:
    """Figures of the paper's protocol, each keyed by guidance weight."""
    keys = ("pixel_error", "pixel_error_standard_error", "mpjpe_mm", "pa_mpjpe_mm")
    out: dict = {key: {} for key in keys} | {"frames": len(frames)}
    origin = torch.zeros(len(frames), 3, device=body.device)
    truth = paper_view(body, frames.rotations.to(body.device))[0]
    joints = body.forward_kinematics(truth, origin)[1].cpu().numpy()
    for w in GUIDANCE:
        with progress(len(frames), f"{text}, w = {w}") as bar:
            result = evaluate_paper_protocol(
                model, body, frames.rotations, w, steps, seed, batch=64, progress=bar.update
            )
        found = body.forward_kinematics(result.rotations.to(body.device), origin)[1].cpu().numpy()
        deviation = result.pixel_error.std() if len(frames) > 1 else torch.tensor(0.0)
        values = (
            round(float(result.pixel_error.mean()), 5), round(float(deviation / len(frames) ** 0.5), 5),
            round(1e3 * float(result.mpjpe_m.mean()), 1), round(pa_mpjpe_mm(found, joints), 1),
        )  # fmt: skip
        for key, value in zip(keys, values, strict=True):
            out[key][f"{w:.1f}"] = value
    return out


def wild_samples(
    model, body: BodyModel, frames: PoseFrames, samples: int, guidance: float, steps: int, seed: int
) -> WildFigures:
    """The wild protocol with one guidance weight."""
    with progress(len(frames), f"wild protocol, {samples} samples, w = {guidance:g}") as bar:
        result = evaluate_wild_protocol(
            model, body, frames.rotations, samples, guidance, steps, seed, frames.numbers, progress=bar.update
        )
    return WildFigures(result)


def wild_figures(wild: WildFigures, guidance: float, beside: dict[float, WildFigures]) -> dict:
    """Plain values of the wild protocol, and what other guidance weights give."""
    everything = np.ones(len(wild.result), bool)
    figures = wild.of(everything) | wild.calibration() | {"guidance": guidance}
    by_guidance = {
        f"{w:.1f}": f.of(everything) | f.calibration() | {"by_stratum": f.by_stratum()}
        for w, f in sorted(beside.items())
    }
    return figures | {
        "best_of_mpjpe_mm": wild.best_of(), "by_stratum": wild.by_stratum(), "by_guidance": by_guidance
    }  # fmt: skip


def synthetic_figures(weights: str | None, mocap: Path, films: Path, quick: bool, device: str) -> dict:
    """Errors on synthetic video, whole pipeline, over all films and by film."""
    from benchmarks.synthetic.scenes import SCENES
    from benchmarks.synthetic.synthetic_video import film_figures
    from diffmocap.pipeline import PosePipeline

    scenes = [s for s in SCENES if not quick or (s.piece.clip, s.view.yaw_deg) in QUICK_FILMS]
    figures, by_film = film_figures(scenes, mocap, films, PosePipeline.load(weights, device=device))
    return figures | {"by_film": by_film}


def measure_baseline(name: str, args: argparse.Namespace, frames: PoseFrames, data: Path) -> Baseline:
    """A network's figures over all frames and over the quick run's."""
    model, body = load_weights(args.weights, args.device), BodyModel.load(device=args.device)
    parameters = sum(p.numel() for p in model.parameters())
    kind = model.config.parameterisation
    subset = frames.stratified(QUICK_FRAMES, QUICK_SEED)
    full, quick = (
        paper_figures(model, body, part, args.steps, args.seed, f"{name}, {len(part)} frames")
        for part in (frames, subset)
    )
    return Baseline(
        name, args.label or f"{name}, {parameters / 1e6:.1f}M, predicts {kind}", parameters, kind,
        sha256_of(weights_file(args.weights)), commit(), command(), today(),
        hardware(args.device), data.name, full, quick,
    )  # fmt: skip


def headline(parts: dict, baselines: Sequence[Baseline], quick: bool) -> dict:
    """The figures that the JSON line names; None where a part was not run."""
    paper, wild, synthetic, live = (parts.get(p) or {} for p in PARTS)
    mlp = parts.get(MLP) or next((b.figures(quick) for b in baselines if b.name == MLP), {})
    return {
        "pixel_error": paper.get("pixel_error"),
        "pixel_error_mlp": mlp.get("pixel_error"),
        "wild_mpjpe_mm": wild.get("mpjpe_mm"),
        "wild_pa_mpjpe_mm": wild.get("by_stratum", {}).get("whole", {}).get("pa_mpjpe_mm"),
        "wild_best_of_10_mpjpe_mm": wild.get("best_of_10_mpjpe_mm"),
        "synthetic_pa_mpjpe_mm": synthetic.get("pa_mpjpe_mm"),
        "synthetic_baseline_pa_mpjpe_mm": synthetic.get("baseline_pa_mpjpe_mm"),
        "spread_error_rank_correlation": wild.get("spread_error_rank_correlation"),
        "live_ms": live.get("live_ms"),
        "ddim50_ms": live.get("ddim50_ms"),
        "mean_error_ratio": live.get("mean_error_ratio"),
        "sample_error_ratio": live.get("sample_error_ratio"),
    }


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
        parts["paper"] = paper_figures(model, body, frames, args.steps, args.seed, "paper protocol")
        if args.mlp_weights:
            mlp = load_weights(args.mlp_weights, args.device)
            parts[MLP] = paper_figures(mlp, body, frames, args.steps, args.seed, "paper protocol, MLP")
    if "wild" in args.parts:

        def samples(count: int, w: float) -> WildFigures:
            return wild_samples(model, body, frames, count, w, args.wild_steps, args.seed)

        w = args.wild_guidance
        wild = samples(SAMPLES, w)
        beside = {} if args.quick else {other: samples(SAMPLES_BESIDE, other) for other in GUIDANCE if other != w}
        parts["wild"] = wild_figures(wild, w, beside)
    if "synthetic" in args.parts:
        parts["synthetic"] = synthetic_figures(args.weights, data, args.films, args.quick, args.device)
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
