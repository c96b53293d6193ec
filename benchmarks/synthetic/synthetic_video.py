"""Lifting against MediaPipe's own 3D on synthetic video: ``python -m benchmarks.synthetic_video``.

Films of held-out motion with exact ground truth are drawn and shown to MediaPipe (once; films and landmarks are kept in
``.cache``), the landmarks become keypoints as in the keypoint node, and the pipeline of the pose node lifts and smooths
them. MediaPipe's world landmarks of the same frames are the baseline; a linear map of them, fitted to films of training
motion (``benchmarks/detector/world_baseline.py``), is a stronger one. Errors are over the 12 limb joints: MPJPE with
the middle of the hips put together, PA-MPJPE after the best similarity transform of every frame. ``--json`` ends with
one JSON line. Writes a dated page to ``benchmarks/results``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from benchmarks.detector.world_baseline import HIPS, LIMB_LANDMARKS, apply_world_map, load_world_map
from benchmarks.page.command import benchmark_parser, clips_option, end_with_json, shared_options
from benchmarks.page.report import REPOSITORY, RESULTS, Page, mocap_file, page_arguments, provenance
from benchmarks.synthetic.breakdown import SIZE_BOUNDS, SIZE_GROUPS, YAW_BOUNDS, YAW_GROUPS, clip_actions, view_groups
from benchmarks.synthetic.detections import detections
from benchmarks.synthetic.scenes import QUICK_SCENES, SCENES, Scene, make_films
from diffmocap.body.skeleton import LIMB_JOINTS
from diffmocap.camera.projection import project
from diffmocap.evaluation.joint_errors import keypoint_error_px, mpjpe_mm, pa_mpjpe_mm
from diffmocap.keypoints.landmark_mapping import LandmarkMapping, keypoints_from_landmarks
from diffmocap.keypoints.settings import DetectorSettings
from diffmocap.pipeline.pose_pipeline import PosePipeline
from diffmocap.pipeline.settings import PipelineSettings
from diffmocap.types import CameraIntrinsics

#: The methods that are compared, with the names that figures and page give them.
METHODS = {"lifted": ("", "lifting"), "baseline": ("baseline_", "MediaPipe"), "linear": ("linear_", "mapped MediaPipe")}


@dataclass(frozen=True)
class Comparison:
    """Limb joints [T, 12, 3] m in the optical frame, of the frames for which all methods gave a pose.

    ``yaw`` and ``distance`` [T] are the frames' groups (see ``benchmarks/synthetic/breakdown.py``), ``action`` that of
    the film. ``keypoint_px`` is the detector's mean distance from the true keypoints; ``frames`` counts the whole film.
    """

    name: str
    truth: np.ndarray
    lifted: np.ndarray
    baseline: np.ndarray
    linear: np.ndarray
    yaw: np.ndarray
    distance: np.ndarray
    action: str
    frames: int
    keypoint_px: float


def measure(
    film: Path, pipeline: PosePipeline, world_map: np.ndarray, action: str, mapping: LandmarkMapping
) -> Comparison:
    """Run what MediaPipe says of one film, from its first frame, through mapping and pipeline."""
    d = detections([film])
    yaw, distance = view_groups(d.keypoints, d.root, d.K)
    K, (width, height) = d.K[0], d.size[0].tolist()
    intrinsics = CameraIntrinsics(width, height, K[0, 0], K[1, 1], K[0, 2], K[1, 2])
    true_px = project(torch.from_numpy(d.keypoints).double(), torch.from_numpy(K)).numpy()
    pipeline.reset()
    used, lifted, pixel_errors = [], [], []
    for t in np.flatnonzero(d.found):
        keypoints = keypoints_from_landmarks(
            d.landmarks_px[t], d.visibility[t], width, height, int(d.stamp_ns[t]), DetectorSettings().min_visibility,
            d.world[t], mapping,
        )  # fmt: skip
        result = pipeline.step(keypoints, intrinsics)
        if result.state is None:
            continue
        used.append(t)
        lifted.append(result.state.joint_positions.numpy()[list(LIMB_JOINTS)])
        pixel_errors.append(keypoint_error_px(keypoints.points_px[None], true_px[None, t], keypoints.confidence[None]))
    world = d.world[used].astype(float)
    return Comparison(
        film.stem, d.joints[used][:, LIMB_JOINTS], np.array(lifted).reshape(-1, len(LIMB_JOINTS), 3),
        world[:, LIMB_LANDMARKS], apply_world_map(world_map, world), yaw[used], distance[used], action, len(d.frame),
        float(np.mean(pixel_errors or [np.nan])),
    )  # fmt: skip


def errors(comparisons: list[Comparison]) -> dict[str, float]:
    """PA-MPJPE and MPJPE of each method over all compared frames."""
    truth = np.concatenate([c.truth for c in comparisons])
    figures = {}
    for method, (prefix, _) in METHODS.items():
        estimate = np.concatenate([getattr(c, method) for c in comparisons])
        figures[f"{prefix}pa_mpjpe_mm"] = round(pa_mpjpe_mm(estimate, truth), 2)
        figures[f"{prefix}mpjpe_mm"] = round(mpjpe_mm(estimate, truth, HIPS), 2)
    return figures


def breakdowns(comparisons: list[Comparison]) -> dict[str, dict[str, dict[str, float]]]:
    """Errors and numbers of frames by direction, by the person's size in the image, and by action."""
    actions = sorted({c.action for c in comparisons})
    return {
        "by_yaw": {g: part for g in YAW_GROUPS if (part := _part(comparisons, lambda c, g=g: c.yaw == g))},
        "by_distance": {g: part for g in SIZE_GROUPS if (part := _part(comparisons, lambda c, g=g: c.distance == g))},
        "by_action": {g: _part(comparisons, lambda c, g=g: np.full(len(c.truth), c.action == g)) for g in actions},
    }


def _part(comparisons: list[Comparison], chosen: Callable[[Comparison], np.ndarray]) -> dict[str, float]:
    parts = []
    for c in comparisons:
        rows = chosen(c)
        arrays = {key: getattr(c, key)[rows] for key in ("truth", *METHODS)}
        parts.append(replace(c, **arrays))
    parts = [part for part in parts if len(part.truth)]
    return {"frames": sum(len(part.truth) for part in parts), **errors(parts)} if parts else {}


def film_figures(
    scenes: Sequence[Scene], mocap: Path, folder: Path, pipeline: PosePipeline, calibrated: bool = True
) -> tuple[dict, dict[str, dict]]:
    """Figures over all films of the scenes, with their breakdowns, and by film.

    Films are drawn where ``folder`` lacks them. ``calibrated`` as in the detector's settings.

    Raises:
        SystemExit: no frame got a pose from all methods.
    """
    world_map, actions = load_world_map(), clip_actions(mocap)
    mapping = LandmarkMapping.load() if calibrated else LandmarkMapping.plain()
    films = make_films(scenes, mocap, folder)
    pairs = tqdm(list(zip(films, scenes, strict=True)), desc="lifting films", unit="film", file=sys.stderr)
    comparisons = [measure(film, pipeline, world_map, actions[scene.piece.clip], mapping) for film, scene in pairs]
    compared = [c for c in comparisons if len(c.truth)]
    if not compared:
        raise SystemExit("no frame got a pose from all methods; look at the films")
    figures = _summary(compared) | {"frames": sum(c.frames for c in comparisons)} | breakdowns(compared)
    return figures, {c.name: _summary([c]) for c in compared}


def write_page(figures: dict, by_film: dict[str, dict], settings: PipelineSettings, uncalibrated: bool = False) -> Path:
    """The dated Markdown page."""
    columns = [f"{prefix}{error}" for error in ("pa_mpjpe_mm", "mpjpe_mm") for prefix, _ in METHODS.values()]
    names = [name for _, name in METHODS.values()]
    heads = [f"PA-MPJPE {names[0]}", *names[1:], f"MPJPE {names[0]}", *names[1:]]

    def cells(f: dict) -> str:
        return " | ".join(f"{f[c]:.1f}" for c in columns)

    rows = [
        f"| {name} | {f['compared_frames']} of {f['frames']} | {f['keypoint_px']:.1f} | {cells(f)} |"
        for name, f in [*by_film.items(), ("**all**", figures)]
    ]
    titles = {"by_yaw": "direction", "by_distance": "size", "by_action": "action"}
    parts = []
    for key, title in titles.items():
        parts += ["", f"| {title} | frames | {' | '.join(heads)} |", "|---|" + "---:|" * 7]
        parts += [f"| {group} | {f['frames']} | {cells(f)} |" for group, f in figures[key].items()]
    worse = [name for name, f in by_film.items() if f["pa_mpjpe_mm"] >= f["baseline_pa_mpjpe_mm"]]
    data = f"{len(by_film)} films of `cmu_smpl30_test.npz`, {figures['frames']} frames"
    lines = [
        "# Lifting against MediaPipe's world landmarks on synthetic video", "",
        *provenance("benchmarks.synthetic_video", data),
        f"- sampling: {settings.lifting.steps} DDIM steps, w = {settings.lifting.guidance:g}, "
        f"{settings.lifting.hypotheses} hypotheses, smoothed as in the pose node",
        f"- keypoints: {'the landmarks as MediaPipe names them' if uncalibrated else 'landmarks mapped onto the body'}",
        "",
        "Millimetres over the 12 limb joints, frames in which all methods gave a pose. Mapped MediaPipe is a linear "
        "map of the world landmarks, fitted to films of the training split.", "",
        f"| film | compared frames | detector px | {' | '.join(heads)} |", "|---|" + "---:|" * 8, *rows, "",
        f"Lifting has the lower PA-MPJPE in {len(by_film) - len(worse)} of {len(by_film)} films"
        + (f"; MediaPipe has it in {', '.join(worse)}." if worse else "."), *parts, "",
        f"Direction of the pelvis, seen from the middle of the person's box: front within {YAW_BOUNDS[0]:g} degrees of "
        f"the camera, rear beyond {YAW_BOUNDS[1]:g}. Size is the longer side of the box: near from {SIZE_BOUNDS[0]:g} "
        f"pixels, far below {SIZE_BOUNDS[1]:g}.", "",
        "The body is the shipped one, dressed, in a room, with shapes other than the mean in most films; the demo "
        "clip's motion is not among them. The joints that count as true are the body model's own. MediaPipe's hips and "
        "shoulders are defined a little differently, which is part of its error here and not of the lifting's.",
    ]  # fmt: skip
    return Page.of_today(f"synthetic-video{'-uncalibrated' if uncalibrated else ''}", RESULTS).write(lines)


def main() -> None:
    """Command line."""
    parser = benchmark_parser(__doc__)
    parser.add_argument("--quick", action="store_true", help="three short films instead of all, no page")
    clips_option(parser, "test", what="clips to film")
    parser.add_argument("--films", type=Path, default=REPOSITORY / ".cache" / "synthetic", help="folder of the films")
    shared_options(parser, "weights")
    parser.add_argument("--guidance", type=float, help="guidance weight (default: the pose node's)")
    parser.add_argument("--steps", type=int, help="sampler steps (default: the pose node's)")
    parser.add_argument("--hypotheses", type=int, help="samples per frame (default: the pose node's)")
    shared_options(parser, "device")
    parser.add_argument("--uncalibrated", action="store_true", help="without the detector's landmark mapping")
    shared_options(parser, "json", "no_page")
    args = page_arguments(parser, writes=lambda options: not options.quick)
    settings = PipelineSettings()
    changes = {k: getattr(args, k) for k in ("guidance", "steps", "hypotheses") if getattr(args, k) is not None}
    settings = replace(settings, lifting=replace(settings.lifting, **changes))
    pipeline = PosePipeline.load(args.weights, device=args.device, settings=settings)
    scenes = QUICK_SCENES if args.quick else SCENES
    mocap = mocap_file("test", args.data)
    figures, by_film = film_figures(scenes, mocap, args.films, pipeline, calibrated=not args.uncalibrated)
    for name, f in [*by_film.items(), ("all", figures)]:
        print(
            f"{name}: PA-MPJPE {f['pa_mpjpe_mm']:.1f} mm (MediaPipe {f['baseline_pa_mpjpe_mm']:.1f}, mapped "
            f"{f['linear_pa_mpjpe_mm']:.1f}), MPJPE {f['mpjpe_mm']:.1f} mm (MediaPipe {f['baseline_mpjpe_mm']:.1f}, "
            f"mapped {f['linear_mpjpe_mm']:.1f}), "
            f"{f['compared_frames']} of {f['frames']} frames, keypoints {f['keypoint_px']:.1f} px off"
        )
    if not (args.quick or args.no_page):
        print(f"wrote {write_page(figures, by_film, settings, args.uncalibrated)}")
    end_with_json(args, figures)


def _summary(comparisons: list[Comparison]) -> dict[str, float]:
    return errors(comparisons) | {
        "frames": sum(c.frames for c in comparisons),
        "compared_frames": sum(len(c.truth) for c in comparisons),
        "keypoint_px": round(float(np.mean([c.keypoint_px for c in comparisons])), 2),
    }


if __name__ == "__main__":
    main()
