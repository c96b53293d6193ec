"""Which live sampling serves best: ``python -m benchmarks.live_sampling``.

Validation clips before a fixed camera, keypoints with a detector's noise that is correlated over time, lifted frame by
frame as the pose node does, without the smoother. For each setting: joint error about the pelvis, after Procrustes
alignment, and the error of the acceleration (jitter); the last column is the lifter's time a frame in this run. The
defaults of ``LiftingSettings`` are chosen here, on the validation split. Writes a dated page to ``benchmarks/results``.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict

import numpy as np
import torch
from tqdm import tqdm

from benchmarks.noisy_keypoints import CAMERA, CORRELATION, NOISE, Observed, observe
from benchmarks.report import RESULTS, mocap_file, provenance, today
from diffmocap.body.mocap import load_split
from diffmocap.body.model import BodyModel
from diffmocap.evaluation import mpjpe_mm, pa_mpjpe_mm
from diffmocap.lifting.lifter import Lifter, LiftingSettings
from diffmocap.lifting.weights import load_weights

#: A karate form, a front kick and three walks, each seen from another side [rad].
CLIPS = {"135_02.1": 0.3, "135_04": -0.6, "39_01": 0.0, "39_05": 1.2, "43_01": -2.4}

SETTINGS = [
    LiftingSettings(),
    LiftingSettings(warm_start_time=0.8),
    LiftingSettings(warm_start=False),
    *(LiftingSettings(steps=n, warm_start=False) for n in (1, 2, 3, 10)),
    LiftingSettings(guidance=0.5),
    LiftingSettings(warm_start=False, guidance=0.5),
    LiftingSettings(warm_start=False, guidance=1.0),
    LiftingSettings(keypoint_noise=0.0),
    LiftingSettings(keypoint_noise=0.04),
    LiftingSettings(temperature=0.5),
    LiftingSettings(temperature=1.0),
    LiftingSettings(temperature=1.0, warm_start_time=0.3),
    LiftingSettings(temperature=1.0, warm_start=False),
    LiftingSettings(temperature=1.0, warm_start=False, fresh_noise=False),
]


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
        rows.append((mpjpe_mm(found, joints, (0,)), pa_mpjpe_mm(found, joints), 1e3 * jitter, 1e3 * seconds / len(poses)))
    names = ("mpjpe_mm", "pa_mpjpe_mm", "acceleration_error_mm_per_frame2", "ms_per_frame")
    return dict(zip(names, (round(float(x), 2) for x in np.mean(rows, 0))))


def describe(settings: LiftingSettings) -> str:
    """What differs from the plain sampler, in words."""
    start = f"warm from {settings.warm_start_time:g}" if settings.warm_start else "cold"
    noise = "fresh noise" if settings.fresh_noise else "fixed noise"
    noise = "no noise" if settings.temperature == 0 else noise + (f" x {settings.temperature:g}" if settings.temperature < 1 else "")
    told = f", told noise {settings.keypoint_noise:g}" if settings.keypoint_noise != NOISE else ""
    return f"{settings.steps} steps, {start}, {noise}, w = {settings.guidance:g}{told}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="clips (default: the validation split; see benchmarks/README.md)")
    parser.add_argument("--weights", help="weights file (default: the shipped one)")
    parser.add_argument("--frames", type=int, default=150, help="frames of each clip (default 150)")
    parser.add_argument("--json", action="store_true", help="end with one JSON line")
    parser.add_argument("--no-page", action="store_true", help="do not write the page")
    args = parser.parse_args()
    torch.set_num_threads(1)
    data = mocap_file("val", args.data)
    body = BodyModel.load()
    lifter = Lifter(load_weights(args.weights), body)
    clips = {clip.name: clip for clip in load_split(data)}
    observed = [observe(clips[name], yaw, body, args.frames) for name, yaw in CLIPS.items()]
    rows = []
    for settings in tqdm(SETTINGS, unit="setting"):
        rows.append({"settings": asdict(settings), "text": describe(settings), **measure(lifter, settings, observed)})
        r = rows[-1]
        tqdm.write(
            f"{r['text']:60s} MPJPE {r['mpjpe_mm']:6.1f}  PA {r['pa_mpjpe_mm']:6.1f}  "
            f"jitter {r['acceleration_error_mm_per_frame2']:6.1f}  {r['ms_per_frame']:5.1f} ms"
        )
    if not args.no_page:
        RESULTS.mkdir(exist_ok=True)
        page = RESULTS / f"{today()}-live-sampling.md"
        page.write_text("\n".join([
            "# Live sampling", "",
            *provenance("benchmarks.live_sampling", f"`{data.name}`: {', '.join(CLIPS)}, at most {args.frames} frames each"), "",
            f"Keypoints with noise of {NOISE} of the person's half-size, correlated by {CORRELATION} from frame to frame; no "
            "smoother. MPJPE about the pelvis and PA-MPJPE in mm over 24 joints; jitter is the error of the acceleration "
            "in mm per frame squared; times are of this run, one thread.", "",
            "| sampling | MPJPE | PA-MPJPE | jitter | ms a frame |", "|---|---:|---:|---:|---:|",
            *[f"| {r['text']} | {r['mpjpe_mm']:.1f} | {r['pa_mpjpe_mm']:.1f} | "
              f"{r['acceleration_error_mm_per_frame2']:.1f} | {r['ms_per_frame']:.1f} |" for r in rows],
        ]) + "\n")  # fmt: skip
        print(f"wrote {page}")
    if args.json:
        print(json.dumps(rows))


if __name__ == "__main__":
    main()
