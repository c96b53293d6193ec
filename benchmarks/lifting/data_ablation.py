"""What each part of the data recipe brings: ``python -m benchmarks.data_ablation``.

A tiny transformer is trained on a tenth of the training clips, so that it sees every frame several times as a long run
does, always for the same steps: with no part, with all, with all but one, and with one alone; then measured on the
validation split under both protocols. Runs that are finished are not run again (one JSON file each in ``--runs``), and
an interrupted one continues from its checkpoint. Writes a dated page with a plot and the raw figures to
``benchmarks/results`` from the runs there are; ``--page-only`` trains nothing.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from dataclasses import replace
from pathlib import Path

import torch
from tqdm import tqdm

from benchmarks.page.command import benchmark_parser, clips_option, shared_options
from benchmarks.page.report import REPOSITORY, RESULTS, Page, commit, mocap_file, page_arguments, provenance
from diffmocap.body.mocap import load_split
from diffmocap.evaluation.paper_protocol import evaluate_paper_protocol
from diffmocap.evaluation.pose_frames import PoseFrames
from diffmocap.evaluation.wild_protocol import evaluate_wild_protocol
from diffmocap.evaluation.wild_scores import WildFigures
from diffmocap.lifting.network.denoiser import DenoiserConfig
from training.held_out import HELD_OUT_CLIPS
from training.lifting.previous import PreviousConfig
from training.lifting.recipe import Recipe
from training.lifting.trainer import Trainer
from training.motions.poses import PoseAugmentation
from training.views.views import ViewConfig

TINY = DenoiserConfig(width=96, heads=4, feedforward=192, joint_layers=1, keypoint_layers=1, decoder_layers=3)
PARTS = ("cameras", "body shapes", "mirroring", "limb mixing", "joint noise")
#: Name of each variant and the parts that are on. Shapes vary in wild views only: alone they would change nothing.
VARIANTS: dict[str, tuple[str, ...]] = {
    "none": (),
    "all": PARTS,
    **{f"all but {part}": tuple(p for p in PARTS if p != part) for part in PARTS},
    **{f"{part} alone": (part,) for part in PARTS if part != "body shapes"},
}
#: Keys of a run's figures, their headings, and how a value is shown.
MEASURES = {
    "pixel_error": ("paper: pixel error", "{:.4f}"), "mpjpe_mm": ("paper: MPJPE mm", "{:.1f}"),
    "wild_mpjpe_mm": ("wild: MPJPE mm", "{:.1f}"), "wild_pa_mpjpe_mm": ("wild: PA-MPJPE mm", "{:.1f}"),
}  # fmt: skip
CHECKPOINT_STEPS = 200


def recipe(parts: tuple[str, ...], steps: int, batch: int, seed: int) -> Recipe:
    """The recipe with the given parts on; everything else as by default, without the previous pose."""
    poses = PoseAugmentation()
    if "cameras" not in parts:
        poses = replace(poses, captured_heading_share=1.0)
    if "mirroring" not in parts:
        poses = replace(poses, mirror_share=0.0)
    if "limb mixing" not in parts:
        poses = replace(poses, mix_share=0.0, leg_mix_share=0.0, trunk_mix_share=0.0)
    if "joint noise" not in parts:
        poses = replace(poses, joint_noise_share=0.0)
    view = ViewConfig() if "cameras" in parts else ViewConfig(paper_share=1.0)
    if "body shapes" not in parts:
        view = replace(view, beta_std=0.0)
    return Recipe(
        batch=batch, steps=steps, warmup_steps=100, decay_share=0.5, bf16=True, seed=seed, poses=poses, view=view,
        previous=PreviousConfig(share=0.0), model=TINY,
    )  # fmt: skip


def train(variant: str, seed: int, args: argparse.Namespace, frames: tuple, validation: PoseFrames) -> dict:
    """Trains one variant, or finishes it, and measures its averaged weights."""
    out = args.runs / f"{variant.replace(' ', '-')}-{seed}"
    out.mkdir(parents=True, exist_ok=True)
    rotations, clips = frames
    trainer = Trainer(
        recipe(VARIANTS[variant], args.steps, args.batch, seed), rotations, validation.rotations, out, clips=clips
    )
    trainer.resume()
    bar = tqdm(total=args.steps, initial=trainer.step, desc=f"{variant}, seed {seed}", file=sys.stderr, mininterval=5)
    while trainer.step < args.steps:
        began = time.monotonic()
        trainer.train_step()
        trainer.seconds += time.monotonic() - began
        bar.update()
        if trainer.step % CHECKPOINT_STEPS == 0:
            trainer.save()
    bar.close()
    paper = evaluate_paper_protocol(trainer.ema, trainer.body, validation.rotations)
    wild = evaluate_wild_protocol(trainer.ema, trainer.body, validation.rotations, 1, frames=validation.numbers)
    wild = WildFigures(wild).of(torch.ones(len(validation), dtype=torch.bool).numpy())
    return {
        "variant": variant, "seed": seed, "steps": args.steps, "batch": args.batch, "frames": len(rotations),
        "clips": int(clips.max()) + 1, "validation_frames": len(validation), "commit": commit(),
        "pixel_error": round(float(paper.pixel_error.mean()), 5),
        "mpjpe_mm": round(1e3 * float(paper.mpjpe_m.mean()), 2),
        **{f"wild_{key}": round(wild[key], 2) for key in ("mpjpe_mm", "pa_mpjpe_mm")},
    }  # fmt: skip


def by_variant(runs: list[dict]) -> dict[str, dict[str, list[float]]]:
    """Figures over the seeds, keyed by variant and measure."""
    out: dict[str, dict[str, list[float]]] = {}
    for name in VARIANTS:
        rows = [run for run in runs if run["variant"] == name]
        if rows:
            out[name] = {key: [row[key] for row in rows] for key in MEASURES}
    return out


def cell(values: list[float], shown: str) -> str:
    """Mean, and half of the range over the seeds."""
    half = (max(values) - min(values)) / 2
    return shown.format(statistics.mean(values)) + (f" ± {shown.format(half)}" if len(values) > 1 else "")


def plot(figures: dict, path: Path) -> None:
    """Each variant's error over that of the whole recipe."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    names = [name for name in figures if name != "all"]
    figure, axes = plt.subplots(1, 2, figsize=(9, 0.35 * len(names) + 1.2), sharey=True)
    for axis, key in zip(axes, ("pixel_error", "wild_pa_mpjpe_mm")):
        whole = statistics.mean(figures["all"][key])
        for row, name in enumerate(names):
            values = [100 * (value / whole - 1) for value in figures[name][key]]
            axis.barh(row, statistics.mean(values), color="0.7")
            axis.plot(values, [row] * len(values), "k.", markersize=4)
        axis.axvline(0, color="k", linewidth=0.8)
        axis.set(title=MEASURES[key][0], xlabel="more error than with the whole recipe, %")
    axes[0].set_yticks(range(len(names)), names)
    axes[0].invert_yaxis()
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def write_page(runs: list[dict]) -> Path:
    """The page, its plot and the raw figures."""
    page = Page.of_today("data-ablation", RESULTS)
    figures, one = by_variant(runs), runs[0]
    seeds = sorted({run["seed"] for run in runs})
    data = f"train: {one['clips']} clips, {one['frames']} frames; validation: {one['validation_frames']} frames"
    page.beside(".json").write_text(json.dumps(runs, indent=1) + "\n")
    plot(figures, page.beside(".png"))
    lines = [
        "# What each part of the data recipe brings", "",
        *provenance("benchmarks.data_ablation", data),
        f"- training: {one['steps']} steps of {one['batch']} poses, seeds {', '.join(map(str, seeds))}; a transformer "
        f"of width {TINY.width} with 1 + 1 + {TINY.decoder_layers} layers", "",
        "| parts | " + " | ".join(heading for heading, _ in MEASURES.values()) + " |",
        "|---|" + "---:|" * len(MEASURES),
        *[
            f"| {variant} | " + " | ".join(cell(values[key], shown) for key, (_, shown) in MEASURES.items()) + " |"
            for variant, values in figures.items()
        ],
        "", f"![more error than with the whole recipe]({page.name}.png)", "",
        "Validation split, w = 0; ± is half of the range over the seeds. *cameras*: turned about the vertical, any "
        "field of view, distance, place, pitch and roll, truncation, occlusion and a detector's errors; without them "
        "every view is the paper's. *body shapes*: betas of the wild views. *mirroring*, *limb mixing* (arms, legs, "
        "spine, head of other frames where no limit is passed and no limb enters the body), *joint noise*: of the "
        "poses.",
    ]  # fmt: skip
    return page.write(lines)


def main() -> None:
    parser = benchmark_parser(__doc__)
    clips_option(parser, "train", "--train", what="training clips")
    clips_option(parser, "val", "--val", what="validation clips")
    parser.add_argument("--every-clip", type=int, default=10, help="train on every n-th clip (default 10)")
    parser.add_argument("--steps", type=int, default=1000, help="of training (default 1000)")
    parser.add_argument("--batch", type=int, default=96, help="poses per step (default 96)")
    parser.add_argument("--seeds", type=int, default=2, help="runs of each variant (default 2)")
    parser.add_argument("--frames", type=int, default=256, help="validation frames, evenly spaced (default 256)")
    shared_options(parser, "threads")
    parser.add_argument("--runs", type=Path, default=REPOSITORY / "runs" / "ablation", help="folder of the runs")
    parser.add_argument("--page-only", action="store_true", help="write the page of the runs that are finished")
    args = page_arguments(parser)
    if args.threads:
        torch.set_num_threads(args.threads)
    if not args.page_only:
        clips = load_split(mocap_file("train", args.train), HELD_OUT_CLIPS)[:: args.every_clip]
        lengths = torch.tensor([len(clip) for clip in clips])
        frames = torch.cat([clip.rotations for clip in clips]), torch.arange(len(clips)).repeat_interleave(lengths)
        validation = PoseFrames.load(mocap_file("val", args.val), 5)
        validation = validation.pick(torch.linspace(0, len(validation) - 1, args.frames).long())
        for seed in range(args.seeds):
            for variant in VARIANTS:
                path = args.runs / f"{variant.replace(' ', '-')}-{seed}.json"
                if not path.is_file():
                    figures = train(variant, seed, args, frames, validation)
                    path.write_text(json.dumps(figures) + "\n")
                    print(json.dumps(figures), flush=True)
    runs = [json.loads(path.read_text()) for path in sorted(args.runs.glob("*.json"))]
    if not any(run["variant"] == "all" for run in runs):
        raise SystemExit(f"no finished run of the whole recipe in {args.runs}")
    print(f"wrote {write_page(runs)}")


if __name__ == "__main__":
    main()
