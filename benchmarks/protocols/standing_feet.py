"""What makes standing feet stand, part by part: ``python -m benchmarks.standing_feet``.

Nobody says where the floor is, as with a webcam just plugged in. Every row is what a listener receives, without a time
limit: poses as lifted, the one-euro filter with the shipped settings, the window with nothing held and without a step,
with its steps, the default before feet that stand still in the image were held (``still_feet`` false), the default,
the same without steps, and both defaults with the true floor given.

Validation motions come as in ``benchmarks.live_refinement``, at the usual noise of the keypoints and at a third of it,
which is nearer to what MediaPipe has on a near person. TV is the total variation of the accelerations of 24 joints,
skate excess the share of frames in which a foot on the floor moves more than 2 cm beyond the true motion's. "Still
ankle" is the mean speed of ankles while the true one is slower than 0.2 m/s, "moving ankle" the distance from the truth
while it is faster than 0.5 m/s: what is pinned wrongly shows there. Settings were chosen on other motions, of the
training split.

The real clip is that of :mod:`benchmarks.protocols.real_clip`, through the whole pipeline, with its own script's
figures: means over views 1, 3 and 4, as in ``benchmarks.stream_optimizers``, and ankles of each view. Milliseconds are
CPU time of one thread per frame, median. Writes a dated page to ``benchmarks/results``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from benchmarks.page.command import benchmark_parser, end_with_json, shared_options
from benchmarks.page.report import Page, mocap_file, page_arguments, provenance
from benchmarks.protocols.clip_poses import clip_joints, clip_pipeline
from benchmarks.protocols.real_clip import VIEWS as ALL_VIEWS
from benchmarks.protocols.real_clip import Clip, clip_folder, real_clip_options
from benchmarks.refinement.filters import OneEuro
from benchmarks.refinement.live_judge import WARM_UP, Judge, one_euro, unrefined
from benchmarks.refinement.live_refinement import OTHERS, WALKS
from diffmocap.body.mocap import load_split
from diffmocap.body.model import BodyModel
from diffmocap.lifting.lifter import Lifter
from diffmocap.physics.tree import global_poses
from diffmocap.pipeline.pose_pipeline import PosePipeline
from diffmocap.refinement.filter.settings import FilterSettings
from diffmocap.refinement.settings import PhysicsSettings
from diffmocap.refinement.stream.fixed_lag import FixedLagRefiner
from diffmocap.refinement.stream.known_ground import KnownGround
from diffmocap.refinement.stream.settings import LiveSettings
from training.lifting.noisy_keypoints import NOISE
from training.motions.live_streams import FPS, LiveStream, live_stream

#: Speeds of a true ankle that is still, and of one that moves [m/s].
STILL_M_S, MOVING_M_S = 0.2, 0.5
#: Of the mean.
VIEWS = ("1", "3", "4")
GIVEN = ", floor given"
#: Rows that refine, by what their settings are.
REFINED: dict[str, dict] = {
    "window, nothing held, no steps": {"iterations": 0, "stance": 0.0, "settle_s": 0.03},
    "window with steps, nothing held": {"stance": 0.0},
    "default before": {"still_feet": False},
    "default": {},
    "default without steps": {"iterations": 0},
    "default before" + GIVEN: {"still_feet": False},
    "default" + GIVEN: {},
}
COLUMNS = {
    "tv": ("TV [m/s²]", 0), "excess": ("skate excess [points]", 1), "mpjpe": ("MPJPE [mm]", 1),
    "mpjpe_g": ("MPJPE-G [mm]", 1), "still": ("still ankle [m/s]", 2), "moving": ("moving ankle [mm]", 0),
    "ms": ("ms", 1),
}  # fmt: skip
OF_CLIP = {
    "still_ankle": ("still ankle [m/s]", 3), "mpjpe_mm": ("MPJPE [mm]", 1), "pa_mpjpe_mm": ("PA-MPJPE [mm]", 1),
    "pelvis_m": ("pelvis [m]", 3), "acceleration": ("acceleration [m/s²]", 1),
}  # fmt: skip

Poses = tuple[torch.Tensor, torch.Tensor]


def ankle_figures(judge: Judge, poses: Poses, stream: LiveStream, first: int) -> dict[str, float]:
    """``still`` [m/s] and ``moving`` [mm] of poses [N] that belong to the frames from ``first`` on."""
    truth = stream.rotations[first:], stream.pelvis[first:]
    published, true = (global_poses(*x, judge.points.bones)[1][:, [7, 8]].numpy() for x in (poses, truth))
    speeds, true_speeds = (FPS * np.linalg.norm(np.diff(x, axis=0), axis=-1)[WARM_UP:] for x in (published, true))
    away_mm = 1e3 * np.linalg.norm(published - true, axis=-1)[1:][WARM_UP:]
    still, moving = true_speeds < STILL_M_S, true_speeds > MOVING_M_S
    return {
        "still": float(speeds[still].mean()) if still.any() else float("nan"),
        "moving": float(away_mm[moving].mean()) if moving.any() else float("nan"),
    }


def refined(judge: Judge, stream: LiveStream, settings: LiveSettings, given: bool) -> tuple[Poses, int, list[float]]:
    """As :meth:`Judge.refined`, with or without the floor."""
    if given:
        return judge.refined(stream, settings)
    return judge.refined(stream, settings, FixedLagRefiner(judge.points, settings))


def on_motions(judge: Judge, streams: list[LiveStream], rows: dict[str, dict]) -> dict[str, dict[str, float]]:
    """Mean figures over streams, of each row by its name."""

    def mean(found: list[dict[str, float]]) -> dict[str, float]:
        return {key: float(np.nanmean([one[key] for one in found])) for key in found[0]}

    def judged(of: Callable[[LiveStream], Poses]) -> dict[str, float]:
        poses = [(of(s), s) for s in streams]
        return mean([judge.figures(p, s, 0) | ankle_figures(judge, p, s, 0) for p, s in poses])

    found = {
        "truth": judged(lambda s: (s.rotations, s.pelvis)), "as lifted": judged(unrefined),
        "one-euro filter": judged(lambda s: one_euro(s, OneEuro())),
    }  # fmt: skip
    for name, changes in tqdm(rows.items(), unit="row"):
        figures, taken = [], []
        for stream in streams:
            settings = LiveSettings(budget_ms=0.0, **changes)
            poses, first, ms = refined(judge, stream, settings, name.endswith(GIVEN))
            figures.append(judge.figures(poses, stream, first) | ankle_figures(judge, poses, stream, first))
            taken += ms
        found[name] = mean(figures) | {"ms": float(np.median(taken))}
    return found


class _Replayed:
    """What a lifter gave, call by call, for a pipeline that asks the same again: what comes later changes nothing."""

    def __init__(self, lifter: Lifter) -> None:
        self._lifter, self._given, self._next = lifter, [], 0
        self.hears_past = lifter.hears_past

    def again(self) -> _Replayed:
        self._next = 0
        return self

    def lift(self, *arguments, **options):
        if self._next == len(self._given):
            self._given.append(self._lifter.lift(*arguments, **options))
        self._next += 1
        return self._given[self._next - 1]

    def abandon(self) -> None:
        self._lifter.abandon()


def on_real_clip(folder: Path, cache: Path, rows: dict[str, dict]) -> dict[str, dict[str, float]]:
    """Its script's figures, means over three views, and ``still_ankle_V`` of each; of each row by its name."""
    clip, lifter = Clip.load(folder, cache), Lifter.load()
    lifters = {v: _Replayed(lifter) for v in clip.views}
    truth = np.load(folder / "truth.npz", allow_pickle=False)
    floors = {}
    for v in clip.views:
        up = truth[f"up_{v}"].astype(float)
        floors[v] = KnownGround(tuple((up / np.linalg.norm(up)).tolist()), float(truth[f"floor_{v}"]), "given")

    def score(settings: Callable[[str], FilterSettings | PhysicsSettings]) -> dict[str, float]:
        joints = {}
        for v, view in clip.views.items():
            pipeline = clip_pipeline(lifter, refined=isinstance(settings(v), PhysicsSettings))
            pipeline.replace_lifter(lifters[v].again())
            pipeline.settings = replace(pipeline.settings, refinement=settings(v))
            joints[v] = clip_joints(pipeline, view.keypoints, view.intrinsics)[view.frames][:, clip.scorer.SMPL]
        found = clip.score(joints)
        mean = {key: float(np.mean([found[v][key] for v in VIEWS])) for key in found["mean"]}
        return mean | {f"still_ankle_{v}": found[v]["still_ankle"] for v in clip.views}

    found = {"as lifted": score(lambda v: FilterSettings(enabled=False))}
    found["one-euro filter"] = score(lambda v: FilterSettings())
    for name, changes in tqdm(rows.items(), unit="row"):
        live = LiveSettings(budget_ms=0.0, **changes)
        found[name] = score(
            lambda v, live=live, name=name: PhysicsSettings(
                live=live, ground=floors[v] if name.endswith(GIVEN) else KnownGround()
            )
        )
    mean = found["default"]
    found["truth"] = {"still_ankle": mean["still_ankle_true"], "acceleration": mean["acceleration_true"]}
    return found


def table(found: dict[str, dict[str, float]], columns: dict[str, tuple[str, int]]) -> list[str]:
    """Markdown: a line for each row."""
    lines = ["| | " + " | ".join(head for head, _ in columns.values()) + " |", "|---" + "|---:" * len(columns) + "|"]
    for name, of in found.items():
        cells = [f"{of[key]:.{digits}f}" if key in of else "" for key, (_, digits) in columns.items()]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def main(arguments: list[str] | None = None) -> None:
    parser = benchmark_parser(__doc__)
    parser.add_argument("--data", type=Path, help="clip collection of the motions; default: the validation split")
    parser.add_argument("--frames", type=int, default=80, help="of each clip at the most")
    real_clip_options(parser)
    parser.add_argument("--quick", action="store_true", help="one walk and one other motion, the defaults alone")
    shared_options(parser, "out", "json")
    options = page_arguments(parser, arguments)
    torch.set_num_threads(1)
    rows = {name: REFINED[name] for name in ("default before", "default")} if options.quick else REFINED
    body = BodyModel.load()
    judge, clips = Judge(body), {c.name: c for c in load_split(mocap_file("val", options.data))}
    pipeline, figures = PosePipeline.load(), {}
    data = f"{options.frames} frames each of " + ", ".join((*WALKS, *OTHERS)) + " (validation)"
    if options.quick:
        data = f"subset: {options.frames} frames each of {next(iter(WALKS))} and {next(iter(OTHERS))} (validation)"
    lines = ["# Feet that stand", "", *provenance("benchmarks.standing_feet", data), ""]
    lines += [" ".join(part.split()) + "\n" for part in __doc__.split("\n\n")[1:]]
    try:
        real = on_real_clip(clip_folder(options.clip), options.cache, rows)
        columns = OF_CLIP | {f"still_ankle_{v}": (f"still ankle, view {v}", 3) for v in ALL_VIEWS}
        lines += ["## The real clip", "", *table(real, columns), ""]
        figures["real"] = real
    except FileNotFoundError as error:
        print(f"without the real clip: {error}")
    for group, sides in {"Walks": WALKS, "Others: a kick, jumps, a karate form": OTHERS}.items():
        names = list(sides)[: 1 if options.quick else None]
        for share, said in ((1.0, "usual noise"), (1 / 3, "a third of the usual noise")):
            streams = [
                live_stream(
                    clips[name], body, "lifting", options.frames, sides[name], seed, pipeline,
                    keypoint_noise=share * NOISE,
                )
                for seed, name in enumerate(names)
            ]  # fmt: skip
            found = on_motions(judge, streams, rows)
            lines += [f"## {group}, {said}", "", *table(found, COLUMNS), ""]
            figures[f"{group}, {said}"] = found
    print("\n".join(lines))
    print(Page.of_today("standing-feet" + ("-quick" if options.quick else ""), options.out).write(lines))
    end_with_json(options, figures)


if __name__ == "__main__":
    main()
