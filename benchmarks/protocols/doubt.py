"""Does the lifting know what it does not know: ``python -m benchmarks.doubt --weights W --split val``.

K samples per frame of the wild protocol (:mod:`diffmocap.evaluation.wild_protocol`), drawn as the product draws its
hypotheses (:meth:`Lifter.sample <diffmocap.lifting.lifter.Lifter.sample>`) but all with the whole noise; ``--model``:
by the network alone, as on the page of ``benchmarks.lifting``. Spearman's rank correlation over the frames within a
joint, of spread and error; coverage of the regions that should hold 50 and 90 % of the truths; both also over the limb
joints that are not seen; best of 8 and of 10 against a single sample. ``--json`` ends with one JSON line.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from itertools import count

import numpy as np
import torch
from tqdm import tqdm

from benchmarks.page.command import benchmark_parser, clips_option, end_with_json, shared_options
from benchmarks.page.report import mocap_file
from benchmarks.protocols.exact_input import draw_frames
from diffmocap.evaluation.pose_frames import PoseFrames
from diffmocap.evaluation.wild_protocol import evaluate_wild_protocol
from diffmocap.evaluation.wild_scores import WildFigures
from diffmocap.lifting.lifter import Lifter
from diffmocap.lifting.network.condition import Condition
from diffmocap.lifting.settings import LiftingSettings

FRAMES, SAMPLES = 240, 10
#: Best of so many samples is told where there are as many.
BEST_OF = (8, 10)


def doubt_figures(
    lifter: Lifter, frames: PoseFrames, samples: int = SAMPLES, guidance: float = 2.0, steps: int = 10, seed: int = 0,
    model_alone: bool = False,
) -> dict:  # fmt: skip
    """Errors of single samples and of the best, and the calibration (:meth:`WildFigures.calibration`)."""
    # The lifter's noise goes on from call to call; seeded anew for each batch it does not depend on earlier calls.
    settings = LiftingSettings(guidance=guidance, steps=steps, temperature=1.0, fresh_noise=False)
    batches = count(seed << 16)

    def sample(condition: Condition, k: int) -> torch.Tensor:
        return lifter.sample(condition, replace(settings, hypotheses=k, seed=next(batches)))

    with tqdm(total=len(frames), unit="frame", desc="doubt", file=sys.stderr, dynamic_ncols=True) as bar:
        result = evaluate_wild_protocol(
            lifter.model, lifter.body, frames.rotations, samples, guidance, steps, seed, frames.numbers,
            progress=bar.update, sample=None if model_alone else sample,
        )  # fmt: skip
    wild = WildFigures(result)
    best = wild.best_of()
    whole = wild.by_stratum().get("whole", {})
    return {
        "frames": len(frames), "samples": samples, "mpjpe_mm": wild.of(np.ones(len(frames), bool))["mpjpe_mm"],
        "whole_pa_mpjpe_mm": whole.get("pa_mpjpe_mm"),
        **{f"best_of_{k}_mpjpe_mm": best[k - 1] for k in BEST_OF if k <= len(best)},
        **wild.calibration(),
    }  # fmt: skip


def lines(figures: dict) -> list[str]:
    """The figures in words."""
    single, unseen = figures["mpjpe_mm"], figures["unseen"]
    best = [(k, figures[f"best_of_{k}_mpjpe_mm"]) for k in BEST_OF if f"best_of_{k}_mpjpe_mm" in figures]

    def regions(coverage: dict) -> str:
        parts = (f"{100 * inside:.1f} % in the region of {p} %" for p, inside in coverage.items() if inside is not None)
        return ", ".join(parts) or "not defined"

    def rho(value: float | None) -> str:
        return "not defined" if value is None else f"{value:.3f}"

    return [
        f"single sample: MPJPE {single:.1f} mm; "
        + "; ".join(f"best of {k}: {mm:.1f} mm, {100 * (1 - mm / single):.1f} % lower" for k, mm in best),
        f"Spearman of spread and error: {rho(figures['spread_error_rank_correlation'])}; of joints that are not seen: "
        f"{rho(unseen['spread_error_rank_correlation'])}",
        f"truths: {regions(figures['coverage'])}; of joints that are not seen: {regions(unseen['coverage'])}",
    ]


def main() -> None:
    """Command line."""
    parser = benchmark_parser(__doc__)
    shared_options(parser, "weights")
    parser.add_argument("--split", choices=("val", "test"), default="val", help="which clips (default %(default)s)")
    clips_option(parser, "val")
    parser.add_argument("--frames", type=int, default=FRAMES, help="frames of the split (default %(default)s)")
    parser.add_argument("--samples", type=int, default=SAMPLES, metavar="K", help="of a frame (default %(default)s)")
    parser.add_argument("--guidance", type=float, default=2.0, metavar="W", help="guidance weight (default 2)")
    parser.add_argument("--steps", type=int, default=10, help="sampler steps (default %(default)s)")
    parser.add_argument("--model", action="store_true", help="samples of the network alone")
    shared_options(parser, "seed", "json")
    args = parser.parse_args()
    if args.samples < 2:
        raise SystemExit(f"--samples must be at least 2, got {args.samples}: one sample has no spread")
    torch.set_num_threads(1)
    lifter = Lifter.load(args.weights)
    frames = draw_frames(mocap_file(args.split, args.data), args.frames)
    figures = doubt_figures(lifter, frames, args.samples, args.guidance, args.steps, args.seed, args.model)
    print(f"{len(frames)} frames of the {args.split} split, {args.samples} samples each")
    print("\n".join(lines(figures)))
    end_with_json(args, figures)


if __name__ == "__main__":
    main()
