"""Errors of MediaPipe's points against the body model's keypoints: ``python -m benchmarks.detector_gap``.

Films of the training split are rendered once and cached in ``.cache``. MediaPipe's landmarks of them are compared with
the truth, before and after a mapping fitted to other subjects. Writes a dated page to ``benchmarks/results``.
``--fit`` also fits the mapping to all films and ships it to ``models/`` with its residuals, the noise that training
draws from; the linear map of the world landmarks is stored beside the benchmark.
"""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np

from benchmarks.detector.crop import CropView, crop_view, folds
from benchmarks.detector.mapping_fit import fit_mapping, held_out
from benchmarks.detector.measure import Estimate, direction_groups, summary
from benchmarks.detector.noise_bank import noise_bank
from benchmarks.detector.page import Groups, write_page
from benchmarks.detector.world_baseline import HIPS, LIMB_LANDMARKS, WORLD_MAP, apply_world_map, fit_world_map
from benchmarks.page.command import benchmark_parser, clips_option, shared_options
from benchmarks.page.report import REPOSITORY, commit, mocap_file, page_arguments
from benchmarks.synthetic.breakdown import SIZE_GROUPS, clip_actions, view_groups
from benchmarks.synthetic.detections import Detections, detections
from benchmarks.synthetic.detector_scenes import detector_scenes
from benchmarks.synthetic.scenes import make_films
from diffmocap.body.skeleton import LIMB_JOINTS
from diffmocap.evaluation.joint_errors import mpjpe_mm, pa_mpjpe_mm
from diffmocap.keypoints.landmark_mapping import DEFAULT_MAPPING, LandmarkMapping
from training.manifest import ACKNOWLEDGEMENT, MODELS, write_entry
from training.views.detector_noise import DEFAULT_NOISE


def estimate(mapping: LandmarkMapping, view: CropView) -> Estimate:
    """What a mapping makes of every frame."""
    points = np.einsum("kj,njd->nkd", mapping.points, view.landmarks)
    return Estimate(points, view.landmark_z @ mapping.depth.T + mapping.depth_offset)


def groups(d: Detections, view: CropView, mocap: Path) -> Groups:
    """Frames by direction, size and action."""
    size = view_groups(d.keypoints[view.index], d.root[view.index], d.K[view.index])[1]
    actions = clip_actions(mocap)
    action = np.array([actions[name] for name in d.clip])[d.film[view.index]]
    return {
        "all": {"films": np.ones(len(view.yaw), bool)},
        "direction": direction_groups(view),
        "size": {name: size == name for name in SIZE_GROUPS},
        "action": {name: action == name for name in np.unique(action)},
    }


def world_errors(d: Detections, view: CropView) -> dict[str, dict[str, float]]:
    """Errors of MediaPipe's world landmarks, as they are and after a linear map fitted to other subjects."""
    world = d.world[view.index].astype(float)
    joints = (d.joints[view.index] @ view.R_camera_crop)[:, LIMB_JOINTS]
    fold, mapped = folds(view.group), np.zeros_like(joints)
    for f in np.unique(fold):
        rows = fold == f
        mapped[rows] = apply_world_map(fit_world_map(world[~rows], joints[~rows]), world[rows])
    plain = world[:, LIMB_LANDMARKS]
    return {
        name: {
            "pa": pa_mpjpe_mm(plain[rows], joints[rows]), "linear_pa": pa_mpjpe_mm(mapped[rows], joints[rows]),
            "mpjpe": mpjpe_mm(plain[rows], joints[rows], HIPS),
            "linear_mpjpe": mpjpe_mm(mapped[rows], joints[rows], HIPS),
        }
        for name, rows in {"all": np.ones(len(world), bool), **direction_groups(view)}.items()
    }  # fmt: skip


def ship(d: Detections, view: CropView, left: Estimate, mocap: Path) -> None:
    """Fit to all films; write the models with their entries in the manifest, and the map of the world landmarks."""
    mapping, bank = fit_mapping(view), noise_bank(d, view, left.points, left.depth)
    np.savez_compressed(
        MODELS / DEFAULT_MAPPING, points=mapping.points.astype(np.float32), depth=mapping.depth.astype(np.float32),
        depth_offset=mapping.depth_offset.astype(np.float32),
    )  # fmt: skip
    np.savez_compressed(MODELS / DEFAULT_NOISE, **bank)
    joints = (d.joints[view.index] @ view.R_camera_crop)[:, LIMB_JOINTS]
    np.savez_compressed(WORLD_MAP, weights=fit_world_map(d.world[view.index].astype(float), joints).astype(np.float32))
    everything = np.ones(len(view.yaw), bool)
    before, after = summary(view, estimate(LandmarkMapping.plain(), view), everything), summary(view, left, everything)
    entry = {
        "command": "python -m benchmarks.detector_gap " + " ".join(sys.argv[1:]), "commit": commit(),
        "licence": "Apache-2.0",
        "data": {
            "clips": [mocap.name], "films": len(d.clip), "frames": len(d.film), "acknowledgement": ACKNOWLEDGEMENT,
        },
        "source": f"MediaPipe {version('mediapipe')} (pose full) on rendered bodies",
    }  # fmt: skip
    metrics = {
        f"{key}_{label}": round(figures[key], 4)
        for label, figures in (("plain", before), ("mapped_held_out", after))
        for key in ("mean", "median", "depth_rmse_mm")
    }
    write_entry(MODELS, DEFAULT_MAPPING, {"kind": "landmark mapping", **entry, "metrics": metrics})
    write_entry(MODELS, DEFAULT_NOISE, {"kind": "detector noise", "bank_frames": len(bank["yaw"]), **entry})


def main() -> None:
    """Command line."""
    parser = benchmark_parser(__doc__)
    parser.add_argument("--fit", action="store_true", help="fit mapping and noise bank, ship them to models/")
    parser.add_argument("--scenes", type=int, default=64, help="how many films")
    clips_option(parser, "train", what="clips to film")
    parser.add_argument("--films", type=Path, default=REPOSITORY / ".cache" / "synthetic" / "detector")
    shared_options(parser, "no_page")
    args = page_arguments(parser)
    mocap = mocap_file("train", args.data)
    d = detections(make_films(detector_scenes(mocap, args.scenes), mocap, args.films, skip_unfit=True))
    view = crop_view(d)
    before, after = estimate(LandmarkMapping.plain(), view), Estimate(*held_out(view))
    for title, members in groups(d, view, mocap).items():
        for name, rows in members.items():
            a, b = summary(view, before, rows), summary(view, after, rows)
            print(
                f"{title} {name}: {a['frames']} frames, error over half-size {a['mean']:.4f} -> {b['mean']:.4f} "
                f"(median {a['median']:.4f} -> {b['median']:.4f}), depth {a['depth_rmse_mm']:.0f} -> "
                f"{b['depth_rmse_mm']:.0f} mm"
            )
    if args.fit:
        ship(d, view, after, mocap)
        print(f"wrote {DEFAULT_MAPPING} and {DEFAULT_NOISE} to {MODELS}")
    if not args.no_page:
        data = (
            f"{len(d.clip)} films of `{mocap.name}`, {len(d.film)} frames, somebody found in "
            f"{100 * len(view.index) / len(d.film):.1f} % of them"
        )
        times = d.film[view.index], d.frame[view.index]
        print(f"wrote {write_page(view, before, after, groups(d, view, mocap), times, world_errors(d, view), data)}")


if __name__ == "__main__":
    main()
