"""Does the pose depend on chance in the detector? A real film altered in ways that change nobody in it.

The real clip's videos (:mod:`benchmarks.protocols.real_clip`) are mirrored, turned by 10 degrees either way, or made
smaller, before the detector sees them, and what it finds is taken back to the plain image: the same man, with other
errors of the detector. All of the lifting with its defaults, without refinement, is then scored by the clip's script
against the same truth, with sides left as the detector says them and kept (``keep_sides``), for every image and for
every second one. In the frontal view (2) MediaPipe exchanges left and right for half a second.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from benchmarks.detector.alteration import Alteration
from benchmarks.detector.video_landmarks import video_landmarks
from benchmarks.page.command import benchmark_parser, end_with_json, shared_options
from benchmarks.page.report import Page, page_arguments, provenance
from benchmarks.protocols.clip_poses import clip_joints, clip_pipeline
from benchmarks.protocols.real_clip import VIEWS, Clip, View, opened_clip, real_clip_options
from diffmocap.keypoints.settings import SideSettings
from diffmocap.lifting.lifter import Lifter
from diffmocap.pipeline.pose_pipeline import PosePipeline
from diffmocap.types import Keypoints2D

#: By name; the first one is none.
ALTERATIONS: dict[str, Alteration | None] = {
    "plain": None, "turned left": Alteration(turned_deg=10, scale=0.95),
    "turned right": Alteration(turned_deg=-10, scale=0.95), "smaller": Alteration(scale=0.7),
    "mirrored": Alteration(mirrored=True), "mirrored, turned left": Alteration(True, 10, 0.95),
    "mirrored, turned right": Alteration(True, -10, 0.95), "mirrored, smaller": Alteration(True, scale=0.7),
}  # fmt: skip
#: Rows of a view: settings of the sides, and which images are taken.
ROWS = {
    "sides as the detector says them": (SideSettings(enabled=False), 1), "sides kept": (SideSettings(), 1),
    "as the detector says them, every second image": (SideSettings(enabled=False), 2),
    "kept, every second image": (SideSettings(), 2),
}  # fmt: skip


def row_figures(
    clip: Clip, view: View, keypoints: Sequence[Sequence[Keypoints2D]], pipeline: PosePipeline, step: int
) -> dict[str, list[float]]:
    """Of every n-th image of a view, ``step``, the script's figures for each of several detections of it."""
    judged = [t for t, frame in enumerate(view.frames) if frame % step == 0]
    rows = [view.frames[t] // step for t in judged]
    found: dict[str, list[float]] = {key: [] for key in ("pa_mpjpe_mm", "mpjpe_mm", "exchanged", "poses")}
    for detected in keypoints:
        joints = clip_joints(pipeline, detected[::step], view.intrinsics)[rows][:, clip.scorer.SMPL]
        scores = clip.scorer.score(joints, view.truth[judged], clip.fps / step)
        for key, values in found.items():
            values.append(float(scores[key]))
    return found


def measure(
    clip: Clip, detections: dict[str, list[list[Keypoints2D]]], weights: str | None, tell: Callable[[str], None]
) -> dict[str, dict[str, dict[str, list[float]]]]:
    """Figures by view, row and key, one for each of the view's ``detections``."""
    lifter = Lifter.load(weights)
    figures: dict[str, dict[str, dict[str, list[float]]]] = {}
    for v, detected in detections.items():
        figures[v] = {}
        for name, (sides, step) in ROWS.items():
            tell(f"view {v}: {name}")
            pipeline = clip_pipeline(lifter, refined=False, sides=sides)
            figures[v][name] = row_figures(clip, clip.views[v], detected, pipeline, step)
    return figures


def table(figures: dict[str, dict[str, dict[str, list[float]]]]) -> list[str]:
    """Markdown: over the alterations the mean and the worst."""
    lines = [
        "| view | | PA-MPJPE: plain | mean | worst | MPJPE, mean | images exchanged, mean | with a pose, least |",
        "|---|---|" + "---:|" * 6,
    ]
    for v, rows in figures.items():
        for name, of in rows.items():
            pa = of["pa_mpjpe_mm"]
            cells = [pa[0], np.mean(pa), max(pa), np.mean(of["mpjpe_mm"]), np.mean(of["exchanged"])]
            poses = f"{100 * min(of['poses']):.0f} %"
            lines.append(f"| {v} | {name} | " + " | ".join(f"{cell:.1f}" for cell in cells) + f" | {poses} |")
    return lines


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = benchmark_parser(__doc__)
    shared_options(parser, "weights")
    real_clip_options(parser)
    parser.add_argument("--views", nargs="+", choices=VIEWS, default=list(VIEWS), help="which (default: all four)")
    shared_options(parser, "out", "no_page", "json")
    args = page_arguments(parser, arguments)
    torch.set_num_threads(1)
    folder, clip = opened_clip(args)
    detections = {
        v: [video_landmarks(folder / f"cam0{v}.mp4", args.cache, how).keypoints() for how in ALTERATIONS.values()]
        for v in args.views
    }
    figures = measure(clip, detections, args.weights, lambda what: print(what, flush=True))
    lines = table(figures)
    print("\n".join(lines))
    if not args.no_page:
        about = " ".join(__doc__.split("\n\n", 1)[1].split())
        head = ["# A real film, altered", "", *provenance("benchmarks.altered_video", "shared/real")]
        body = [about, "", f"Detections: {'; '.join(ALTERATIONS)}.", "", *lines]
        print(Page.of_today("altered-video", args.out).write([*head, "", *body]))
    end_with_json(args, figures)


if __name__ == "__main__":
    main()
