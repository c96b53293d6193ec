"""Do tracked poses flip less, and do they find back after a break: ``python -m benchmarks.tracking``.

Validation clips before a camera, cut together without a gap in time; the noisy keypoints lose a limb for a while,
exchange left and right for a few images, and change to another person at the cuts. The pipeline runs without its
filter: as it samples, with sides kept, and with the track as well, for several numbers of hypotheses. ``--sweep``
varies the track's settings; the defaults of ``TrackSettings`` are chosen here. Writes a dated page with a plot.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from benchmarks.lifting.noisy_keypoints import (
    CAMERA,
    NOISE,
    Observed,
    cut_together,
    exchange_sides,
    hide_parts,
    observe,
)
from benchmarks.page.command import benchmark_parser, clips_option, end_with_json, shared_options
from benchmarks.page.report import RESULTS, Page, mocap_file, page_arguments, provenance
from diffmocap.body.mocap import load_split
from diffmocap.body.model import BodyModel
from diffmocap.body.skeleton import JOINT_NAMES
from diffmocap.evaluation.joint_errors import mpjpe_mm, pa_mpjpe_mm
from diffmocap.keypoints.settings import SideSettings
from diffmocap.lifting.lifter import Lifter
from diffmocap.lifting.settings import LiftingSettings
from diffmocap.lifting.tracking.track import TrackSettings
from diffmocap.pipeline.pose_pipeline import PosePipeline
from diffmocap.pipeline.result import Outcome
from diffmocap.pipeline.settings import PipelineSettings
from diffmocap.refinement.filter.pose_filter import PoseFilter
from diffmocap.refinement.filter.settings import FilterSettings

#: Clips, the side they are seen from [rad], and where they stand [m].
PARTS = (
    ("135_02.1", 0.3, (0.1, 0.1, 4.5)), ("39_05", 1.2, (0.1, 0.1, 4.5)), ("135_04", -0.6, (-0.8, 0.1, 5.5)),
    ("43_01", -2.4, (0.5, 0.1, 3.5)), ("135_07.1", 1.57, (0.5, 0.1, 3.5)), ("39_01", 0.0, (0.5, 0.1, 4.5)),
)  # fmt: skip
#: Frames between two hidden limbs and how long they last; the same of exchanged sides.
HIDDEN, EXCHANGED = (45, 10), (70, 4)
#: A flip: a joint moves by this much more between two images than in truth [m].
FLIP_M = 0.2
#: After a cut the pose is found again when its error is below this many times the clip's median error.
FOUND = 1.5

OFF = PipelineSettings(
    sides=SideSettings(enabled=False), track=TrackSettings(enabled=False), refinement=FilterSettings(enabled=False)
)
SIDES = replace(OFF, sides=SideSettings(enabled=True))
TRACKED = replace(SIDES, track=TrackSettings())
MODES = {"as sampled": OFF, "sides kept": SIDES, "tracked": TRACKED}
SWEEP = {
    "memory_s": (0.15, 0.6), "score_scale": (0.0025, 0.01), "switch_margin": (1.0, 4.0), "birth": (-4.0, -9.0),
    "fresh_share": (0.0, 0.5), "same_pose_m": (0.08, 0.16),
}  # fmt: skip


@dataclass
class Run:
    """One pass over the sequence: joints [T, 24, 3] m in the optical frame, frames of new starts, ms per frame."""

    joints: np.ndarray
    restarts: list[int]
    switches: int
    ms: float


def sequence(data: Path, body: BodyModel, frames: int) -> Observed:
    """The clips with all that goes wrong."""
    clips = {clip.name: clip for clip in load_split(data)}
    parts = [observe(clips[name], yaw, body, frames, i, at_m) for i, (name, yaw, at_m) in enumerate(PARTS)]
    return exchange_sides(hide_parts(cut_together(parts), *HIDDEN), *EXCHANGED)


def follow(lifter: Lifter, body: BodyModel, settings: PipelineSettings, observed: Observed) -> Run:
    """The followed hypothesis of every image."""
    pipeline = PosePipeline(lifter, PoseFilter(body), body, settings)
    joints, restarts, switches = [], [], 0
    started = time.perf_counter()
    for t, keypoints in enumerate(observed.keypoints):
        result = pipeline.step(keypoints, CAMERA)
        joints.append(result.state.joint_positions)
        restarts += [t] * (result.outcome is Outcome.RESTARTED)
        switches += result.tracked.switched
    return Run(torch.stack(joints).numpy(), restarts, switches, 1e3 * (time.perf_counter() - started) / len(observed))


def figures(run: Run, observed: Observed) -> dict[str, float]:
    """Errors, flips a minute, jitter and the images that it takes to find back after a cut."""
    truth = observed.joints.numpy()
    found, wanted = (x - x[:, :1] for x in (run.joints, truth))
    error = np.linalg.norm(found - wanted, axis=-1).mean(1)
    within = np.setdiff1d(np.arange(1, len(truth)), observed.cuts)  # no cut between the image before and this one
    moved = np.linalg.norm(found[within] - found[within - 1], axis=-1)
    truly = np.linalg.norm(wanted[within] - wanted[within - 1], axis=-1)
    steady = within[1:][np.isin(within[1:] - 1, within)]
    acceleration = (found - wanted)[steady] - 2 * (found - wanted)[steady - 1] + (found - wanted)[steady - 2]
    back = []
    for start, end in zip(observed.cuts, (*observed.cuts[1:], len(truth))):
        good = error[start:end] <= FOUND * np.median(error[start:end])
        back.append(int(np.argmax(good)))
    return {
        "flips_per_minute": 60.0 * 30.0 * float(((moved - truly).max(1) > FLIP_M).mean()),
        "mpjpe_mm": mpjpe_mm(run.joints, truth, (0,)),
        "pa_mpjpe_mm": pa_mpjpe_mm(run.joints, truth),
        "worst_tenth_mm": 1e3 * float(np.sort(error)[-len(error) // 10 :].mean()),
        "acceleration_error_mm_per_frame2": 1e3 * float(np.linalg.norm(acceleration, axis=-1).mean()),
        "frames_to_recover": float(np.mean(back)) if back else float("nan"),
        "new_starts": len(run.restarts),
        "switches": run.switches,
        "ms_per_frame": run.ms,
    }


def draw(runs: dict[str, Run], observed: Observed, path: Path) -> None:
    """Depth of a wrist and a knee about the pelvis, over time."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    names = ("right_wrist", "left_knee")
    figure, axes = plt.subplots(len(names), 1, figsize=(11, 5), sharex=True)
    t = np.arange(len(observed)) / 30
    for axis, name in zip(axes, names):
        j = JOINT_NAMES.index(name)
        truth = observed.joints.numpy()
        axis.plot(t, truth[:, j, 2] - truth[:, 0, 2], "k", lw=2, label="truth")
        for label, run in runs.items():
            axis.plot(t, run.joints[:, j, 2] - run.joints[:, 0, 2], lw=1, label=label)
        for start in range(EXCHANGED[0], len(observed), EXCHANGED[0]):
            axis.axvspan(start / 30, (start + EXCHANGED[1]) / 30, color="tab:red", alpha=0.2, lw=0)
        for start in range(HIDDEN[0] // 2, len(observed), HIDDEN[0]):
            axis.axvspan(start / 30, (start + HIDDEN[1]) / 30, color="tab:gray", alpha=0.15, lw=0)
        for cut in observed.cuts:
            axis.axvline(cut / 30, color="k", ls=":", lw=1)
        axis.set_ylabel(f"{name}: depth [m]")
    axes[0].legend(loc="upper right", ncol=3, fontsize=8)
    axes[-1].set_xlabel("time [s]; red: sides exchanged, gray: a limb hidden, dotted: cut to another person")
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def table(rows: list[dict]) -> list[str]:
    """Markdown."""
    columns = {
        "flips/min": "flips_per_minute", "MPJPE": "mpjpe_mm", "PA-MPJPE": "pa_mpjpe_mm",
        "worst tenth": "worst_tenth_mm", "jitter": "acceleration_error_mm_per_frame2",
        "frames back": "frames_to_recover", "new starts": "new_starts", "switches": "switches", "ms": "ms_per_frame",
    }  # fmt: skip
    lines = [f"| hypotheses | | {' | '.join(columns)} |", "|---:|---" + "|---:" * len(columns) + "|"]
    for r in rows:
        cells = (f"{r[key]:.4g}" for key in columns.values())
        lines.append(f"| {r['hypotheses']} | {r['mode']} | {' | '.join(cells)} |")
    return lines


def page(rows: list[dict], head: list[str], cuts: int, picture: list[str]) -> str:
    """What was done, and the table."""
    return "\n".join([
        "# TrackingState", "", *head, "",
        f"Keypoints with noise of {NOISE} of the person's half-size, correlated in time; every {HIDDEN[0]} frames a "
        f"limb is hidden for {HIDDEN[1]}, every {EXCHANGED[0]} frames left and right are exchanged for {EXCHANGED[1]}, "
        f"and {cuts} times the picture cuts to another person. No filter. A flip is a joint that moves {FLIP_M} m "
        "farther from one image to the next than in truth (cuts do not count). MPJPE about the pelvis, PA-MPJPE and "
        "the mean of the worst tenth of the frames in mm over 24 joints; jitter is the error of the acceleration in "
        "mm per frame squared; frames back: images after a cut until the error is below "
        f"{FOUND} times the clip's median. `as sampled` follows the best score of every image. Times are of this "
        "run, on a machine that had other work.", "", *table(rows), *picture,
    ]) + "\n"  # fmt: skip


def main() -> None:
    parser = benchmark_parser(__doc__)
    clips_option(parser, "val")
    shared_options(parser, "weights")
    parser.add_argument("--frames", type=int, default=75, help="frames of each clip at most (default 75)")
    parser.add_argument("--hypotheses", type=int, nargs="+", default=[1, 4, 8], metavar="K", help="default 1 4 8")
    parser.add_argument("--sweep", action="store_true", help="vary the track's settings, at the largest K, instead")
    shared_options(parser, "json", "no_page")
    args = page_arguments(parser)
    torch.set_num_threads(1)
    data = mocap_file("val", args.data)
    body = BodyModel.load()
    lifter = Lifter.load(args.weights, body)
    observed = sequence(data, body, args.frames)
    if args.sweep:
        modes = {"tracked": TRACKED} | {
            f"{name} {value:g}": replace(TRACKED, track=replace(TRACKED.track, **{name: value}))
            for name, values in SWEEP.items() for value in values
        }  # fmt: skip
        plan = [(max(args.hypotheses), mode, settings) for mode, settings in modes.items()]
    else:
        plan = [(k, mode, settings) for k in args.hypotheses for mode, settings in MODES.items()]
    rows, runs = [], {}
    for k, mode, settings in tqdm(plan, unit="run"):
        settings = replace(settings, lifting=LiftingSettings(hypotheses=k))
        runs[k, mode] = follow(lifter, body, settings, observed)
        measured = figures(runs[k, mode], observed)
        rows.append({"hypotheses": k, "mode": mode, **measured, "track": asdict(settings.track)})
        tqdm.write(table(rows[-1:])[-1])
    if not args.no_page:
        written = Page.of_today(f"tracking{'-settings' if args.sweep else ''}", RESULTS)
        seen = f"`{data.name}`: {', '.join(name for name, _, _ in PARTS)}, {len(observed)} frames"
        picture = []
        if not args.sweep:
            most = max(args.hypotheses)
            draw({m: runs[most, m] for m in ("as sampled", "tracked")}, observed, written.beside(".png"))
            picture = ["", f"![Depth of two joints over time, {most} hypotheses]({written.name}.png)"]
        text = page(rows, provenance("benchmarks.tracking", seen), len(observed.cuts), picture)
        print(f"wrote {written.write(text)}")
    end_with_json(args, rows)


if __name__ == "__main__":
    main()
