"""Lifting on a real clip with ground truth: ``python -m benchmarks.real_clip --weights W``.

The *real* protocol: a man seen by four calibrated cameras, each video by itself, every image in its order at 60 Hz, by
the detector and the pose pipeline with their default parameters, the camera's own matrix and distortion, and a
refinement without a time limit (``--lifting-only``: without refinement and filter). The clip's own script scores the
joints of the judged images in that camera's optical frame, and MediaPipe's world landmarks of the same images.
Footage without truth follows (:mod:`benchmarks.protocols.footage`; ``--no-footage``: not). Landmarks are detected once
and kept in ``.cache``; other weights then take seconds. ``--json`` ends with one JSON line.

The clip is a folder ``shared/real`` beside the checkout, or ``--clip FOLDER``: ``cam01.mp4`` to ``cam04.mp4``,
``truth.npz`` and ``score.py``.
"""

from __future__ import annotations

import argparse
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import torch

from benchmarks.detector.video_landmarks import video_landmarks
from benchmarks.page.command import benchmark_parser, end_with_json, shared_options
from benchmarks.page.report import REPOSITORY
from benchmarks.protocols.clip_poses import clip_joints, clip_pipeline
from benchmarks.protocols.footage import footage_figures, footage_folder
from benchmarks.protocols.straight_limbs import KNEES, image_angle_deg, straight_flexion
from diffmocap.lifting.lifter import Lifter
from diffmocap.pipeline.pose_pipeline import PosePipeline
from diffmocap.types import CameraIntrinsics, Keypoints2D

#: Landmarks of videos.
CACHE = REPOSITORY / ".cache" / "landmarks"
VIEWS = ("1", "2", "3", "4")
#: Columns of the clip's 12 joints: hip, knee and ankle of the right leg and of the left, as in ``KNEES``.
KNEES_OF_CLIP = [[0, 1, 2], [3, 4, 5]]
#: The figures of the clip's script, in the order of the table.
FIGURES = {
    "pa_mpjpe_mm": "PA-MPJPE", "mpjpe_mm": "MPJPE", "poses": "poses", "exchanged": "exchanged", "lean_deg": "lean",
    "acceleration": "acceleration", "still_ankle": "still ankle", "pelvis_m": "pelvis",
}  # fmt: skip


def clip_folder(given: str | Path | None = None) -> Path:
    """Folder of the clip: ``given``, or ``shared/real`` beside the checkout.

    Raises:
        FileNotFoundError: the folder lacks a file; the message names it and says what is expected.
    """
    folder = Path(given) if given else REPOSITORY.parent / "shared" / "real"
    for name in ("truth.npz", "score.py", *(f"cam0{v}.mp4" for v in VIEWS)):
        if not (folder / name).is_file():
            raise FileNotFoundError(
                f"no real clip with ground truth: there is no {folder / name}; the folder (--clip FOLDER, else "
                "shared/real beside the checkout) holds cam01.mp4 to cam04.mp4, truth.npz and score.py"
            )
    return folder


def real_clip_options(parser: argparse.ArgumentParser) -> None:
    """``--clip`` and ``--cache``."""
    parser.add_argument("--clip", metavar="FOLDER", help="of the real clip (default: shared/real beside the checkout)")
    parser.add_argument("--cache", type=Path, default=CACHE, help="folder of the landmarks (default: %(default)s)")


def load_scorer(folder: Path) -> ModuleType:
    """The clip's own script, ``score.py``."""
    spec = importlib.util.spec_from_file_location("real_clip_score", folder / "score.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@dataclass(frozen=True)
class View:
    """One camera's video.

    Attributes:
        keypoints: of every image of the video.
        frames: [97] the judged images. truth, mediapipe: [97, 12, 3] m, in the optical frame (MediaPipe's: its axes).
        intrinsics: with distortion.
    """

    keypoints: list[Keypoints2D]
    frames: np.ndarray
    truth: np.ndarray
    mediapipe: np.ndarray
    intrinsics: CameraIntrinsics


@dataclass(frozen=True)
class Clip:
    """The views by name, the script that scores them, and the images' rate."""

    views: dict[str, View]
    scorer: ModuleType
    fps: float

    @classmethod
    def load(cls, folder: Path, cache: Path = CACHE) -> Clip:
        """Detects what ``cache`` does not hold."""
        views = {}
        with np.load(folder / "truth.npz", allow_pickle=False) as truth:
            fps = float(truth["fps"])
            for v in VIEWS:
                landmarks = video_landmarks(folder / f"cam0{v}.mp4", cache)
                K, (width, height) = truth[f"K_{v}"], landmarks.size.tolist()
                intrinsics = CameraIntrinsics(
                    width, height, K[0, 0], K[1, 1], K[0, 2], K[1, 2], tuple(truth[f"distortion_{v}"].tolist())
                )
                views[v] = View(
                    landmarks.keypoints(), truth[f"frames_{v}"], truth[f"joints_{v}"].astype(float),
                    truth[f"mediapipe_{v}"].astype(float), intrinsics,
                )  # fmt: skip
        return cls(views, load_scorer(folder), fps)

    def score(self, joints: dict[str, np.ndarray]) -> dict[str, dict[str, float]]:
        """The script's figures of each view's joints [97, 12, 3] m, and their means as ``mean``."""
        rows = {v: self.scorer.score(joints[v], view.truth, self.fps) for v, view in self.views.items()}
        keys = dict.fromkeys(key for row in rows.values() for key in row)
        # A view without a pose in every image has no acceleration; the mean is then of the others, as in the script.
        rows["mean"] = {key: float(np.mean([row[key] for row in rows.values() if key in row])) for key in keys}
        return rows


def opened_clip(args: argparse.Namespace) -> tuple[Path, Clip]:
    """Folder and clip that :func:`real_clip_options` name; where files are missing the program ends and says which."""
    try:
        folder = clip_folder(args.clip)
    except FileNotFoundError as error:
        raise SystemExit(str(error)) from None
    return folder, Clip.load(folder, args.cache)


def lifted_clip(clip: Clip, pipeline: PosePipeline) -> dict[str, np.ndarray]:
    """Joints [97, 24, 3] m of the judged images of each view, in its optical frame; NaN where there is no pose."""
    return {v: clip_joints(pipeline, view.keypoints, view.intrinsics)[view.frames] for v, view in clip.views.items()}


def clip_figures(clip: Clip, joints: dict[str, np.ndarray]) -> dict:
    """Scores of lifted joints [97, 24, 3] m and of MediaPipe's, and how far knees straight in the image are bent.

    ``straight_knees`` of each view: see :func:`~benchmarks.protocols.straight_limbs.straight_flexion`.
    """
    limbs = {v: x[:, clip.scorer.SMPL] for v, x in joints.items()}
    straight = {}
    for v, view in clip.views.items():
        angle = image_angle_deg([view.keypoints[t] for t in view.frames], KNEES)
        true_knees = view.truth[:, KNEES_OF_CLIP]
        straight[v] = straight_flexion(angle, joints[v][:, [k.joints for k in KNEES]], true_knees)
    return {
        "lifted": clip.score(limbs),
        "mediapipe": clip.score({v: view.mediapipe for v, view in clip.views.items()}),
        "straight_knees": straight,
    }


def table(figures: dict) -> list[str]:
    """Markdown: each view's figures, MediaPipe's in brackets."""
    compared = set(FIGURES) - {"poses", "pelvis_m"}  # MediaPipe's landmarks are about the middle of their own hips
    lines = [f"| view | {' | '.join(FIGURES.values())} |", "|---|" + "---:|" * len(FIGURES)]
    for v, row in figures["lifted"].items():
        theirs = figures["mediapipe"][v]
        cells = [
            f"{row[k]:.3g}" + (f" ({theirs[k]:.3g})" if k in compared else "") if k in row else "–" for k in FIGURES
        ]
        lines.append(f"| {v} | {' | '.join(cells)} |")
    return lines


def limb_table(figures: dict) -> list[str]:
    """Markdown: flexion of limbs that are straight in the image, and flips in depth."""
    lines = [
        "| limbs straight in the image | how many | mean flexion, degrees | true | mean error |",
        "|---|" + "---:|" * 4,
    ]
    rows = {f"knees, view {v}": f for v, f in figures["straight_knees"].items()}
    footage = figures.get("footage")
    for part in ("knees", "elbows") if footage else ():
        rows |= {f"{part}, {name}": f for name, f in footage[f"straight_{part}"].items()}
    for name, f in rows.items():
        cells = ["–" if f.get(k) is None else f"{f[k]:.1f}" for k in ("lifted_deg", "true_deg", "error_deg")]
        lines.append(f"| {name} | {f['count']} | {' | '.join(cells)} |")
    if footage:
        lines += ["", f"Depth flips of the raised leg: {footage['depth_flips']}."]
    return lines


def main() -> None:
    """Command line."""
    parser = benchmark_parser(__doc__)
    shared_options(parser, "weights")
    real_clip_options(parser)
    parser.add_argument("--media", metavar="FOLDER", help="of the footage (default: shared/media beside the checkout)")
    parser.add_argument("--no-footage", action="store_true", help="the clip with ground truth alone")
    parser.add_argument("--lifting-only", action="store_true", help="without refinement and filter")
    parser.add_argument("--joints", type=Path, metavar="FILE", help="keep the joints, as the clip's script takes them")
    shared_options(parser, "json")
    args = parser.parse_args()
    torch.set_num_threads(1)
    try:
        clip = Clip.load(clip_folder(args.clip), args.cache)
        media = None if args.no_footage else footage_folder(args.media)
    except FileNotFoundError as error:
        raise SystemExit(str(error)) from None
    pipeline = clip_pipeline(Lifter.load(args.weights), refined=not args.lifting_only)
    joints = lifted_clip(clip, pipeline)
    if args.joints:
        np.savez_compressed(args.joints, **{f"joints_{v}": x for v, x in joints.items()})
    figures = clip_figures(clip, joints)
    if media is not None:
        figures["footage"] = footage_figures(pipeline, media, args.cache)
    print("\n".join([*table(figures), "", *limb_table(figures)]))
    end_with_json(args, figures)


if __name__ == "__main__":
    main()
