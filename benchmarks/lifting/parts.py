"""What ``python -m benchmarks.lifting`` measures, part by part, as plain values."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from benchmarks.lifting.made_poses import MadePoseSet, made_poses_scores
from benchmarks.protocols.exact_input import baseline_figures, draw_frames, exact_figures
from diffmocap.body.model import BodyModel
from diffmocap.evaluation.joint_errors import pa_mpjpe_mm
from diffmocap.evaluation.paper_protocol import evaluate_paper_protocol, paper_view
from diffmocap.evaluation.pose_frames import PoseFrames
from diffmocap.evaluation.wild_protocol import DEFAULT_VIEWS, evaluate_wild_protocol
from diffmocap.evaluation.wild_scores import WildFigures
from diffmocap.evaluation.wild_views import WildConfig
from diffmocap.fitting.pose_prior import PosePrior
from diffmocap.lifting.lifter import Lifter

#: Turns of the body with which the wild protocol is repeated, a single sample a frame [degrees].
TURNS_DEG = (90.0, 180.0)


def progress(total: int, text: str) -> tqdm:
    """A bar on stderr that counts frames."""
    return tqdm(total=total, unit="frame", desc=text, file=sys.stderr, dynamic_ncols=True)


def paper_figures(
    model, body: BodyModel, frames: PoseFrames, guidance: Sequence[float], steps: int, seed: int, text: str
) -> dict:
    """Figures of the paper's protocol, each keyed by guidance weight."""
    keys = ("pixel_error", "pixel_error_standard_error", "mpjpe_mm", "pa_mpjpe_mm")
    out: dict = {key: {} for key in keys} | {"frames": len(frames)}
    origin = torch.zeros(len(frames), 3, device=body.device)
    truth = paper_view(body, frames.rotations.to(body.device))[0]
    joints = body.forward_kinematics(truth, origin)[1].cpu().numpy()
    for w in guidance:
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
    model, body: BodyModel, frames: PoseFrames, samples: int, guidance: float, steps: int, seed: int,
    config: WildConfig = DEFAULT_VIEWS,
) -> WildFigures:  # fmt: skip
    """The wild protocol with one guidance weight."""
    turned = f", turned by {config.turned_deg:g} degrees" if config.turned_deg else ""
    with progress(len(frames), f"wild protocol, {samples} samples, w = {guidance:g}{turned}") as bar:
        result = evaluate_wild_protocol(
            model, body, frames.rotations, samples, guidance, steps, seed, frames.numbers, progress=bar.update,
            config=config,
        )  # fmt: skip
    return WildFigures(result)


def wild_figures(
    wild: WildFigures, guidance: float, beside: dict[float, WildFigures], turned: dict[float, WildFigures]
) -> dict:
    """Plain values of the wild protocol, what other guidance weights give, and bodies turned by so many degrees."""
    everything = np.ones(len(wild.result), bool)
    figures = wild.of(everything) | wild.calibration() | {"guidance": guidance}
    by_guidance = {
        f"{w:.1f}": f.of(everything) | f.calibration() | {"by_stratum": f.by_stratum()}
        for w, f in sorted(beside.items())
    }
    return figures | {
        "best_of_mpjpe_mm": wild.best_of(), "by_stratum": wild.by_stratum(), "by_guidance": by_guidance,
        "turned": {f"{angle:g}": f.by_stratum() for angle, f in turned.items()},
    }  # fmt: skip


def synthetic_figures(lifter_weights: str | None, mocap: Path, films: Path, scenes: Sequence, device: str) -> dict:
    """Errors on synthetic video, whole pipeline, over all films and by film."""
    from benchmarks.synthetic.synthetic_video import film_figures
    from diffmocap.pipeline.pose_pipeline import PosePipeline

    figures, by_film = film_figures(scenes, mocap, films, PosePipeline.load(lifter_weights, device=device))
    return figures | {"by_film": by_film}


def exact_part(lifter: Lifter, data: Path, count: int, solved: int) -> dict:
    """The exact protocol on ``count`` frames, and what needs no network; inverse kinematics on ``solved`` of them."""
    frames = draw_frames(data, count)
    figures: dict = {"frames": len(frames), "lifted": exact_figures(lifter, frames)}
    return figures | baseline_figures(BodyModel.load(), frames, PosePrior.load(), min(solved, len(frames)))


def made_part(lifter: Lifter) -> dict[str, float]:
    """PA-MPJPE on the committed poses, all and by family, without and with depth."""
    poses = 2 * len(MadePoseSet.load(lifter.body))
    with progress(poses, "made poses") as bar:
        return made_poses_scores(lifter, progress=bar.update)


def real_part(lifter: Lifter) -> dict | None:
    """The real protocol and the footage without truth; None, and why on stderr, where the clip is missing."""
    from benchmarks.protocols.clip_poses import clip_pipeline
    from benchmarks.protocols.footage import footage_figures, footage_folder
    from benchmarks.protocols.real_clip import CACHE, Clip, clip_figures, clip_folder, lifted_clip

    try:
        clip = Clip.load(clip_folder())
    except FileNotFoundError as missing:
        print(f"the real protocol is left out: {missing}", file=sys.stderr)
        return None
    pipeline = clip_pipeline(lifter, refined=True)
    figures = clip_figures(clip, lifted_clip(clip, pipeline))
    try:
        figures["footage"] = footage_figures(pipeline, footage_folder(), CACHE)
    except FileNotFoundError as missing:
        print(f"the footage without truth is left out: {missing}", file=sys.stderr)
    return figures
