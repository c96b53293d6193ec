"""Which live sampling of one hypothesis serves best: ``python -m benchmarks.live_sampling``.

Validation clips before a fixed camera, keypoints with a detector's noise that is correlated over time, lifted frame by
frame as the pose node does, without the filter. For each setting: joint error about the pelvis, after Procrustes
alignment, and the error of the acceleration (jitter); the last column is the lifter's time a frame in this run. The
defaults of ``POSTERIOR_MEAN`` are chosen here, on the validation split. ``--student`` adds a few-step student's rows
(``training/lifting/distill.py``). Then the defaults are held against DDIM with 50 steps (:func:`live_figures`). Writes
a dated page to ``benchmarks/results``.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from benchmarks.lifting.noisy_keypoints import CAMERA, CORRELATION, NOISE, Observed, observe
from benchmarks.page.command import benchmark_parser, clips_option, end_with_json, shared_options
from benchmarks.page.report import RESULTS, Page, mocap_file, page_arguments, provenance
from diffmocap.body.mocap import load_split
from diffmocap.body.model import BodyModel
from diffmocap.evaluation.joint_errors import mpjpe_mm, pa_mpjpe_mm
from diffmocap.evaluation.paper_protocol import paper_intrinsics, paper_view, pixel_error
from diffmocap.lifting.lifter import Lifter
from diffmocap.lifting.network.condition import make_condition
from diffmocap.lifting.network.weights import load_weights
from diffmocap.lifting.settings import POSTERIOR_MEAN, LiftingSettings
from diffmocap.types import PoseHypotheses

#: A karate form, a front kick and three walks, each seen from another side [rad].
CLIPS = {"135_02.1": 0.3, "135_04": -0.6, "39_01": 0.0, "39_05": 1.2, "43_01": -2.4}

#: One hypothesis, the posterior's mean: what the default's first hypothesis is, and all of it on weak machines.
DEFAULTS = replace(POSTERIOR_MEAN, fresh_noise=True)
WARM = {"warm_start": True, "use_previous": True, "steps": 5}
SETTINGS = [
    DEFAULTS,
    replace(DEFAULTS, use_previous=True),
    replace(DEFAULTS, correction=False),
    replace(DEFAULTS, **WARM),
    replace(DEFAULTS, **WARM, warm_start_time=0.8),
    *(replace(DEFAULTS, steps=n) for n in (2, 3, 5, 10)),
    *(replace(DEFAULTS, steps=5, guidance=w) for w in (0.5, 1.0, 2.0)),
    replace(DEFAULTS, keypoint_noise=0.0),
    replace(DEFAULTS, keypoint_noise=0.04),
    *(replace(DEFAULTS, steps=5, temperature=t) for t in (0.5, 1.0)),
    replace(DEFAULTS, **WARM, temperature=1.0),
    replace(DEFAULTS, steps=5, temperature=1.0, fresh_noise=False),
    *(replace(DEFAULTS, sampler="dpm", steps=n) for n in (4, 8)),
    *(replace(DEFAULTS, sampler="dpm", steps=n, temperature=1.0) for n in (4, 8)),
]
STUDENT_SETTINGS = [
    replace(DEFAULTS, sampler="consistency", steps=n, temperature=temperature, warm_start=False)
    for temperature in (0.0, 1.0) for n in (1, 2, 4)
]  # fmt: skip
#: What live sampling is held against: the evaluation's sampler, a sample of the model's distribution (temperature 1).
OFFLINE = {"sampler": "ddim", "steps": 50, "temperature": 1.0, "warm_start": False, "use_previous": False}


def measure(lifter: Lifter, settings: LiftingSettings, observed: list[Observed]) -> dict[str, float]:
    """Mean figures over the clips."""
    rows = []
    for o in observed:
        joints, keypoints = o.joints.numpy(), o.keypoints
        previous, poses = None, []
        started = time.perf_counter()
        for k in keypoints:
            previous = lifter.lift(k, CAMERA, settings, previous)
            poses.append(previous)
        seconds = time.perf_counter() - started
        rotations = torch.cat([p.rotations for p in poses])
        pelvis = torch.cat([p.pelvis for p in poses])
        found = lifter.body.forward_kinematics(rotations, pelvis)[1].numpy()
        relative = (found - found[:, :1]) - (joints - joints[:, :1])
        jitter = np.linalg.norm(np.diff(relative, 2, axis=0), axis=-1).mean()
        errors = mpjpe_mm(found, joints, (0,)), pa_mpjpe_mm(found, joints)
        rows.append((*errors, 1e3 * jitter, 1e3 * seconds / len(poses)))
    names = ("mpjpe_mm", "pa_mpjpe_mm", "acceleration_error_mm_per_frame2", "ms_per_frame")
    return dict(zip(names, (round(float(x), 2) for x in np.mean(rows, 0))))


def live_figures(
    weights: str | Path | None = None, data: str | Path | None = None, settings: LiftingSettings = DEFAULTS,
    timed_frames: int = 60, clips: int = 16, frames: int = 8, threads: int = 2,
) -> dict[str, float | str]:  # fmt: skip
    """The live sampler against DDIM with 50 steps and the same guidance, K = 1, by default on the test split.

    ``live_ms`` and ``ddim50_ms`` are medians of a whole lift over the same noisy frames of one clip, timed in turn; the
    live one knows the frame before, as it does in use. Errors are pixel errors for clean keypoints before the paper's
    camera, on the first ``frames`` of ``clips`` clips, live ones walked through frame by frame, and like is compared
    with like: ``mean_error_ratio`` is of estimates of the posterior's mean (temperature 0 of both, what is published by
    default), ``sample_error_ratio`` of samples (temperature 1 of both), each over DDIM-50's. A mean has less error than
    a sample whatever the number of steps, so one over the other says nothing of the sampler. ``cold_error_ratio``: as
    ``mean_error_ratio``, without the frames before.
    """
    body = BodyModel.load()
    lifter, all_clips = Lifter(load_weights(weights), body), load_split(mocap_file("test", data))
    offline = replace(settings, **OFFLINE)
    observed = observe(all_clips[0], 0.0, body, timed_frames)
    seconds: dict[LiftingSettings, list[float]] = {settings: [], offline: []}
    threads_before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        previous = None
        for k in tqdm(observed.keypoints, unit="frame", desc="live against DDIM-50"):
            for s, taken in seconds.items():
                started = time.perf_counter()
                found = lifter.lift(k, CAMERA, s, previous)
                taken.append(time.perf_counter() - started)
                previous = found if s is settings else previous
    finally:
        torch.set_num_threads(threads_before)
    live_ms, slow_ms = (1e3 * float(np.median(taken[3:])) for taken in seconds.values())

    long_enough = [c for c in all_clips if len(c) >= frames]
    chosen = [long_enough[i] for i in np.linspace(0, len(long_enough) - 1, min(clips, len(long_enough))).astype(int)]
    poses = torch.stack([torch.as_tensor(c.rotations[:frames], dtype=torch.float32) for c in chosen], 1)
    exact, every = replace(settings, keypoint_noise=0.0), poses.flatten(0, 1)[None]
    figures = {"live_ms": round(live_ms, 2), "ddim50_ms": round(slow_ms, 2)}
    for kind, temperature in (("mean", 0.0), ("sample", 1.0)):
        live = replace(exact, temperature=temperature)
        slow = paper_error(lifter, every, replace(exact, **OFFLINE | {"temperature": temperature}), False)
        figures[f"{kind}_error_ratio"] = round(paper_error(lifter, poses, live, True) / slow, 4)
        if kind == "mean":
            figures["cold_error_ratio"] = round(paper_error(lifter, poses, live, False) / slow, 4)
        figures[f"ddim50_{kind}_pixel_error"] = round(slow, 5)
    return figures | {"frames": len(chosen) * frames, "settings": describe(settings)}


def paper_error(lifter: Lifter, poses: torch.Tensor, settings: LiftingSettings, tracked: bool) -> float:
    """Mean pixel error for T frames of B people, poses [T, B, 24, 3, 3] before the paper's camera with clean keypoints.

    ``tracked``: each frame knows the one before.
    """
    previous, errors = None, []
    for now in poses:
        _, pelvis, points = paper_view(lifter.body, now)
        seen = torch.ones_like(points[..., 0])
        condition = make_condition(points, seen, paper_intrinsics()[None], settings.keypoint_noise)
        rotations = lifter.sample(condition, settings, previous)
        errors.append(pixel_error(lifter.body, rotations, pelvis, points))
        previous = PoseHypotheses(rotations, pelvis, torch.zeros(len(now))) if tracked else None
    return float(torch.cat(errors).mean())


def describe(settings: LiftingSettings) -> str:
    """What differs from the plain sampler, in words."""
    sampler = "" if settings.sampler in ("auto", "ddim") else f" of {settings.sampler}"
    start = f"warm from {settings.warm_start_time:g}" if settings.warm_start else "cold"
    noise = "fresh noise" if settings.fresh_noise else "fixed noise"
    if settings.temperature < 1:
        noise = f"{noise} x {settings.temperature:g}" if settings.temperature else "no noise"
    told = f", told noise {settings.keypoint_noise:g}" if settings.keypoint_noise != NOISE else ""
    before = ", knows the pose before" if settings.use_previous else ""
    as_sampled = "" if settings.correction else ", not corrected"
    return f"{settings.steps} steps{sampler}, {start}{before}, {noise}, w = {settings.guidance:g}{told}{as_sampled}"


def main() -> None:
    parser = benchmark_parser(__doc__)
    clips_option(parser, "val")
    shared_options(parser, "weights")
    parser.add_argument("--student", help="weights of a few-step student, for rows of its own")
    parser.add_argument("--frames", type=int, default=150, help="frames of each clip (default 150)")
    shared_options(parser, "json", "no_page")
    args = page_arguments(parser)
    torch.set_num_threads(1)
    data = mocap_file("val", args.data)
    body = BodyModel.load()
    lifter = Lifter(load_weights(args.weights), body)
    clips = {clip.name: clip for clip in load_split(data)}
    observed = [observe(clips[name], yaw, body, args.frames) for name, yaw in CLIPS.items()]
    tried = [(lifter, s, describe(s)) for s in SETTINGS]
    if args.student:
        student = Lifter(load_weights(args.student), body)
        tried += [(student, s, f"student: {describe(s)}") for s in STUDENT_SETTINGS]
    rows = []
    for used, settings, text in tqdm(tried, unit="setting"):
        rows.append({"settings": asdict(settings), "text": text, **measure(used, settings, observed)})
        r = rows[-1]
        tqdm.write(
            f"{r['text']:60s} MPJPE {r['mpjpe_mm']:6.1f}  PA {r['pa_mpjpe_mm']:6.1f}  "
            f"jitter {r['acceleration_error_mm_per_frame2']:6.1f}  {r['ms_per_frame']:5.1f} ms"
        )
    live = live_figures(args.weights, data)
    print(f"defaults against DDIM-50: {json.dumps(live)}")
    if not args.no_page:
        source = f"`{data.name}`: {', '.join(CLIPS)}, at most {args.frames} frames each"
        lines = [
            "# Live sampling", "",
            *provenance("benchmarks.live_sampling", source), "",
            f"Keypoints with noise of {NOISE} of the person's half-size, correlated by {CORRELATION} from frame to "
            "frame; no filter. MPJPE about the pelvis and PA-MPJPE in mm over 24 joints; jitter is the error of the "
            "acceleration in mm per frame squared; times are of this run, one thread.", "",
            "| sampling | MPJPE | PA-MPJPE | jitter | ms per frame |", "|---|---:|---:|---:|---:|",
            *[f"| {r['text']} | {r['mpjpe_mm']:.1f} | {r['pa_mpjpe_mm']:.1f} | "
              f"{r['acceleration_error_mm_per_frame2']:.1f} | {r['ms_per_frame']:.1f} |" for r in rows],
            "", f"The defaults ({live['settings']}) against DDIM with 50 steps, same guidance, one hypothesis, 2 "
            f"threads, a whole lift, medians: {live['live_ms']:.1f} against {live['ddim50_ms']:.0f} ms. Pixel error of "
            f"clean keypoints before the paper's camera ({live['frames']} frames), means (temperature 0): "
            f"{live['mean_error_ratio']:.3f} of DDIM-50's ({live['ddim50_mean_pixel_error']:.4f}), "
            f"{live['cold_error_ratio']:.3f} without knowing the frame before; samples (temperature 1): "
            f"{live['sample_error_ratio']:.3f} of DDIM-50's ({live['ddim50_sample_pixel_error']:.4f}).",
        ]  # fmt: skip
        print(f"wrote {Page.of_today('live-sampling', RESULTS).write(lines)}")
    end_with_json(args, {"settings": rows, "live": live})


if __name__ == "__main__":
    main()
