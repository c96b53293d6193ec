"""What the error on the real clip is made of: ``python -m benchmarks.real_error``.

The lifting alone, with its defaults, is given the truth in the place of what the detector says: exact keypoints, exact
depths or both. What a better detector, or a better guess of depth, could bring at the most is the difference between
two rows. *True lengths*: the lifted limbs, shoulders, hips and trunk keep their directions and get the man's own
lengths, as if his proportions were known after the lifting. *Inverse kinematics*: the mean body is fitted to exact
keypoints and depths, so what remains is that his joints are not where the body model has them. Figures are PA-MPJPE and
MPJPE [mm] of the clip's script (:mod:`benchmarks.protocols.real_clip`); small toes, which the truth lacks, are missing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch

from benchmarks.page.command import benchmark_parser, end_with_json, shared_options
from benchmarks.page.report import Page, page_arguments, provenance
from benchmarks.protocols.clip_poses import clip_joints, clip_pipeline
from benchmarks.protocols.inverse_kinematics import InverseKinematics
from benchmarks.protocols.real_clip import Clip, View, opened_clip, real_clip_options
from diffmocap.body.model import BodyModel
from diffmocap.body.skeleton import KEYPOINT_NAMES
from diffmocap.camera.lens import distort
from diffmocap.fitting.pose_prior import PosePrior
from diffmocap.keypoints.confidence import as_lifted
from diffmocap.lifting.lifter import Lifter
from diffmocap.types import CameraIntrinsics, Keypoints2D

MID_HIP, SMALL_TOES = KEYPOINT_NAMES.index("MidHip"), [KEYPOINT_NAMES.index(f"{s}SmallToe") for s in "LR"]
#: Name of a row, and what is exact of it: keypoints, depths (None: left out).
ROWS: dict[str, tuple[bool, bool | None]] = {
    "the detector's keypoints and depths": (False, False),
    "the detector's keypoints, no depths": (False, None),
    "the detector's keypoints, exact depths": (False, True),
    "exact keypoints, the detector's depths": (True, False),
    "exact keypoints, no depths": (True, None),
    "exact keypoints and depths": (True, True),
}
IK_ROW = "inverse kinematics of the mean body, exact keypoints and depths"
#: Columns of the clip's 12 joints: hip, knee, ankle and shoulder, elbow, wrist of either side.
LIMBS = ((0, 1, 2), (3, 4, 5), (6, 7, 8), (9, 10, 11))
HIPS, SHOULDERS = (0, 3), (6, 9)


def exact(seen: Keypoints2D, places: np.ndarray, camera: CameraIntrinsics) -> Keypoints2D:
    """Keypoints and depths of an image whose true keypoints are at ``places`` [25, 3] m in the optical frame."""
    there = np.ones(len(places), bool)
    there[SMALL_TOES] = False
    points, depth = np.zeros((25, 2), np.float32), np.full(25, np.nan, np.float32)
    points[there] = distort(places[there, :2] / places[there, 2:], camera)
    # Along the ray through the mid-hip, which runs through the person's box.
    ahead = places[MID_HIP] / np.linalg.norm(places[MID_HIP])
    depth[there] = (places[there] - places[MID_HIP]) @ ahead
    return replace(seen, points_px=points, confidence=there.astype(np.float32), depth_m=depth)


def mixed(seen: Keypoints2D, true: Keypoints2D, keypoints: bool, depths: bool | None) -> Keypoints2D:
    """What the detector said, with exact keypoints or depths (None: without depths) in its place."""
    chosen = true if keypoints else seen
    return replace(chosen, depth_m=None if depths is None else (true if depths else seen).depth_m)


def lengths(joints: np.ndarray) -> dict[str, float]:
    """Median lengths [m] in the clip's 12 joints [T, 12, 3]: of both sides where there are two."""

    def between(*pairs: tuple[int, int]) -> float:
        return float(np.median([np.linalg.norm(joints[:, a] - joints[:, b], axis=-1) for a, b in pairs]))

    trunk = joints[:, SHOULDERS].mean(1) - joints[:, HIPS].mean(1)
    found = {"hips": between(HIPS), "shoulders": between(SHOULDERS)}
    found["trunk"] = float(np.median(np.linalg.norm(trunk, axis=-1)))
    for name, (left, right) in {"leg": LIMBS[:2], "arm": LIMBS[2:]}.items():
        found[f"upper {name}"] = between(left[:2], right[:2])
        found[f"lower {name}"] = between(left[1:], right[1:])
    return found


def with_lengths(joints: np.ndarray, wanted: dict[str, float]) -> np.ndarray:
    """Joints [T, 12, 3] m about the mid-hip with limbs, shoulders, hips and trunk of other lengths, directions kept."""

    def along(step: np.ndarray, length: float) -> np.ndarray:
        return step * (length / np.linalg.norm(step, axis=-1, keepdims=True))

    out = np.zeros_like(joints)
    trunk = along(joints[:, SHOULDERS].mean(1) - joints[:, HIPS].mean(1), wanted["trunk"])
    for pair, middle, name in ((HIPS, 0.0, "hips"), (SHOULDERS, trunk, "shoulders")):
        half = along(joints[:, pair[0]] - joints[:, pair[1]], 0.5 * wanted[name])
        out[:, pair[0]], out[:, pair[1]] = middle + half, middle - half
    for number, chain in enumerate(LIMBS):
        name = "leg" if number < 2 else "arm"
        for part, near, far in (("upper", *chain[:2]), ("lower", *chain[1:])):
            out[:, far] = out[:, near] + along(joints[:, far] - joints[:, near], wanted[f"{part} {name}"])
    return out


def fitted(body: BodyModel, prior: PosePrior, view: View, true: Sequence[Keypoints2D]) -> np.ndarray:
    """Joints [T, 24, 3] m of the mean body, fitted to exact keypoints and depths."""
    ideal = replace(view.intrinsics, distortion=())
    fit = InverseKinematics(body, prior, ideal)
    found = [fit.solve(as_lifted(k, view.intrinsics, 0.0)) for k in true]
    return torch.stack(found).double().numpy()


def measure(clip: Clip, places: dict[str, np.ndarray], weights: str | None, every: int, tell: Callable[[str], None]):
    """Figures of each row: ``pa_mpjpe_mm`` and ``mpjpe_mm``, plain and with ``true_lengths``, mean and by view.

    Args:
        places: [97, 25, 3] m of each view's keypoints. every: inverse kinematics takes every n-th judged image.
    """
    body, pipeline = BodyModel.load(), clip_pipeline(Lifter.load(weights), refined=False)
    limbs, true = list(clip.scorer.SMPL), {}
    joints: dict[str, dict[str, np.ndarray]] = {name: {} for name in (*ROWS, IK_ROW)}
    for v, view in clip.views.items():
        judged = [view.keypoints[t] for t in view.frames]
        true[v] = [exact(k, p, view.intrinsics) for k, p in zip(judged, places[v], strict=True)]
        for name, parts in ROWS.items():
            tell(f"view {v}: {name}")
            seen = [mixed(k, t, *parts) for k, t in zip(judged, true[v], strict=True)]
            joints[name][v] = clip_joints(pipeline, seen, view.intrinsics)[:, limbs]
        tell(f"view {v}: {IK_ROW}")
        joints[IK_ROW][v] = fitted(body, PosePrior.load(), view, true[v][::every])[:, limbs]
    figures = {}
    for name, found in joints.items():
        step = every if name == IK_ROW else 1
        part = Clip(
            {v: replace(view, truth=view.truth[::step]) for v, view in clip.views.items()}, clip.scorer, clip.fps / step
        )
        own = {v: with_lengths(x, lengths(clip.views[v].truth)) for v, x in found.items()}
        plain, longer = part.score(found), part.score(own)
        figures[name] = {
            "views": {v: round(plain[v]["pa_mpjpe_mm"], 1) for v in clip.views},
            **{key: round(plain["mean"][key], 1) for key in ("pa_mpjpe_mm", "mpjpe_mm")},
            "true_lengths": {key: round(longer["mean"][key], 1) for key in ("pa_mpjpe_mm", "mpjpe_mm")},
        }
    return figures


def table(figures: dict[str, dict]) -> list[str]:
    """Markdown."""
    views = next(iter(figures.values()))["views"]
    lines = [
        "| given | PA-MPJPE | MPJPE | with true lengths: PA-MPJPE | MPJPE | "
        + " | ".join(f"PA-MPJPE, view {v}" for v in views) + " |", "|---|" + "---:|" * (4 + len(views)),
    ]  # fmt: skip
    for name, row in figures.items():
        cells = [row["pa_mpjpe_mm"], row["mpjpe_mm"], *row["true_lengths"].values(), *row["views"].values()]
        lines.append(f"| {name} | " + " | ".join(f"{cell:.1f}" for cell in cells) + " |")
    return lines


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = benchmark_parser(__doc__)
    shared_options(parser, "weights")
    real_clip_options(parser)
    parser.add_argument("--ik-every", type=int, default=8, help="images of inverse kinematics (default: every 8th)")
    shared_options(parser, "out", "no_page", "json")
    args = page_arguments(parser, arguments)
    torch.set_num_threads(1)
    folder, clip = opened_clip(args)
    with np.load(folder / "truth.npz", allow_pickle=False) as truth:
        places = {v: truth[f"keypoints25_{v}"].astype(float) for v in clip.views}
    figures = measure(clip, places, args.weights, args.ik_every, lambda what: print(what, flush=True))
    lines = table(figures)
    print("\n".join(lines))
    if not args.no_page:
        about = " ".join(__doc__.split("\n\n")[1].split())
        head = ["# What the error on a real man is made of", "", *provenance("benchmarks.real_error", "shared/real")]
        print(Page.of_today("real-error", args.out).write([*head, "", about, "", *lines]))
    end_with_json(args, figures)


if __name__ == "__main__":
    main()
