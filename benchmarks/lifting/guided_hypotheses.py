"""What several guided hypotheses bring beside one posterior mean: ``python -m benchmarks.guided_hypotheses``.

Keypoints go image by image through the pipeline of the pose node, first without filter and physics ("lifting alone"),
so that what is published is what sampling and tracking make of an image; with ``--refined`` the two main rows run with
physics, too, without a time limit. Three kinds of data: validation clips before a camera with a detector's noise that
is correlated over time, synthetic films of the test split (MediaPipe's keypoints), and the real clip with ground truth
(views 1 to 4). Data that is not there is left out and said.

Figures are means over frames, over 12 limb joints: PA-MPJPE and MPJPE of the published pose; the least PA-MPJPE among
an image's hypotheses ("best of K", which needs the truth); acceleration of the joints about the pelvis; how far the
published pose is from the default's, as a mean over joints about the pelvis. ``published_of_best`` is how much of what
the best of K would gain over the posterior mean the published pose gains. Times are of a whole lift, median CPU
milliseconds of all threads and, on a quiet machine, wall-clock.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from benchmarks.lifting.live_sampling import CLIPS
from benchmarks.page.command import benchmark_parser, clips_option, end_with_json, shared_options
from benchmarks.page.report import REPOSITORY, Page, mocap_file, page_arguments, provenance
from benchmarks.protocols.clip_poses import clip_pipeline
from benchmarks.protocols.real_clip import Clip, clip_folder, real_clip_options
from benchmarks.synthetic.detections import detections
from benchmarks.synthetic.scenes import QUICK_SCENES, SCENES, make_films
from diffmocap.body.mocap import load_split
from diffmocap.body.model import BodyModel
from diffmocap.body.skeleton import LIMB_JOINTS
from diffmocap.errors import DiffmocapError
from diffmocap.evaluation.joint_errors import procrustes
from diffmocap.keypoints.landmark_mapping import LandmarkMapping, keypoints_from_landmarks
from diffmocap.keypoints.settings import DetectorSettings
from diffmocap.lifting.lifter import Lifter
from diffmocap.lifting.settings import POSTERIOR_MEAN, LiftingSettings
from diffmocap.types import CameraIntrinsics, Keypoints2D
from training.lifting.noisy_keypoints import CAMERA, observe

DEFAULT = LiftingSettings()
MEAN, OURS = "posterior mean", "default"
#: Rows by name. The two first are the main ones.
ROWS = {
    MEAN: POSTERIOR_MEAN, OURS: DEFAULT, "default, w = 0": replace(DEFAULT, guidance=0.0),
    "default, w = 1.5": replace(DEFAULT, guidance=1.5), "default, another seed": replace(DEFAULT, seed=1),
    "default, fresh noise": replace(DEFAULT, fresh_noise=True), "K = 9": replace(DEFAULT, hypotheses=9),
    "without the student": replace(DEFAULT, sampler="ddim", steps=7),
}  # fmt: skip
#: Folder of the films in the checkout.
FILMS = ".cache/synthetic"
#: Columns of the hips among the limb joints.
_HIPS = (LIMB_JOINTS.index(1), LIMB_JOINTS.index(2))


@dataclass(frozen=True)
class JudgedVideo:
    """Keypoints of all images; the truth [T, 12, 3] m in the optical frame of the ``judged`` ones [T]."""

    keypoints: list[Keypoints2D]
    intrinsics: CameraIntrinsics
    truth: np.ndarray
    judged: np.ndarray
    fps: float


@dataclass(frozen=True)
class Found:
    """Of the judged images with a pose, ``there`` [T] bool: limb joints published [N, 12, 3] m, and of the hypotheses
    [N, K, 12, 3] m."""

    there: np.ndarray
    published: np.ndarray
    hypotheses: np.ndarray


def mocap_sequences(path: Path, body: BodyModel, frames: int) -> dict[str, JudgedVideo]:
    """Validation clips before a camera."""
    found = {}
    for clip in load_split(path):
        if clip.name in CLIPS:
            o = observe(clip, CLIPS[clip.name], body, frames)
            truth = o.joints.numpy()[:, LIMB_JOINTS]
            found[clip.name] = JudgedVideo(o.keypoints, CAMERA, truth, np.arange(len(truth)), 30.0)
    return found


def film_sequences(mocap: Path, folder: Path, quick: bool) -> dict[str, JudgedVideo]:
    """What MediaPipe says of synthetic films; these are drawn first where ``folder`` lacks them."""
    found, mapping = {}, LandmarkMapping.load()
    for film in make_films(QUICK_SCENES if quick else SCENES, mocap, folder):
        d = detections([film])
        K, (width, height) = d.K[0], d.size[0].tolist()
        seen = np.flatnonzero(d.found)
        keypoints = [
            keypoints_from_landmarks(
                d.landmarks_px[t], d.visibility[t], width, height, int(d.stamp_ns[t]),
                DetectorSettings().min_visibility, d.world[t], mapping,
            )
            for t in seen
        ]  # fmt: skip
        intrinsics = CameraIntrinsics(width, height, K[0, 0], K[1, 1], K[0, 2], K[1, 2])
        found[film.stem] = JudgedVideo(
            keypoints, intrinsics, d.joints[seen][:, LIMB_JOINTS], np.arange(len(seen)), 30.0
        )
    return found


def real_sequences(folder: Path, cache: Path) -> dict[str, JudgedVideo]:
    """The real clip's views. Its truth has the joints in the order of its own script."""
    clip = Clip.load(folder, cache)
    order = [list(clip.scorer.SMPL).index(joint) for joint in LIMB_JOINTS]
    return {
        f"view {v}": JudgedVideo(view.keypoints, view.intrinsics, view.truth[:, order], view.frames, clip.fps)
        for v, view in clip.views.items()
    }


def run(lifter: Lifter, body: BodyModel, settings: LiftingSettings, sequence: JudgedVideo, refined: bool) -> Found:
    """One sequence through the pipeline."""
    pipeline = clip_pipeline(lifter, refined, settings)
    pipeline.reset(camera_moved=True)
    rows = {k.stamp_ns: t for t, k in enumerate(sequence.keypoints)}
    published, hypotheses = {}, {}
    for k in sequence.keypoints:
        result = pipeline.step(k, sequence.intrinsics)
        if result.state is None or result.motion.predicted:
            continue
        t, poses = rows[result.stamp_ns], result.tracked.poses
        published[t] = result.state.joint_positions.numpy()[list(LIMB_JOINTS)]
        drawn = slice(-result.tracked.drawn, None)
        joints = body.forward_kinematics(poses.rotations[drawn], poses.pelvis[drawn])[1]
        hypotheses[t] = joints.numpy()[:, LIMB_JOINTS]
    there = np.array([t in published for t in sequence.judged])
    used = sequence.judged[there]
    return Found(there, np.stack([published[t] for t in used]), np.stack([hypotheses[t] for t in used]))


def pa_mm(estimate: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """[...] mean distance of joints [..., J, 3] after each one's best similarity transform [mm]."""
    flat = estimate.reshape(-1, *estimate.shape[-2:]), truth.reshape(-1, *truth.shape[-2:])
    return 1e3 * np.linalg.norm(procrustes(*flat) - flat[1], axis=-1).mean(-1).reshape(estimate.shape[:-2])


def about_hips(joints: np.ndarray) -> np.ndarray:
    """Joints [..., 12, 3] m about the middle of the hips."""
    return joints - joints[..., _HIPS, :].mean(-2, keepdims=True)


def figures_of(found: Found, sequence: JudgedVideo, default: Found | None) -> dict[str, float]:
    """Of one sequence."""
    truth = sequence.truth[found.there]
    each = pa_mm(found.hypotheses, np.broadcast_to(truth[:, None], found.hypotheses.shape))
    joints = about_hips(found.published)
    figures = {
        "pa_mpjpe_mm": float(pa_mm(found.published, truth).mean()),
        "mpjpe_mm": 1e3 * float(np.linalg.norm(joints - about_hips(truth), axis=-1).mean()),
        "best_of_k_mm": float(each.min(1).mean()), "single_mm": float(each.mean()),
        "acceleration": sequence.fps**2 * float(np.linalg.norm(np.diff(joints, 2, axis=0), axis=-1).mean()),
        "poses": float(found.there.mean()),
    }  # fmt: skip
    if default is not None:
        both = found.there & default.there
        a, b = (about_hips(f.published[both[f.there]]) for f in (found, default))
        figures["moved_mm"] = 1e3 * float(np.linalg.norm(a - b, axis=-1).mean())
    return figures


def measure(
    lifter: Lifter, body: BodyModel, rows: dict[str, LiftingSettings], sequences: dict[str, JudgedVideo], refined: bool
) -> dict[str, dict[str, float]]:
    """Mean figures over sequences of each row."""
    found, default = {}, {name: run(lifter, body, DEFAULT, s, refined) for name, s in sequences.items()}
    for row, settings in tqdm(rows.items(), unit="row"):
        each = []
        for name, sequence in sequences.items():
            ours = default[name] if settings == DEFAULT else run(lifter, body, settings, sequence, refined)
            each.append(figures_of(ours, sequence, default[name]))
        found[row] = {key: float(np.mean([figures[key] for figures in each])) for key in each[0]}
    return found


def lift_ms(lifter: Lifter, settings: LiftingSettings, sequence: JudgedVideo, threads: int) -> dict[str, float]:
    """Median CPU and wall-clock milliseconds of a whole lift, with so many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    taken = []
    try:
        for k in sequence.keypoints:
            cpu, wall = time.process_time(), time.perf_counter()
            lifter.lift(k, sequence.intrinsics, settings)
            taken.append((1e3 * (time.process_time() - cpu), 1e3 * (time.perf_counter() - wall)))
    finally:
        torch.set_num_threads(before)
    cpu_ms, wall_ms = np.median(taken[5:], axis=0).tolist()
    return {"cpu_ms": cpu_ms, "wall_ms": wall_ms}


def share_of_best(rows: dict[str, dict[str, float]]) -> float:
    """Of what the best of the default's hypotheses would gain over the posterior mean, what its pose gains."""
    mean, ours = rows[MEAN]["pa_mpjpe_mm"], rows[OURS]
    return (mean - ours["pa_mpjpe_mm"]) / (mean - ours["best_of_k_mm"])


def table(rows: dict[str, dict[str, float]]) -> Iterator[str]:
    """Markdown; percentages are beside the posterior mean."""
    mean = rows[MEAN]
    yield "| | PA-MPJPE | MPJPE | best of K | one of K | acceleration | from the default | poses |"
    yield "|---|" + "---:|" * 7
    for name, f in rows.items():
        against = {
            key: f"{f[key]:.1f} ({100 * (f[key] / mean[of] - 1):+.1f} %)"
            for key, of in (("pa_mpjpe_mm", "pa_mpjpe_mm"), ("mpjpe_mm", "mpjpe_mm"), ("best_of_k_mm", "pa_mpjpe_mm"))
        }
        yield (
            f"| {name} | {' | '.join(against.values())} | {f['single_mm']:.1f} | {f['acceleration']:.1f} "
            f"| {f['moved_mm']:.1f} | {f['poses']:.3f} |"
        )


def kinds_of(options: argparse.Namespace, body: BodyModel) -> tuple[dict[str, dict[str, JudgedVideo]], list[str]]:
    """Videos by kind of data, and what is not there."""
    mocap = mocap_file("val", options.data)
    kinds = {f"Validation clips ({mocap.name})": mocap_sequences(mocap, body, 40 if options.quick else 100)}
    missing = []
    for kind, made in (
        ("Synthetic films", lambda: film_sequences(mocap_file("test", None), REPOSITORY / FILMS, options.quick)),
        ("A real man, views 1 to 4", lambda: real_sequences(clip_folder(options.clip), options.cache)),
    ):
        try:
            kinds[kind] = made()
        except (FileNotFoundError, DiffmocapError, SystemExit) as error:
            missing.append(f"{kind}: {error}")
    return kinds, missing


def lift_times(lifter: Lifter, video: JudgedVideo) -> dict[str, dict[str, float]]:
    """Of a whole lift, with one thread and with two."""
    return {
        f"{name}, threads: {threads}": lift_ms(lifter, ROWS[name], video, threads)
        for name in (MEAN, OURS) for threads in (1, 2)
    }  # fmt: skip


def figures_of_kinds(options: argparse.Namespace, body: BodyModel) -> dict[str, float]:
    """``k_lift_ms``, and ``published_of_best`` as the mean over kinds of data."""
    lifter, (kinds, _) = Lifter.load(), kinds_of(options, body)
    main_rows = {name: ROWS[name] for name in (MEAN, OURS)}
    shares = [share_of_best(measure(lifter, body, main_rows, videos, refined=False)) for videos in kinds.values()]
    times = lift_times(lifter, next(iter(next(iter(kinds.values())).values())))
    return {"k_lift_ms": times[f"{OURS}, threads: 2"]["wall_ms"], "published_of_best": float(np.mean(shares))}


def main(arguments: list[str] | None = None) -> None:
    parser = benchmark_parser(__doc__)
    clips_option(parser, "val")
    real_clip_options(parser)
    parser.add_argument("--quick", action="store_true", help="40 frames of a clip, three short films, main rows")
    parser.add_argument("--refined", action="store_true", help="the main rows with physics, too")
    shared_options(parser, "weights", "out", "json")
    options = page_arguments(parser, arguments)
    torch.set_num_threads(1)
    lifter, body = Lifter.load(options.weights), BodyModel.load()
    kinds, missing = kinds_of(options, body)
    rows = {name: ROWS[name] for name in list(ROWS)[: 5 if options.quick else None]}
    lines, figures = [], {}
    for kind, videos in kinds.items():
        found = measure(lifter, body, rows, videos, refined=False)
        figures[kind] = found | {"published_of_best": share_of_best(found)}
        lines += [f"## {kind}: lifting alone", "", *table(found), ""]
        lines += [f"Of what the best of K would gain, the published pose gains {share_of_best(found):.0%}.", ""]
        if options.refined:
            main_rows = {name: ROWS[name] for name in (MEAN, OURS)}
            refined = figures[f"{kind}, refined"] = measure(lifter, body, main_rows, videos, refined=True)
            lines += [f"## {kind}: with physics, without a time limit", "", *table(refined), ""]
    times = figures["lift_ms"] = lift_times(lifter, next(iter(next(iter(kinds.values())).values())))
    lines += ["## A whole lift", "", "| | CPU ms | wall-clock ms |", "|---|---:|---:|"]
    lines += [f"| {name} | {t['cpu_ms']:.1f} | {t['wall_ms']:.1f} |" for name, t in times.items()]
    intro = [" ".join(part.split()) + "\n" for part in __doc__.split("\n\n")[1:]]
    data = "; ".join(f"{kind}: {', '.join(videos)}" for kind, videos in kinds.items())
    head = [
        "# Guided hypotheses beside the posterior mean", "", *provenance("benchmarks.guided_hypotheses", data),
        f"- default: {DEFAULT.hypotheses} hypotheses, w = {DEFAULT.guidance:g}",
        *(f"- left out: {m}" for m in missing), "",
    ]  # fmt: skip
    page = [*head, *intro, *lines, ""]
    print("\n".join(page))
    print(Page.of_today("guided-hypotheses" + ("-quick" if options.quick else ""), options.out).write(page))
    end_with_json(options, figures)


if __name__ == "__main__":
    main()
