"""A predicted motion against the true one, by Optimus's metrics, with intervals.

Both are files of any system: SMPL's parameters, or joints alone. Frames are compared one by one; intervals are
bootstrap ones over seconds of motion, as neighbouring frames err alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from diffmocap.body.feet import ground_height, sole_points
from diffmocap.body.model import BodyModel
from diffmocap.body.motion_files import MOTION_FRAMES
from diffmocap.errors import MotionFileError
from diffmocap.evaluation.bootstrap import interval
from diffmocap.evaluation.joint_errors import procrustes
from diffmocap.evaluation.motion_metrics import acceleration_jumps, skating_frames
from diffmocap.files.array_archive import ArrayArchive
from diffmocap.motion.motion import Motion
from diffmocap.motion.motion_npz import SMPL_VERTICES, read_motion
from diffmocap.physics.contact_points import ContactPoints

#: Names and units of the scores, in the order of tables.
SCORES = {
    "mpjpe_mm": "MPJPE, pelvis to pelvis [mm]",
    "mpjpe_g_mm": "MPJPE-G, nothing aligned [mm]",
    "pa_mpjpe_mm": "MPJPE-PA, each frame fitted [mm]",
    "mpjpe_2d_px": "MPJPE-2d [px]",
    "tv": "TV of the prediction [m/s^2]",
    "tv_truth": "TV of the truth [m/s^2]",
    "foot_skate_pct": "foot skate [% of frames]",
    "foot_skate_excess_points": "foot skate beyond the truth's [points]",
}
#: Stored joints that lie further than this from those of the parameters are of another body [m].
_SAME_BODY_M = 1e-3
#: Joints that lie further than this from the first one, in the median, are given in another unit [m].
_FARTHEST_M = 5.0
_ADVICE = "see docs/files.md for what a motion file holds"


@dataclass(frozen=True)
class Tracked3D:
    """What a file says about where joints are.

    Attributes:
        path: of the file.
        joints: [T, J, 3] m.
        fps: None where the file does not say.
        frame: what the joints are given in, None where the file does not say.
        motion: the pose, where the file has SMPL's parameters of the body in use.
        K: [3, 3] matrix of the camera [px], where the file has one.
    """

    path: Path
    joints: np.ndarray
    fps: float | None
    frame: str | None
    motion: Motion | None
    K: np.ndarray | None = None

    def same_frame(self, other: Tracked3D) -> bool:
        """Whether places of the two can be compared: not where one is the camera's and the other stands on a floor."""
        return None in (self.frame, other.frame) or (self.frame == "optical") == (other.frame == "optical")

    def in_frame(self, frame: str | None) -> np.ndarray:
        """The joints in another frame; as they are where either is unknown."""
        if frame is None or self.frame is None:
            return self.joints
        turn = np.array(MOTION_FRAMES[frame]).T @ np.array(MOTION_FRAMES[self.frame])
        return self.joints @ turn.T


def read_tracked(path: str | Path, body: BodyModel) -> Tracked3D:
    """Reads SMPL's parameters (``poses``, ``trans``, ``betas``), or ``joints`` [T, J, 3] m alone.

    Where a file has both, its joints are what it is judged by.

    Raises:
        MotionFileError: the file is neither, or has parameters of a body that is not the one in use and no joints.
    """
    path = Path(path)
    with ArrayArchive(path, MotionFileError, _ADVICE) as data:
        own, stored = "frame" in data, None
        if "joints" in data:
            stored = data.array("joints", (None, None, 3)).astype(float)
            away = float(np.median(np.linalg.norm(stored - stored[:, :1], axis=-1))) if stored.size else 0.0
            if away > _FARTHEST_M:
                raise data.refused(f"has 'joints' that lie {away:.0f} m from the first one; places are in metres")
        rate = next((key for key in ("mocap_framerate", "mocap_frame_rate", "fps") if key in data), None)
        fps = data.number(rate) if rate else None
        K = data.array("K", (3, 3)).astype(float) if "K" in data else None
        readable = "poses" in data and (own or len(body.template) == SMPL_VERTICES)
        if not readable and stored is None:
            if "poses" in data:
                raise data.refused(
                    "has parameters of SMPL, and the body in use is another one: give --body-model SMPL.npz, or store "
                    "'joints' [T, J, 3] in the file"
                )
            raise data.refused(f"has neither 'poses' nor 'joints'; it holds {data.keys}")
    if not readable:
        return Tracked3D(path, stored, fps, None, None, K)
    motion = read_motion(path, body)
    joints = motion.joints(body).double().numpy()
    if stored is not None and (stored.shape != joints.shape or np.abs(stored - joints).max() > _SAME_BODY_M):
        return Tracked3D(path, stored, motion.fps, motion.frame, None, K)
    return Tracked3D(path, joints, motion.fps, motion.frame, motion, K)


def score(
    pairs: Sequence[tuple[Tracked3D, Tracked3D]], body: BodyModel, K: np.ndarray | None = None
) -> dict[str, list[float] | None]:
    """Mean, low and high of each of :data:`SCORES` over pairs of prediction and truth; None where it cannot be told.

    Args:
        pairs: motions of the same frames and joints.
        body: gives the soles, and the keypoints in the image.
        K: [3, 3] camera matrix [px], for motions in the optical frame; None takes the one in the truth's file.

    Raises:
        MotionFileError: a pair differs in frames, joints or rate.
    """
    rows: dict[str, list[np.ndarray]] = {name: [] for name in SCORES}
    seconds: dict[str, list[str]] = {name: [] for name in SCORES}
    for number, (prediction, truth) in enumerate(pairs):
        rate = _check(prediction, truth)
        for name, values in _frames(prediction, truth, rate, body, K).items():
            rows[name].append(values)
            seconds[name] += [f"{number}:{int(t / rate)}" for t in range(len(values))]
    return {
        name: [round(x, 4) for x in interval([np.concatenate(rows[name])], seconds[name])] if rows[name] else None
        for name in SCORES
    }


def _check(prediction: Tracked3D, truth: Tracked3D) -> float:
    """That the two can be compared; returns their rate, 30 where neither says one."""
    if prediction.joints.shape != truth.joints.shape:
        raise MotionFileError(
            f"{prediction.path} has {len(prediction.joints)} frames of {prediction.joints.shape[1]} joints, "
            f"{truth.path} {len(truth.joints)} of {truth.joints.shape[1]}; the same frames and joints are compared"
        )
    if prediction.fps and truth.fps and abs(prediction.fps - truth.fps) > 1e-3:
        raise MotionFileError(
            f"{prediction.path} has {prediction.fps:g} frames a second, {truth.path} {truth.fps:g}; bring both to one "
            "rate first"
        )
    if len(truth.joints) < 4:
        raise MotionFileError(f"{truth.path} has {len(truth.joints)} frames; at least 4 are needed")
    return prediction.fps or truth.fps or 30.0


def _frames(
    prediction: Tracked3D, truth: Tracked3D, rate: float, body: BodyModel, K: np.ndarray | None
) -> dict[str, np.ndarray]:
    """The score of every frame, of which means are taken."""
    true = truth.joints
    found = prediction.in_frame(truth.frame)

    def distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return 1e3 * np.linalg.norm(a - b, axis=-1).mean(1)

    values = {
        "mpjpe_mm": distance(found - found[:, :1], true - true[:, :1]),
        "mpjpe_g_mm": distance(found, true),
        "pa_mpjpe_mm": distance(procrustes(found, true), true),
        "tv": acceleration_jumps(found, rate),
        "tv_truth": acceleration_jumps(true, rate),
    }
    K = truth.K if K is None else K
    if K is not None and truth.frame == "optical":
        points = [_points(side, joints, body) for side, joints in ((prediction, found), (truth, true))]
        if prediction.motion is None or truth.motion is None:
            points = [found, true]
        if all((x[..., 2] > 0).all() for x in points):
            pixels = [x @ np.asarray(K).T for x in points]
            pixels = [x[..., :2] / x[..., 2:] for x in pixels]
            values["mpjpe_2d_px"] = np.linalg.norm(pixels[0] - pixels[1], axis=-1).mean(1)
    if prediction.motion is not None and truth.motion is not None:
        upright = [side.motion.in_frame("y_up") for side in (prediction, truth)]
        floor = 0.0 if truth.frame != "optical" else _floor(upright[1], body)
        skate, source = (100.0 * skating_frames(_soles(m, body), height=floor).any(1) for m in upright)
        values |= {"foot_skate_pct": skate, "foot_skate_excess_points": skate - source}
    return values


def _points(side: Tracked3D, joints: np.ndarray, body: BodyModel) -> np.ndarray:
    """BODY_25 keypoints [T, 25, 3] in the optical frame where the pose is known, else the joints."""
    if side.motion is None:
        return joints
    motion = side.motion.in_frame("optical")
    return body.keypoints(motion.rotations, motion.pelvis, motion.betas[None]).double().numpy()


def _soles(motion: Motion, body: BodyModel) -> np.ndarray:
    """Heel, ball and toe of both feet [T, 2, 4, 3] m."""
    points = ContactPoints.from_body(body, motion.betas[None])
    turns, joints = body.forward_kinematics(motion.rotations, motion.pelvis, motion.betas[None])
    places = joints[:, points.segment] + (turns[:, points.segment] @ points.offset[..., None])[..., 0]
    feet = [
        [i for i, name in enumerate(points.names) if name.startswith(side) and not name.endswith(("hand", "knee"))]
        for side in ("left", "right")
    ]
    return places[:, torch.tensor(feet)].double().numpy()


def _floor(motion: Motion, body: BodyModel) -> float:
    """Height of the floor that a motion with y up stands on [m]."""
    return ground_height(motion.clip(body), sole_points(body, motion.betas[None]))


def table(scores: dict[str, list[float] | None], what: str, two_frames: bool = False) -> str:
    """The scores as text; ``two_frames``: predictions and truths are given in different ones."""
    width = max(map(len, SCORES.values()))
    lines = [what, "", f"{'':<{width}}{'mean':>10}   95 % interval"]
    for name, title in SCORES.items():
        if scores[name] is None:
            lines.append(f"{title:<{width}}{'-':>10}")
        else:
            mean, low, high = scores[name]
            lines.append(f"{title:<{width}}{mean:>10.2f}   {low:.2f} to {high:.2f}")
    if scores["foot_skate_pct"] is None:
        lines += ["", "Foot skate needs SMPL's parameters of the body in use on both sides."]
    if two_frames:
        lines += [
            "", "Predictions and truths are in different frames, the camera's and one with a floor. Axes were turned,",
            "but where the floor is and how the camera leans is not known: MPJPE-G and MPJPE hold that, too.",
            "`diffmocap reconstruct --frame camera` writes motions in the camera's frame.",
        ]  # fmt: skip
    if scores["mpjpe_2d_px"] is None:
        lines += ["", "MPJPE-2d needs --camera, and motions in the camera's frame."]
    return "\n".join(lines)


def _files(folder: Path) -> list[Path]:
    """The ``.npz`` files below a folder, but for hidden ones, such as what `reconstruct` keeps of unfinished videos."""
    found = sorted(folder.rglob("*.npz"))
    return [path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts)]


def unpredicted(predictions: Path, truths: Path) -> list[str]:
    """Truths in a folder that have no prediction: videos on which a system failed are not to go unnoticed."""
    if not predictions.is_dir():
        return []
    names = [path.relative_to(truths) for path in _files(truths)]
    return [str(name) for name in names if not (predictions / name).is_file()]


def paired(predictions: Path, truths: Path) -> list[tuple[Path, Path]]:
    """Two files, or the files of one name in two folders.

    Raises:
        MotionFileError: one is missing, only one is a folder, or a prediction has no truth.
    """
    for path in (predictions, truths):
        if not path.exists():
            raise MotionFileError(f"there is no file or folder '{path}' (looked in {Path.cwd()}); check the path")
    if predictions.is_dir() != truths.is_dir():
        raise MotionFileError(f"{predictions} and {truths}: give two files, or two folders")
    if not predictions.is_dir():
        return [(predictions, truths)]
    found = _files(predictions)
    if not found:
        raise MotionFileError(f"there is no prediction (*.npz) below {predictions}")
    pairs = [(path, truths / path.relative_to(predictions)) for path in found]
    if missing := [str(truth) for _, truth in pairs if not truth.is_file()]:
        raise MotionFileError(f"{len(missing)} of {len(pairs)} predictions have no truth, the first at {missing[0]}")
    return pairs
