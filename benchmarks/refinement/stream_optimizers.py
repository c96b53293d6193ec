"""What takes the steps of the live refinement, at equal evaluations and at equal time: ``python -m
benchmarks.stream_optimizers``.

Every row runs through the whole live refinement, frame by frame, with 1 to 8 steps per frame and no time limit. The
time of its steps is the CPU time of one thread. The loss is that of the window's motion after the steps, as a geometric
mean over frames and clips. At equal milliseconds it is read off each row's own curve of loss over time, at the time
that the metric's default number of steps takes. TV, skate and MPJPE-G are those of the published poses, at the default
number of steps.

"no_steps" is the window without a step. "lbfgs_step" is limited-memory BFGS without a metric and without line search,
its pairs carried along as the knots move. "optimus_b0" is Optimus with all outputs of its network zero, which leaves
the metric with its pairs: its row differs from the metric's only by what the network costs. With a single step per
frame the rows of Optimus take the metric's step, too. "adafactor_mlp" and "optimus_paper" are the learned optimizers of
whole windows, started anew in every frame. "converged" is the metric with 64 steps per frame: about the least loss that
any optimizer could reach, and so how much is left below the metric's own steps.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from benchmarks.page.command import benchmark_parser, end_with_json, shared_options
from benchmarks.page.report import Page, mocap_file, page_arguments, provenance
from benchmarks.protocols.clip_poses import clip_pipeline
from benchmarks.protocols.real_clip import Clip, clip_folder, lifted_clip, real_clip_options
from benchmarks.refinement.filters import OneEuro
from benchmarks.refinement.live_judge import Judge, one_euro, unrefined
from diffmocap.body.mocap import load_split
from diffmocap.body.model import BodyModel
from diffmocap.body.motion_clip import MotionClip
from diffmocap.evaluation.bootstrap import interval
from diffmocap.lifting.lifter import Lifter
from diffmocap.optim.weights import load_shipped
from diffmocap.pipeline.pose_pipeline import PosePipeline
from diffmocap.refinement.stream.fixed_lag import FixedLagRefiner
from diffmocap.refinement.stream.metric_descent import MetricDescent
from diffmocap.refinement.stream.optimus.network import StreamOptimus
from diffmocap.refinement.stream.optimus.weights import load_stream_optimus
from diffmocap.refinement.stream.settings import METRIC, OPTIMUS, LiveSettings
from diffmocap.refinement.window.metric import WindowMetric
from training.held_out import UNEVEN_SUBJECTS
from training.motions.live_streams import UP, LiveStream, live_stream

#: Steps a frame that the curves have, and those of rows whose steps take tens of milliseconds.
STEPS, FEW_STEPS = (1, 2, 3, 4, 6, 8), (1, 2, 4)
SLOW = ("adafactor_mlp", "optimus_paper")
#: Steps of a frame after which the window's loss hardly falls any more.
CONVERGED_STEPS = 64
IN_DOMAIN, OUT_OF_DOMAIN = "Walks", "Everything else"
PLAIN, B0 = "lbfgs_step", "optimus_b0"


class PlainDescent(MetricDescent):
    """Limited-memory BFGS whose first matrix is the identity times the largest inverse curvature of its pairs."""

    def direction(self, metric: WindowMetric, gradient: np.ndarray) -> np.ndarray:
        curvatures = [(s @ y) / (y @ y) for s, y in self._pairs if y @ y > 0]
        scale = max([c for c in curvatures if c > 0], default=0.1 / max(float(np.abs(gradient).max()), 1e-12))
        return super().direction(_Scaled(scale), gradient)


@dataclass(frozen=True)
class _Scaled:
    scale: float

    def solve(self, gradient: np.ndarray) -> np.ndarray:
        return self.scale * gradient


@dataclass(frozen=True)
class Run:
    """One row on one stream: published figures, ``losses`` of the windows, CPU ms of their steps, steps taken."""

    figures: dict[str, float]
    losses: np.ndarray
    step_ms: np.ndarray
    steps: np.ndarray


def run(judge: Judge, stream: LiveStream, settings: LiveSettings, plain: bool = False) -> Run:
    """The live refinement over a stream; frames of a window that is not full do not count."""
    live = FixedLagRefiner(judge.points, settings, torch.tensor(UP), stream.ground_height)
    descent = live._descent
    if plain:
        descent._steps = PlainDescent()
    descend, taken = descent.descend, []

    def timed(*arguments):
        started = time.thread_time()
        found = descend(*arguments)
        taken.append(1e3 * (time.thread_time() - started))
        return found

    descent.descend = timed
    results = [live.step(*step) for step in stream.steps()]
    found = [r for r in results if r is not None]
    first = results.index(found[0]) - found[0].age
    poses = torch.stack([r.rotations for r in found]), torch.stack([r.pelvis for r in found])
    full = slice(settings.window_frames, None)
    return Run(
        judge.figures(poses, stream, first), np.array([r.loss_of_window for r in found])[full],
        np.array(taken[-len(found) :])[full], np.array([r.iterations for r in found])[full],
    )  # fmt: skip


@dataclass(frozen=True)
class Curve:
    """A row over a group of streams: numbers of steps, 0 first, the mean logarithm of each stream's losses [steps, S],
    and ms of the steps [steps]; figures of what is published with the default number of steps."""

    steps: tuple[int, ...]
    logs: np.ndarray
    ms: np.ndarray
    figures: dict[str, float]

    @property
    def default(self) -> int:
        """Where the default number of steps stands."""
        return self.steps.index(LiveSettings().iterations)

    def at(self, ms: float) -> np.ndarray:
        """Log of the loss of each stream [S] after so long, between the numbers of steps that were run."""
        ms_of = np.maximum.accumulate(self.ms)
        return np.array([np.interp(ms, ms_of, logs) for logs in self.logs.T])


def rows(weights: Path | None) -> dict[str, Callable[[], object]]:
    """Names of the rows that take steps, and what makes their optimizer."""
    network = load_stream_optimus(weights)
    return {
        PLAIN: lambda: METRIC, METRIC: lambda: METRIC, "adafactor_mlp": lambda: load_shipped("adafactor_mlp_window"),
        "optimus_paper": lambda: load_shipped("optimus_window"),
        B0: lambda: StreamOptimus(network.settings).requires_grad_(False), OPTIMUS: lambda: network,
    }  # fmt: skip


def curve(judge: Judge, streams: list[LiveStream], name: str, optimizer: object, steps: tuple[int, ...]) -> Curve:
    """A row, with a progress bar."""
    default, logs, ms, figures = LiveSettings().iterations, [], [], {}
    steps = (0, *(FEW_STEPS if name in SLOW else steps))
    for count in tqdm(steps, desc=name, unit="steps"):
        settings = LiveSettings(budget_ms=0.0, iterations=count, optimizer=optimizer)
        runs = [run(judge, stream, settings, plain=name == PLAIN) for stream in streams]
        logs.append([float(np.log(one.losses).mean()) for one in runs])
        ms.append(float(np.median(np.concatenate([one.step_ms for one in runs]))) if count else 0.0)
        if count == default:
            figures = {key: float(np.mean([one.figures[key] for one in runs])) for key in runs[0].figures}
    return Curve(steps, np.array(logs), np.array(ms), figures)


def converged(judge: Judge, streams: list[LiveStream]) -> tuple[float, dict[str, float]]:
    """The loss that steps without end would come to, a geometric mean over frames and streams, and figures of what is
    published then."""
    settings = LiveSettings(budget_ms=0.0, iterations=CONVERGED_STEPS, optimizer=METRIC)
    runs = [run(judge, stream, settings) for stream in tqdm(streams, desc="converged", unit="stream")]
    loss = float(np.exp(np.mean([np.log(one.losses).mean() for one in runs])))
    return loss, {key: float(np.mean([one.figures[key] for one in runs])) for key in runs[0].figures}


def share_with_step(judge: Judge, streams: list[LiveStream], optimizer: object) -> float:
    """Frames in which there was time for a step within the default budget, by the clock on the wall."""
    runs = [run(judge, stream, LiveSettings(optimizer=optimizer)) for stream in streams]
    return float(np.mean(np.concatenate([one.steps for one in runs]) > 0))


def without_steps(judge: Judge, streams: list[LiveStream]) -> dict[str, dict[str, float]]:
    """Rows that descend nothing."""

    def mean(found: list[dict[str, float]]) -> dict[str, float]:
        return {key: float(np.mean([one[key] for one in found])) for key in found[0]}

    still = LiveSettings(budget_ms=0.0, iterations=0)
    return {
        "lifted": mean([judge.figures(unrefined(s), s, 0) for s in streams]),
        "one_euro": mean([judge.figures(one_euro(s, OneEuro()), s, 0) for s in streams]),
        "no_steps": mean([run(judge, s, still).figures for s in streams]),
    }  # fmt: skip


def compared(curves: dict[str, Curve]) -> tuple[float, dict[str, dict[str, float]]]:
    """The time that the metric's default number of steps takes [ms], and of each row the loss then, the ratio of
    Optimus's loss to it with its interval, the same at the default number of steps, and ms per step."""
    metric, ours, found = curves[METRIC], curves[OPTIMUS], {}
    ms, steps = float(metric.ms[metric.default]), LiveSettings().iterations
    for name, row in curves.items():
        at_ms, at_steps = ours.at(ms) - row.at(ms), ours.logs[ours.default] - row.logs[row.default]
        _, low, high = interval([at_ms], [str(i) for i in range(len(at_ms))])
        found[name] = {
            "loss_at_equal_ms": float(np.exp(row.at(ms).mean())), "loss": float(np.exp(row.logs[row.default].mean())),
            "ratio_ms": float(np.exp(at_ms.mean())), "ratio_low": float(np.exp(low)), "ratio_high": float(np.exp(high)),
            "ratio_steps": float(np.exp(at_steps.mean())), "step_ms": float(row.ms[row.default] / steps),
        }  # fmt: skip
    return ms, found


def on_real_clip(folder: Path, cache: Path, optimizers: dict[str, object]) -> dict[str, dict[str, float]]:
    """The whole pipeline on the real clip with truth (:mod:`benchmarks.protocols.real_clip`), views 1, 3 and 4, without
    a given ground; its own script's figures for each optimizer and for no step."""
    clip, lifter, found = Clip.load(folder, cache), Lifter.load(), {}
    views = {v: view for v, view in clip.views.items() if v != "2"}
    clip = replace(clip, views=views)
    for name, optimizer in {"no_steps": METRIC, **optimizers}.items():
        pipeline = clip_pipeline(lifter, refined=True)
        live = replace(pipeline.settings.refinement.live, optimizer=optimizer)
        live = replace(live, iterations=0) if name == "no_steps" else live
        refinement = replace(pipeline.settings.refinement, live=live)
        pipeline.settings = replace(pipeline.settings, refinement=refinement)
        joints = {v: x[:, clip.scorer.SMPL] for v, x in lifted_clip(clip, pipeline).items()}
        found[name] = clip.score(joints)["mean"]
    return found


def page(
    groups: dict[str, tuple[float, dict, dict[str, Curve], dict, tuple[float, dict]]],
    real: dict[str, dict[str, float]], steps: tuple[int, ...], head: list[str],
) -> list[str]:  # fmt: skip
    """The Markdown page."""
    lines = ["# Optimizers of the live refinement", "", *head, ""]
    lines += [" ".join(part.split()) + "\n" for part in __doc__.split("\n\n")[1:]]
    for group, (ms, found, curves, still, (least, published)) in groups.items():
        default = LiveSettings().iterations
        lines += [
            f"## {group}", "",
            f"| | loss after {ms:.2f} ms of steps | Optimus's beside it (95 % interval) | loss after {default} steps "
            "| Optimus's beside it | ms per step | TV [m/s²] | skate excess [points] | MPJPE-G [mm] |",
            "|---" + "|---:" * 8 + "|",
        ]  # fmt: skip
        for name, of in still.items():
            lines.append(f"| {name} | | | | | | {of['tv']:.0f} | {of['excess']:.1f} | {of['mpjpe_g']:.1f} |")
        for name, of in found.items():
            now = curves[name].figures
            lines.append(
                f"| {name} | {of['loss_at_equal_ms']:.2f} | {of['ratio_ms']:.3f} ({of['ratio_low']:.3f} to "
                f"{of['ratio_high']:.3f}) | {of['loss']:.2f} | {of['ratio_steps']:.3f} | {of['step_ms']:.2f} "
                f"| {now['tv']:.0f} | {now['excess']:.1f} | {now['mpjpe_g']:.1f} |"
            )
        lines.append(
            f"| converged | | | {least:.2f} | | | {published['tv']:.0f} | {published['excess']:.1f} "
            f"| {published['mpjpe_g']:.1f} |"
        )
        room = 1 - least / found[METRIC]["loss_at_equal_ms"]
        lines += ["", f"Below the metric at equal milliseconds there are {100 * room:.1f} % to go until convergence."]
        lines += ["", "Loss, and ms of the steps, for each number of steps per frame:", ""]
        lines += ["| | " + " | ".join(map(str, (0, *steps))) + " |", "|---" + "|---:" * (len(steps) + 1) + "|"]
        for name, row in curves.items():
            cells = {
                count: f"{np.exp(logs.mean()):.2f}, {took:.1f}"
                for count, logs, took in zip(row.steps, row.logs, row.ms, strict=True)
            }
            lines.append(f"| {name} | " + " | ".join(cells.get(count, "") for count in (0, *steps)) + " |")
        lines.append("")
    if real:
        columns = ("pa_mpjpe_mm", "mpjpe_mm", "acceleration", "acceleration_true", "still_ankle", "still_ankle_true")
        lines += [
            "## A real man, views 1, 3 and 4", "",
            "| | " + " | ".join(columns) + " |", "|---" + "|---:" * len(columns) + "|",
        ]  # fmt: skip
        lines += [f"| {n} | " + " | ".join(f"{of[c]:.3g}" for c in columns) + " |" for n, of in real.items()]
    return [*lines, ""]


def groups_of(clips: list[MotionClip], most: int, shortest: int) -> dict[str, list[tuple[MotionClip, float]]]:
    """Walks, and what else there is: at most so many clips of each, of as many subjects as possible, and the side that
    each is seen from [rad]."""
    generator, found = np.random.default_rng(0), {}
    for group, walks in ((IN_DOMAIN, True), (OUT_OF_DOMAIN, False)):
        fitting = [
            c for c in clips
            if ("walk" in c.action.lower()) == walks and c.subject not in UNEVEN_SUBJECTS and len(c) >= shortest
        ]  # fmt: skip
        rank: dict[str, int] = {}
        for clip in fitting:  # the first of each subject, then the second of each
            rank[clip.name] = sum(other.subject == clip.subject for other in fitting if other.name in rank)
        chosen = sorted(fitting, key=lambda c: (rank[c.name], c.name))[:most]
        found[group] = [(clip, float(generator.uniform(-np.pi, np.pi))) for clip in chosen]
    return found


def json_figures(
    found: dict, curves: dict[str, Curve], still: dict[str, dict[str, float]], end: tuple[float, dict[str, float]]
) -> dict[str, dict]:
    """Row name to figure, of each kind of figure."""
    published = still | {name: row.figures for name, row in curves.items()} | {"converged": end[1]}
    kinds = {"mpjpe_g_mm": "mpjpe_g", "tv": "tv", "skate_excess": "excess"}
    return {
        "loss_at_equal_ms": {name: of["loss_at_equal_ms"] for name, of in found.items()},
        "loss_converged": end[0],
        "ratio_at_equal_ms": {n: [of["ratio_ms"], of["ratio_low"], of["ratio_high"]] for n, of in found.items()},
        "step_ms": {name: of["step_ms"] for name, of in found.items()},
        **{key: {name: of[kind] for name, of in published.items()} for key, kind in kinds.items()},
    }  # fmt: skip


@dataclass(frozen=True)
class Measured:
    """Figures by group, those of walks, of the rest, and of the real clip; the page's groups and data in words."""

    figures: dict[str, dict]
    groups: dict
    real: dict[str, dict[str, float]]
    steps: tuple[int, ...]
    data: str


def options_of(parser: argparse.ArgumentParser) -> None:
    """What this part can be asked for."""
    real_clip_options(parser)
    parser.add_argument("--weights", type=Path, help="of the stream's Optimus; default: the shipped ones")
    parser.add_argument("--rows", nargs="+", metavar="NAME", help="these beside the metric and Optimus alone")
    parser.add_argument("--clips", type=int, default=10, help="of each group at the most")


def measure(options: argparse.Namespace, judge: Judge, frames: int) -> Measured:
    """All groups. Where the real clip is not there it is left out, and that is said."""
    steps = (1, 2, LiveSettings().iterations) if options.quick else STEPS
    clips, pipeline, groups, figures = load_split(mocap_file("val", options.data)), PosePipeline.load(), {}, {}
    asked = {METRIC, OPTIMUS, *(options.rows or rows(options.weights))}
    makers = {name: make for name, make in rows(options.weights).items() if name in asked}
    ours = {name: make() for name, make in makers.items() if name in (METRIC, OPTIMUS)}
    chosen = groups_of(clips, 2 if options.quick else options.clips, LiveSettings().window_frames + 20)
    for group, members in chosen.items():
        streams = [
            live_stream(clip, judge.body, "lifting", frames, side, seed, pipeline)
            for seed, (clip, side) in enumerate(members)
        ]
        curves = {name: curve(judge, streams, name, make(), steps) for name, make in makers.items()}
        ms, found = compared(curves)
        still, end = without_steps(judge, streams), converged(judge, streams)
        groups[group] = ms, found, curves, still, end
        shares = {name: share_with_step(judge, streams[:2], optimizer) for name, optimizer in ours.items()}
        figures[group] = json_figures(found, curves, still, end) | {"frames_with_step": shares}
    names = "; ".join(", ".join(clip.name for clip, _ in members) for members in chosen.values())
    data = f"{'subset: ' if options.quick else ''}{frames} frames each of {names} (validation)"
    real: dict[str, dict[str, float]] = {}
    try:
        real = on_real_clip(clip_folder(options.clip), options.cache, ours)
    except FileNotFoundError as error:
        print(f"without the real clip: {error}")
    return Measured(figures | {"real": real}, groups, real, steps, data)


def main(arguments: list[str] | None = None) -> None:
    parser = benchmark_parser(__doc__)
    parser.add_argument("--data", type=Path, help="clip collection of the motions; default: the validation split")
    parser.add_argument("--frames", type=int, default=80, help="of each clip at the most")
    options_of(parser)
    parser.add_argument("--quick", action="store_true", help="two clips of each group, three numbers of steps")
    shared_options(parser, "out", "json")
    options = page_arguments(parser, arguments)
    torch.set_num_threads(1)
    found = measure(options, Judge(BodyModel.load()), options.frames)
    lines = page(found.groups, found.real, found.steps, provenance("benchmarks.stream_optimizers", found.data))
    print("\n".join(lines))
    print(Page.of_today("stream-optimizers" + ("-quick" if options.quick else ""), options.out).write(lines))
    end_with_json(options, found.figures)


if __name__ == "__main__":
    main()
