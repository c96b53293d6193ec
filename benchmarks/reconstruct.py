"""Offline reconstruction beside live poses of the same weights and keypoints: ``python -m benchmarks.reconstruct``.

Clips with 3D truth: the bundled one, rendered from motion capture, and the real one of
:mod:`benchmarks.protocols.real_clip` (four views, 60 Hz). *live* is the pose node's pipeline with its defaults and no
time limit; *fast* and *best* are the qualities of
``diffmocap reconstruct``; *free* is *fast* without locked feet, *smooth* also without physics. Nothing is
given about gravity and floor.

MPJPE, PA-MPJPE and MPJPE-G as everywhere here, over 24 joints (real: 12 limb joints). *TV ratio*: total variation of
acceleration over the truth's. *Skate excess*: as the Optimus paper's foot skate, less the truth's, on the bundled clip,
whose floor is known. *Stance slip*: how far toes move while the true ones stand (below 0.1 m/s for 0.2 s), the mean
over stances of the largest distance from their median place; the truth's own slip stands below the table.
*Penetration*: of the lowest point of the soles below the motion's own floor, in the deepest frame, where the floor is
trusted. *Seam ratio*: mean acceleration where windows are joined over that elsewhere. *Minutes a minute*: detection to
file, on the bundled clip.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.detector.video_landmarks import video_landmarks
from benchmarks.page.command import benchmark_parser, end_with_json, name_option, shared_options
from benchmarks.page.report import REPOSITORY, Page, page_arguments, provenance
from benchmarks.protocols.clip_poses import clip_pipeline
from benchmarks.protocols.real_clip import CACHE, Clip, clip_folder
from diffmocap.body.model import BodyModel
from diffmocap.body.skeleton import JOINT_NAMES
from diffmocap.camera.capture import Capture
from diffmocap.evaluation.joint_errors import mpjpe_mm, pa_mpjpe_mm
from diffmocap.evaluation.motion_metrics import acceleration_variation, excess_foot_skate_percent, mpjpe_global_mm
from diffmocap.keypoints.mediapipe_detector import Detector
from diffmocap.lifting.lifter import Lifter
from diffmocap.physics.tree import global_poses
from diffmocap.reconstruct.footage import Footage
from diffmocap.reconstruct.recipe import Recipe
from diffmocap.reconstruct.reconstruction import reconstruct
from diffmocap.reconstruct.settings import QUALITIES, ReconstructSettings
from diffmocap.reconstruct.stitching import blend_weights, window_starts
from diffmocap.reconstruct.work import Reconstructor
from diffmocap.refinement.physics_refiner import points_of
from diffmocap.types import CameraIntrinsics

DEMO = REPOSITORY / "media" / "demo.mp4"
TOES = [JOINT_NAMES.index(name) for name in ("left_foot", "right_foot")]
#: A toe stands below this speed [m/s] for this long [s].
STANDING_M_S, STANDING_S = 0.1, 0.2
ROWS = ("live", "smooth", "free", "fast", "best")


@dataclass(frozen=True)
class Source:
    """A clip with truth.

    Attributes:
        frames: judged ones of the footage. truth: [T, J, 3] m in the optical frame. joints: SMPL's joints that it has.
        feet: columns of the truth that stand: toes, or ankles where it has none.
    """

    name: str
    footage: Footage
    frames: np.ndarray
    truth: np.ndarray
    joints: list[int]
    feet: list[int]


def bundled() -> Source:
    """The bundled clip."""
    with np.load(DEMO.with_suffix(".npz")) as data:
        truth, K = data["joints"].astype(float), data["K"]
    landmarks = video_landmarks(DEMO, CACHE)
    intrinsics = CameraIntrinsics(640, 480, K[0, 0], K[1, 1], K[0, 2], K[1, 2])
    footage = Footage.even(landmarks.keypoints(), intrinsics)
    return Source("bundled clip", footage, np.arange(len(truth)), truth, list(range(24)), TOES)


def sources() -> list[Source]:
    """The bundled clip and the views of the real one."""
    found = [bundled()]
    clip = Clip.load(clip_folder())
    limbs = list(clip.scorer.SMPL)
    ankles = [limbs.index(JOINT_NAMES.index(name)) for name in ("left_ankle", "right_ankle")]
    for v, view in clip.views.items():
        footage = Footage.even(view.keypoints, view.intrinsics, clip.fps)
        found.append(Source(f"real, view {v}", footage, view.frames, view.truth, limbs, ankles))
    return found


def of_live(source: Source, lifter: Lifter) -> np.ndarray:
    """Joints [T, 24, 3] m of the judged frames."""
    pipeline = clip_pipeline(lifter, refined=True)
    pipeline.reset(camera_moved=True)
    joints = np.full((len(source.footage), 24, 3), np.nan)
    for i, keypoints in enumerate(source.footage.keypoints):
        result = pipeline.step(keypoints, source.footage.intrinsics)
        if result.state is not None:
            joints[i] = result.state.joint_positions.numpy()
    return joints[source.frames]


def of_offline(
    source: Source, lifter: Lifter, body: BodyModel, settings: ReconstructSettings
) -> tuple[np.ndarray, float]:
    """Joints [T, 24, 3] m of the judged frames, and the deepest penetration of a trusted floor [m], nan without one."""
    joints, deepest = np.full((len(source.footage), 24, 3), np.nan), [np.nan]
    points = points_of(body).to(dtype=torch.float32)
    for motion in reconstruct(source.footage, lifter, body, settings):
        part = slice(motion.first, motion.first + len(motion.pelvis))
        turned, placed = global_poses(motion.rotations, motion.pelvis, points.bones)
        joints[part] = placed.numpy()
        if motion.floor.trusted:
            gap = points.soles(turned, motion.pelvis) @ motion.floor.ground.up - motion.floor.ground.height
            deepest.append(max(-float(gap.min()), 0.0))
    return joints[source.frames], float(np.nanmax(deepest)) if len(deepest) > 1 else float("nan")


def figures_of(source: Source, joints: np.ndarray) -> dict[str, float]:
    """Figures of joints [T, 24, 3] m against a source's truth; frames without a pose are left out and counted."""
    there = np.isfinite(joints).all((1, 2))
    estimate, truth, fps = joints[there][:, source.joints], source.truth[there], source.footage.fps
    hips = [source.joints.index(JOINT_NAMES.index(name)) for name in ("left_hip", "right_hip")]
    return {
        "poses": float(there.mean()), "mpjpe_mm": mpjpe_mm(estimate, truth, root=tuple(hips)),
        "pa_mpjpe_mm": pa_mpjpe_mm(estimate, truth), "mpjpe_g_mm": mpjpe_global_mm(estimate, truth),
        "tv_ratio": acceleration_variation(estimate, fps) / acceleration_variation(truth, fps),
        "stance_slip_mm": stance_slip_mm(estimate[:, source.feet], truth[:, source.feet], fps),
    }  # fmt: skip


def stance_slip_mm(feet: np.ndarray, truth: np.ndarray, fps: float) -> float:
    """Mean over stances of the largest distance of a foot from its median place; feet and truth [T, F, 3] m."""
    speed = np.linalg.norm(np.gradient(truth, 1.0 / fps, axis=0), axis=-1)
    slips = []
    for foot in range(feet.shape[1]):
        standing = np.flatnonzero(speed[:, foot] < STANDING_M_S)
        for stance in np.split(standing, np.flatnonzero(np.diff(standing) > 1) + 1):
            if len(stance) >= STANDING_S * fps:
                place = feet[stance, foot]
                slips.append(np.linalg.norm(place - np.median(place, 0), axis=-1).max())
    return 1e3 * float(np.mean(slips)) if slips else float("nan")


def true_up(truth: np.ndarray, fps: float) -> np.ndarray:
    """[3] upwards in the optical frame: perpendicular to the plane through the toes of truth [T, 24, 3] that stand."""
    toes = truth[:, TOES]
    standing = toes[np.linalg.norm(np.gradient(toes, 1.0 / fps, axis=0), axis=-1) < STANDING_M_S]
    normal = np.linalg.svd(standing - standing.mean(0))[2][2]
    return normal * -np.sign(normal[1])


def skate_excess(joints: np.ndarray, truth: np.ndarray, up: np.ndarray) -> float:
    """Percentage points on the bundled clip; the floor lies where the true toes rest."""
    soles = [x[:, TOES][:, :, None] for x in (joints, truth)]
    height = float(np.percentile((truth[:, TOES] @ up).min(1), 20))
    return excess_foot_skate_percent(*soles, up=up, height=height)


def seam_ratio(joints: np.ndarray, fps: float, settings: ReconstructSettings) -> float:
    """Mean acceleration of joints [T, J, 3] where two windows count, over that where one does."""
    frames = len(joints)
    length = min(frames, max(round(settings.window_s * fps), 8))
    starts = window_starts(frames, length, min(round(settings.overlap_s * fps), length - 1))
    seam = (blend_weights(starts, length, frames).max(0).values < 0.999).numpy()[1:-1]
    acceleration = np.linalg.norm(np.diff(joints, 2, axis=0), axis=-1).mean(1)
    return float(acceleration[seam].mean() / acceleration[~seam].mean()) if seam.any() else 1.0


def minutes_a_minute(lifter: Lifter) -> dict[str, float]:
    """Of the bundled clip, from detection to the motion's file; live: to the last pose."""
    with Capture(str(DEMO), realtime=False) as video:
        frames = list(video)
    video_s, out = len(frames) / 30.0, {}
    begin = time.perf_counter()
    with Detector() as detector:
        keypoints = [detector.detect(frame) for frame in frames]
    pipeline, intrinsics = clip_pipeline(lifter, refined=True), CameraIntrinsics.from_fov(640, 480)
    for k in keypoints:
        pipeline.step(k, intrinsics)
    out["live"] = (time.perf_counter() - begin) / video_s
    for name in ("fast", "best"):
        with tempfile.TemporaryDirectory() as folder:
            begin = time.perf_counter()
            Reconstructor(Recipe(QUALITIES[name], Path(folder))).reconstruct(str(DEMO), "demo", lambda *told: None)
            out[name] = (time.perf_counter() - begin) / video_s
    return out


def measure(rows: tuple[str, ...], tell: Callable[[str], None]) -> dict:
    """All figures: of each source by row, and those of the JSON line."""
    body = BodyModel.load()
    lifter = Lifter.load(None, body)
    found = sources()
    free = replace(QUALITIES["fast"], lock_feet=False)
    settings = {**QUALITIES, "free": free, "smooth": replace(free, physics=False)}
    clip, by_source = found[0], {s.name: {} for s in found}
    excess, seams = {}, []
    for row in rows:
        for source in found:
            tell(f"{row}: {source.name}")
            live = row == "live"
            joints, deepest = (
                (of_live(source, lifter), np.nan) if live else of_offline(source, lifter, body, settings[row])
            )
            by_source[source.name][row] = figures_of(source, joints) | {"penetration_mm": 1e3 * deepest}
            if source.name == "bundled clip":
                excess[row] = skate_excess(joints, source.truth, true_up(source.truth, source.footage.fps))
            if row == "fast" and np.isfinite(joints).all() and len(joints) > 100:
                seams.append(seam_ratio(joints, source.footage.fps, settings[row]))
    real = [name for name in by_source if name.startswith("real")]

    def mean(key: str) -> dict[str, float]:
        """The bundled clip and the real one count alike."""
        return {
            row: 0.5 * by_source["bundled clip"][row][key]
            + 0.5 * float(np.mean([by_source[name][row][key] for name in real])) for row in rows
        }  # fmt: skip

    return {
        "mpjpe_mm": mean("mpjpe_mm"), "pa_mpjpe_mm": mean("pa_mpjpe_mm"), "mpjpe_g_mm": mean("mpjpe_g_mm"),
        "tv_ratio": {row: by_source["bundled clip"][row]["tv_ratio"] for row in rows}, "skate_excess": excess,
        "stance_slip_mm": {row: by_source["bundled clip"][row]["stance_slip_mm"] for row in rows}
        | {"truth": stance_slip_mm(clip.truth[:, TOES], clip.truth[:, TOES], clip.footage.fps)},
        "penetration_mm": {row: by_source["bundled clip"][row]["penetration_mm"] for row in rows},
        "seam_ratio": float(np.mean(seams)) if seams else None,
        "by_source": by_source,
    }  # fmt: skip


def table(by_source: dict) -> list[str]:
    """Markdown."""
    keys = ("mpjpe_mm", "pa_mpjpe_mm", "mpjpe_g_mm", "tv_ratio", "stance_slip_mm", "penetration_mm", "poses")
    lines = [
        "| clip | row | MPJPE, mm | PA-MPJPE, mm | MPJPE-G, mm | TV ratio | slip, mm | penetration, mm | poses |",
        "|---|---|" + "---:|" * len(keys),
    ]
    for name, rows in by_source.items():
        for row, figures in rows.items():
            lines.append(f"| {name} | {row} | {' | '.join(f'{figures[k]:.3g}' for k in keys)} |")
    return lines


def main() -> None:
    """Command line."""
    parser = benchmark_parser(__doc__)
    parser.add_argument("--quick", action="store_true", help="without the row best")
    name_option(parser, "reconstruct")
    shared_options(parser, "json", "no_page", "out")
    args = page_arguments(parser)
    torch.set_num_threads(1)
    rows = tuple(row for row in ROWS if not (args.quick and row == "best"))
    figures = measure(rows, lambda text: print(text, file=sys.stderr, flush=True))
    figures["minutes_per_minute"] = minutes_a_minute(Lifter.load()) if not args.quick else {}
    if not args.no_page:
        page = Page.of_today(args.name, args.out)
        lines = ["# Offline reconstruction", "", *provenance("benchmarks.reconstruct", "bundled clip, shared/real"), ""]
        lines += [*__doc__.split("\n\n", 1)[1].splitlines(), "", *table(figures["by_source"]), ""]
        lines += [
            f"Skate excess on the bundled clip, percentage points: "
            f"{', '.join(f'{row} {x:.1f}' for row, x in figures['skate_excess'].items())}.",
            f"Stance slip of the truth itself: {figures['stance_slip_mm']['truth']:.1f} mm. "
            f"Seam ratio: {figures['seam_ratio']:.3f}. Minutes for a minute of video: "
            f"{', '.join(f'{row} {x:.2f}' for row, x in figures['minutes_per_minute'].items()) or 'not measured'}.",
        ]
        print(page.write(lines))
    end_with_json(args, figures)


if __name__ == "__main__":
    main()
