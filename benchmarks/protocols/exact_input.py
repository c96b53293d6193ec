"""How exact is the lifting where the input is exact: ``python -m benchmarks.exact_input --weights W --split val``.

Seeded frames of a split before the camera of :mod:`benchmarks.protocols.exact_views`, one at a time through
:meth:`Lifter.lift <diffmocap.lifting.lifter.Lifter.lift>` with its default settings, but told what noise there is
(``keypoint_noise``): none where the keypoints are exact. PA-MPJPE and MPJPE are over the 12 limb joints, PA-MPJPE also
over the frames whose camera looks down and over those whose camera looks up. Beside each case stand what needs no
network: the mean pose after the best similarity transform, and inverse kinematics (``--baselines N``: over the first N
of the frames, which are in no order). ``--json`` ends with one JSON line.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from tqdm import tqdm

from benchmarks.page.command import benchmark_parser, clips_option, end_with_json, shared_options
from benchmarks.page.report import mocap_file
from benchmarks.protocols.exact_views import CAMERA, ExactViews, InputCase, exact_views
from benchmarks.protocols.inverse_kinematics import InverseKinematics
from diffmocap.body.skeleton import LIMB_JOINTS
from diffmocap.evaluation.joint_errors import mpjpe_mm, procrustes
from diffmocap.evaluation.pose_frames import PoseFrames
from diffmocap.fitting.pose_prior import PosePrior
from diffmocap.lifting.lifter import Lifter
from diffmocap.lifting.settings import POSTERIOR_MEAN, LiftingSettings

#: Frames of a split, drawn from this seed with each clip's share.
FRAMES, SEED = 240, 0
#: Noise of a good detector: of keypoints over the box's half-size, and of depths [m].
NOISE, DEPTH_NOISE_M = 0.02, 0.05
_SHAPES = InputCase(beta_std=0.8, noise=NOISE, depth_noise_m=DEPTH_NOISE_M)
#: By name, with and without depth.
CASES = {
    f"{name}{ending}": replace(case, with_depth=with_depth)
    for name, case in {
        "exact": InputCase(), "shapes_noise": _SHAPES, "missing": InputCase(missing=True),
        "lying": InputCase(turned_deg=90.0), "inverted": InputCase(turned_deg=180.0),
    }.items()
    for ending, with_depth in (("", False), ("_depth", True))
}  # fmt: skip
#: Columns of the hips among the limb joints.
HIPS = tuple(LIMB_JOINTS.index(j) for j in (1, 2))


def draw_frames(path, count: int = FRAMES, seed: int = SEED) -> PoseFrames:
    """``count`` frames of a motion file, drawn with each clip's share, in an order that is drawn as well.

    Any number of the first of them is a sample of the file.
    """
    frames = PoseFrames.load(path).stratified(count, seed)
    return frames.pick(torch.randperm(len(frames), generator=torch.Generator().manual_seed(seed)))


def lifted_joints(
    lifter: Lifter, views: ExactViews, settings: LiftingSettings, progress: Callable[[], object] = lambda: None
) -> torch.Tensor:
    """[N, 24, 3] m in the optical frame, of the best hypothesis."""
    poses = []
    for keypoints in views.keypoints:
        poses.append(lifter.lift(keypoints, CAMERA, settings))
        progress()
    rotations = torch.stack([p.rotations[p.best] for p in poses])
    pelvis = torch.stack([p.pelvis[p.best] for p in poses])
    return lifter.body.forward_kinematics(rotations.to(lifter.device), pelvis.to(lifter.device))[1].cpu()


def limb_errors(
    joints: np.ndarray | torch.Tensor, truth: np.ndarray | torch.Tensor, looks_down: np.ndarray | torch.Tensor
) -> dict[str, float | None]:
    """Errors in mm over the limb joints of [N, 24, 3] m.

    PA-MPJPE and its standard error over the frames, PA-MPJPE of the frames whose camera looks down and of those whose
    camera looks up (None: there are none), and MPJPE with the middle of the hips put together.
    """
    found, true = (np.asarray(x, float)[:, list(LIMB_JOINTS)] for x in (joints, truth))
    aligned = 1e3 * np.linalg.norm(procrustes(found, true) - true, axis=-1).mean(-1)
    down = np.asarray(looks_down)

    def of(chosen: np.ndarray) -> float | None:
        return float(aligned[chosen].mean()) if chosen.any() else None

    return {
        "pa_mpjpe_mm": float(aligned.mean()),
        "standard_error_mm": float(aligned.std() / len(aligned) ** 0.5),
        "looking_down_pa_mpjpe_mm": of(down),
        "looking_up_pa_mpjpe_mm": of(~down),
        "mpjpe_mm": mpjpe_mm(found, true, HIPS),
    }


def exact_figures(
    lifter: Lifter, frames: PoseFrames, settings: LiftingSettings | None = None, cases: Sequence[str] = tuple(CASES),
    seed: int = SEED,
) -> dict[str, dict[str, float]]:  # fmt: skip
    """:func:`limb_errors` of each case by its name, on the body of the lifter."""
    settings = settings or POSTERIOR_MEAN
    figures = {}
    total = len(frames) * len(cases)
    with tqdm(total=total, unit="frame", desc="exact input", file=sys.stderr, dynamic_ncols=True) as bar:
        for name in cases:
            views = exact_views(lifter.body, frames, CASES[name], seed)
            told = replace(settings, keypoint_noise=CASES[name].noise)
            figures[name] = limb_errors(lifted_joints(lifter, views, told, bar.update), views.joints, views.looks_down)
    return figures


def baseline_figures(
    body, frames: PoseFrames, prior: PosePrior, solved: int, cases: Sequence[str] = tuple(CASES), seed: int = SEED
) -> dict[str, dict[str, dict[str, float]]]:  # fmt: skip
    """``mean_pose`` over all frames, and ``inverse_kinematics`` over the first ``solved``, as :func:`exact_figures`."""
    kinematics = InverseKinematics(body, prior, CAMERA)
    figures: dict[str, dict] = {"mean_pose": {}, "inverse_kinematics": {}}
    mean = body.forward_kinematics(prior.mean[None], torch.zeros(1, 3))[1]
    with tqdm(total=solved * len(cases), unit="frame", desc="baselines", file=sys.stderr, dynamic_ncols=True) as bar:
        for name in cases:
            views = exact_views(body, frames, CASES[name], seed)
            figures["mean_pose"][name] = limb_errors(mean.expand(len(frames), -1, -1), views.joints, views.looks_down)
            joints = []
            for keypoints in views.keypoints[:solved]:
                joints.append(kinematics.solve(keypoints, CASES[name].noise, CASES[name].depth_noise_m))
                bar.update()
            if joints:
                errors = limb_errors(torch.stack(joints), views.joints[:solved], views.looks_down[:solved])
                figures["inverse_kinematics"][name] = errors | {"frames": solved}
    return figures


def table(figures: dict[str, dict[str, float]], baselines: dict[str, dict] | None = None) -> list[str]:
    """Markdown rows, a case each."""
    names = {"mean_pose": "mean pose, PA-MPJPE", "inverse_kinematics": "inverse kinematics, PA-MPJPE"}
    beside = [name for name in names if baselines and baselines.get(name)]
    lines = [
        "| case | PA-MPJPE | looking down | looking up | MPJPE |" + "".join(f" {names[name]} |" for name in beside),
        "|---|---:|---:|---:|---:|" + "---:|" * len(beside),
    ]
    for case, f in figures.items():
        looking = (f[f"looking_{way}_pa_mpjpe_mm"] for way in ("down", "up"))
        cells = [case, f"{f['pa_mpjpe_mm']:.1f} ± {f['standard_error_mm']:.1f}"]
        cells += ["–" if x is None else f"{x:.1f}" for x in looking] + [f"{f['mpjpe_mm']:.1f}"]
        cells += [f"{baselines[name][case]['pa_mpjpe_mm']:.1f}" for name in beside]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def main() -> None:
    """Command line."""
    parser = benchmark_parser(__doc__)
    shared_options(parser, "weights")
    parser.add_argument("--split", choices=("val", "test"), default="val", help="which clips (default %(default)s)")
    clips_option(parser, "val")
    parser.add_argument("--frames", type=int, default=FRAMES, help="frames of the split (default %(default)s)")
    parser.add_argument("--cases", default=",".join(CASES), help="which, separated by commas (default: all)")
    parser.add_argument("--baselines", type=int, metavar="N", help="also those without a network, on N frames")
    shared_options(parser, "json")
    args = parser.parse_args()
    torch.set_num_threads(1)
    cases = args.cases.split(",")
    if unknown := set(cases) - set(CASES):
        raise SystemExit(f"--cases {','.join(sorted(unknown))} is unknown; expected some of {', '.join(CASES)}")
    lifter = Lifter.load(args.weights)
    frames = draw_frames(mocap_file(args.split, args.data), args.frames)
    figures, baselines = exact_figures(lifter, frames, cases=cases), None
    if args.baselines:
        baselines = baseline_figures(lifter.body, frames, PosePrior.load(), args.baselines, cases)
    print(f"{len(frames)} frames of the {args.split} split, millimetres over 12 limb joints, ± standard error", "")
    print("\n".join(table(figures, baselines)))
    end_with_json(args, {"split": args.split, "frames": len(frames), "lifted": figures} | (baselines or {}))


if __name__ == "__main__":
    main()
