"""What the live physics refinement publishes, frame by frame: ``python -m benchmarks.live_refinement``.

Validation motions before a level camera come as a stream: keypoints with a detector's noise, lifted as the pose node
does, before any smoothing (``--noise synthetic``: the true poses with errors that drift). Every row is what a listener
receives: the poses as lifted, the one-euro filter with the shipped settings and at the jitter of the refinement without
lag, and the refinement at each of ``--lags`` frames, without a step and with its steps. "0 steps" is what the window
does without descending the loss: a smooth motion through the lifted poses, continued from what was published, with
standing feet held. The ground is given, there is no time limit but ``--iterations``.

TV is the total variation of the accelerations of 24 joints, foot skate the share of frames in which a foot on the floor
moves more than 2 cm, its excess what is beyond the true motion's, jump the largest way of a joint from one frame to the
next. The first frames of a track are left out. Milliseconds are CPU time of one thread a frame, median and minimum.
Writes a dated page to ``benchmarks/results``.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from benchmarks.page.command import benchmark_parser
from benchmarks.page.report import RESULTS, Page, mocap_file, page_arguments, provenance
from benchmarks.refinement.filters import OneEuro, at_equal_jitter
from diffmocap.body.mocap import load_split
from diffmocap.body.model import BodyModel
from diffmocap.body.urdf import read_urdf
from diffmocap.evaluation.motion_metrics import (
    acceleration_variation,
    foot_skate_percent,
    mpjpe_global_mm,
    mpjpe_root_mm,
)
from diffmocap.physics.contact_points import ContactPoints
from diffmocap.physics.segments import BodySegments
from diffmocap.physics.tree import global_poses
from diffmocap.pipeline.pose_pipeline import PosePipeline
from diffmocap.refinement.stream.fixed_lag import FixedLagRefiner
from diffmocap.refinement.stream.settings import LiveSettings
from diffmocap.refinement.window.body_points import BodyPoints
from training.motions.live_streams import FPS, UP, LiveStream, live_stream

#: Clips and the side they are seen from [rad].
WALKS = {"39_01": 0.5, "39_05": 1.2, "43_01": -2.4, "39_09": 0.0}
OTHERS = {"135_04": -0.6, "01_01": 0.3, "135_10": 0.8}
#: Frames at the beginning of a track that do not count.
WARM_UP = 12
COLUMNS = {
    "tv": "TV [m/s²]", "skate": "skate [%]", "excess": "excess [points]", "mpjpe": "MPJPE [mm]",
    "mpjpe_g": "MPJPE-G [mm]", "jump": "jump [mm]", "ms": "ms median", "ms_least": "ms least",
}  # fmt: skip

Poses = tuple[torch.Tensor, torch.Tensor]


class Judge:
    """Figures of published motions."""

    def __init__(self, body: BodyModel) -> None:
        self.contacts = ContactPoints.from_body(body)
        segments = BodySegments.from_urdf(read_urdf())
        self.points = BodyPoints.from_body(body, segments, self.contacts).to(dtype=torch.float32)

    def figures(self, poses: Poses, stream: LiveStream, first: int) -> dict[str, float]:
        """Of poses [N] that belong to the frames from ``first`` on."""
        skip = max(WARM_UP - first, 0)
        soles, joints = self._places((poses[0][skip:], poses[1][skip:]))
        frames = slice(first + skip, first + len(poses[1]))
        true_soles, true_joints = self._places((stream.rotations[frames], stream.pelvis[frames]))
        skate, true_skate = (
            foot_skate_percent(s, up=UP, height=stream.ground_height) for s in (soles, true_soles)
        )  # fmt: skip
        return {
            "tv": acceleration_variation(joints, FPS), "skate": skate, "excess": skate - true_skate,
            "mpjpe": mpjpe_root_mm(joints, true_joints), "mpjpe_g": mpjpe_global_mm(joints, true_joints),
            "jump": 1e3 * float(np.linalg.norm(np.diff(joints, axis=0), axis=-1).max()),
        }  # fmt: skip

    def _places(self, poses: Poses) -> tuple[np.ndarray, np.ndarray]:
        """Soles [N, 2, P, 3] and joints [N, 24, 3] m."""
        turned, joints = global_poses(*poses, self.points.bones)
        soles = self.contacts.centres(turned, joints)[:, self.contacts.feet].unflatten(1, (2, -1))
        return soles.numpy(), joints.numpy()

    def refined(
        self, stream: LiveStream, settings: LiveSettings, live: FixedLagRefiner | None = None
    ) -> tuple[Poses, int, list[float]]:
        """Published poses, the frame of the first, and ms of CPU time a frame; ``live``: default, one that is given the
        floor."""
        live = live or FixedLagRefiner(self.points, settings, torch.tensor(UP), stream.ground_height)
        results, taken = [], []
        for step in stream.steps():
            started = time.process_time()
            results.append(live.step(*step))
            taken.append(1e3 * (time.process_time() - started))
        found = [r for r in results if r is not None]
        poses = torch.stack([r.rotations for r in found]), torch.stack([r.pelvis for r in found])
        first = results.index(found[0]) - found[0].age
        return poses, first, taken[settings.window_frames :]


def unrefined(stream: LiveStream) -> Poses:
    """The heaviest hypothesis of every frame."""
    best = [int(f.log_weights.argmax()) for f in stream.frames]
    rotations = torch.stack([f.rotations[k] for f, k in zip(stream.frames, best, strict=True)])
    return rotations, torch.stack([f.pelvis[k] for f, k in zip(stream.frames, best, strict=True)])


def one_euro(stream: LiveStream, settings: OneEuro) -> Poses:
    """The filter on the unrefined poses."""
    rotations, pelvis = settings(tuple(x[None] for x in unrefined(stream)), 1 / FPS)
    return rotations[0], pelvis[0]


def measure(streams: list[LiveStream], judge: Judge, lags: list[int], settings: dict) -> dict[str, dict[str, float]]:
    """Mean figures over streams, for each method by its name."""

    def mean(of: Callable[[LiveStream], Poses]) -> dict[str, float]:
        rows = [judge.figures(of(s), s, 0) for s in streams]
        return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}

    found = {"truth": mean(lambda s: (s.rotations, s.pelvis)), "as lifted": mean(unrefined)}
    shipped = OneEuro()
    found["one-euro, shipped"] = mean(lambda s: one_euro(s, shipped))
    tried = {}
    for lag in lags:
        tried[f"0 steps, lag {lag}"] = settings | {"iterations": 0, "lag_frames": lag}
        tried[f"refined, lag {lag}"] = settings | {"lag_frames": lag}
    for name, of in tried.items():
        rows, taken = [], []
        for stream in tqdm(streams, desc=name, unit="clip"):
            poses, first, ms = judge.refined(stream, LiveSettings(budget_ms=0.0, **of))
            rows.append(judge.figures(poses, stream, first))
            taken += ms
        figures = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
        found[name] = figures | {"ms": float(np.median(taken)), "ms_least": min(taken)}
    if 0 in lags:
        wanted = found["refined, lag 0"]["tv"]
        same = at_equal_jitter(shipped, lambda f: mean(lambda s: one_euro(s, f))["tv"], wanted, tolerance=0.02)
        found["one-euro, jitter of lag 0"] = mean(lambda s: one_euro(s, same))
    return found


def page(groups: dict[str, dict[str, dict[str, float]]], noise: str, head: list[str], note: str = "") -> str:
    """The Markdown page."""
    lines = ["# Live refinement", "", *head, f"- noise: {noise}", *([f"- note: {note}"] if note else []), ""]
    for group, methods in groups.items():
        lines += [f"## {group}", "", "| | " + " | ".join(COLUMNS.values()) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
        for method, figures in methods.items():
            cells = [f"{figures[name]:.1f}" if name in figures else "" for name in COLUMNS]
            lines.append(f"| {method} | " + " | ".join(cells) + " |")
        lines.append("")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    parser = benchmark_parser(__doc__)
    parser.add_argument("--data", type=Path, help="clip collection of the motions; default: the validation split")
    parser.add_argument("--noise", choices=("lifting", "synthetic"), default="lifting")
    parser.add_argument("--lags", type=int, nargs="+", default=[0, 4, 8], help="frames")
    parser.add_argument("--iterations", type=int, default=LiveSettings().iterations, help="steps of descent a frame")
    parser.add_argument("--window", type=int, default=LiveSettings().window_frames, help="frames of the window")
    parser.add_argument("--frames", type=int, default=100, help="of each clip at the most")
    parser.add_argument("--quick", action="store_true", help="one walk and one other, a subset")
    parser.add_argument("--note", default="", help="what the page says of the circumstances of the run")
    parser.add_argument("--out", type=Path, help="page to write; default: benchmarks/results, dated")
    options = page_arguments(parser, arguments)
    torch.set_num_threads(1)
    body = BodyModel.load()
    judge, clips = Judge(body), {c.name: c for c in load_split(mocap_file("val", options.data))}
    pipeline = PosePipeline.load() if options.noise == "lifting" else None
    settings = {"iterations": options.iterations, "window_frames": options.window}
    groups = {}
    for group, sides in {"Walks": WALKS, "Others: a kick, jumps, a karate form": OTHERS}.items():
        names = list(sides)[: 1 if options.quick else None]
        streams = [
            live_stream(clips[n], body, options.noise, options.frames, sides[n], seed, pipeline)
            for seed, n in enumerate(names)
        ]
        groups[group] = measure(streams, judge, options.lags, settings)
    data = f"{options.frames} frames each of " + ", ".join((*WALKS, *OTHERS)) + " (validation)"
    if options.quick:
        data = f"subset: {options.frames} frames each of {next(iter(WALKS))} and {next(iter(OTHERS))} (validation)"
    text = page(groups, options.noise, provenance("benchmarks.live_refinement", data), options.note)
    variant = ("-synthetic" if options.noise == "synthetic" else "") + ("-quick" if options.quick else "")
    out = options.out or Page.of_today(f"live-refinement{variant}", RESULTS).path
    out.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
