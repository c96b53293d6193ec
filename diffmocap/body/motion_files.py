"""Readers of motion files: clip collections, AMASS, and the files this package writes."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import roma
import torch

from diffmocap.body.kinematics import bone_offsets
from diffmocap.body.motion_clip import MotionClip, resample
from diffmocap.body.rotation_columns import check_axis_angle, columns_of_joints
from diffmocap.body.skeleton import NUM_JOINTS
from diffmocap.errors import MotionFileError
from diffmocap.files.array_archive import ArrayArchive

if TYPE_CHECKING:
    from diffmocap.body.model import BodyModel

#: Reasons that are logged of files in a folder that cannot be used.
MAX_REASONS = 10
_ADVICE = "copy it again, or see docs/training.md for what a motion file holds"
_log = logging.getLogger(__name__)

#: Rest offsets from the parent [m] and pelvis position of SMPL's neutral mean shape (betas 0), rounded to
#: a millimetre; they stand in for the user's SMPL file when an AMASS file is read without one.
SMPL_LEG_OFFSETS = {
    1: (0.059, -0.082, -0.018), 2: (-0.060, -0.091, -0.014), 4: (0.043, -0.386, 0.008), 5: (-0.043, -0.384, -0.005),
    7: (-0.015, -0.427, -0.037), 8: (0.019, -0.420, -0.035), 10: (0.041, -0.060, 0.122), 11: (-0.035, -0.062, 0.130),
}  # fmt: skip
SMPL_REST_PELVIS = (-0.002, -0.223, 0.028)

#: Rows turn a z-up world (AMASS, REP-103) into the y-up one used here: (x, y, z) -> (x, z, -y).
Y_UP_FROM_Z_UP = ((1.0, 0.0, 0.0), (0.0, 0.0, 1.0), (0.0, -1.0, 0.0))
#: A level camera's optical frame (x right, y down, z forward) into the y-up one: (x, -y, -z).
Y_UP_FROM_OPTICAL = ((1.0, 0.0, 0.0), (0.0, -1.0, 0.0), (0.0, 0.0, -1.0))
#: What the key ``frame`` of a motion file may say. ``world`` is gravity-aligned and z-up, as AMASS is.
MOTION_FRAMES = {
    "optical": Y_UP_FROM_OPTICAL, "world": Y_UP_FROM_Z_UP, "y_up": tuple(map(tuple, np.eye(3).tolist())),
}  # fmt: skip


def load_clips(
    path: str | Path,
    target_fps: float | None = 30.0,
    body: BodyModel | None = None,
    skipped: dict[str, str] | None = None,
) -> list[MotionClip]:
    """Read every clip of a motion file, or of each ``.npz`` motion file below a folder.

    Understood are the clip collections of the training data (keys ``pose``, ``trans``, ``start``, ``length``,
    ...), AMASS files (``poses`` [T, 66, 72, 156 or 165] axis-angle, of which the first 66 columns are used, z-up) and
    the motion files this package writes (72 columns and the key ``frame``).

    Below a folder the subject of an AMASS file is its path from that folder (``CMU/01``): data sets number their
    subjects alike. Files without poses, as AMASS's ``shape.npz`` and ``neutral_stagei.npz``, are left out, and files
    that cannot be used are skipped; both are logged once all others are read.

    Args:
        path: a ``.npz`` file or a folder of them.
        target_fps: rate of the returned clips; None keeps each file's own. Rates are changed by taking the
            frames at the target's times, interpolated (slerp) where the source has none there.
        body: gives J0(betas) and the leg length of files that hold ``betas``; pass the body model the betas
            belong to. None: SMPL's mean shape for AMASS; the stored joints for our own files.
        skipped: gets the files of a folder that cannot be used, each with the reason.

    Raises:
        MotionFileError: the file is missing, damaged, or not a motion file; or a folder has none that can be used.
    """
    path = Path(path)
    if path.is_dir():
        return _load_folder(path, target_fps, body, {} if skipped is None else skipped)
    return _load_file(path, target_fps, body, path.parent.name)


def _load_folder(
    folder: Path, target_fps: float | None, body: BodyModel | None, skipped: dict[str, str]
) -> list[MotionClip]:
    files = sorted(folder.rglob("*.npz"))
    clips: list[MotionClip] = []
    without_poses: list[Path] = []
    for file in files:
        subject = folder.name if file.parent == folder else file.parent.relative_to(folder).as_posix()
        try:
            if _is_motion_file(file):
                clips += _load_file(file, target_fps, body, subject)
            else:
                without_poses.append(file)
        except MotionFileError as error:
            skipped[str(file.relative_to(folder))] = str(error)
    if without_poses:
        names = sorted({file.name for file in without_poses})
        _log.warning(
            "left out %d of %d files below %s that hold no poses: %s",
            len(without_poses), len(files), folder, _some(names),
        )  # fmt: skip
    if skipped:
        reasons = "".join(f"\n  {reason}" for reason in list(skipped.values())[:MAX_REASONS])
        more = len(skipped) - MAX_REASONS
        _log.warning(
            "skipped %d of %d files below %s that cannot be used:%s%s",
            len(skipped), len(files), folder, reasons, f"\n  and {more} more" if more > 0 else "",
        )  # fmt: skip
    if not clips:
        if skipped:
            raise MotionFileError(
                f"none of the {len(skipped)} motion files below {folder} can be used; the first: "
                f"{next(iter(skipped.values()))}"
            )
        raise MotionFileError(f"no motion file (*.npz with the key 'poses' or 'pose') below {folder}")
    return clips


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (" ..." if len(names) > 5 else "")


def _load_file(path: Path, target_fps: float | None, body: BodyModel | None, subject: str) -> list[MotionClip]:
    with _open(path) as data:
        if "pose" in data and "start" in data:
            clips = _read_collection(path, data)
        elif "poses" in data:
            clips = [_read_motion(path, data, body, subject)]
        else:
            raise MotionFileError(
                f"{path} holds the keys {data.keys}; a motion file has 'poses' and 'trans' (AMASS) or "
                "'pose', 'trans', 'start', 'length' (a clip collection)"
            )
    return clips if target_fps is None else [resample(clip, target_fps) for clip in clips]


def _open(path: Path) -> ArrayArchive:
    return ArrayArchive(path, MotionFileError, _ADVICE)


def _is_motion_file(path: Path) -> bool:
    """AMASS folders also hold shape.npz files, which have no poses."""
    with _open(path) as data:
        return "poses" in data or "pose" in data


def _floats(data: ArrayArchive, key: str, shape: tuple[int | None, ...]) -> np.ndarray:
    """A finite float32 array; what is too large for one is refused as well."""
    with np.errstate(over="ignore"):
        values = data.array(key, shape).astype(np.float32)
    if not np.isfinite(values).all():
        raise data.refused(f"is unusable: {key!r} holds values beyond single precision")
    return values


def _read_collection(path: Path, data: ArrayArchive) -> list[MotionClip]:
    pose = _floats(data, "pose", (None, NUM_JOINTS, 3))
    check_axis_angle(pose, path)
    frames = len(pose)
    trans = _floats(data, "trans", (frames, 3))
    offsets = torch.from_numpy(_floats(data, "offsets", (NUM_JOINTS, 3)))
    start = data.array("start", (None,)).astype(np.int64)
    count = len(start)
    length = data.array("length", (count,)).astype(np.int64)
    fps = _rate(path, data, "fps")
    if count and (start.min() < 0 or length.min() < 1 or (length > frames).any() or (start > frames - length).any()):
        raise MotionFileError(f"{path}: 'start' and 'length' point outside of the {frames} frames")
    labels = {
        key: data.array(key, (count,), "text").astype(str) if key in data else np.full(count, "")
        for key in ("name", "subject", "action")
    }
    rotations = roma.rotvec_to_rotmat(torch.from_numpy(pose))
    pelvis = torch.from_numpy(trans)
    return [
        MotionClip(str(labels["name"][i]), str(labels["subject"][i]), str(labels["action"][i]), fps,
                   rotations[a : a + n], pelvis[a : a + n], offsets)
        for i, (a, n) in enumerate(zip(start.tolist(), length.tolist(), strict=True))
    ]  # fmt: skip


def _rate(path: Path, data: ArrayArchive, key: str) -> float:
    """Frames a second."""
    fps = data.number(key)
    if not 1.0 <= fps <= 1000.0:
        raise MotionFileError(f"{path}: {key!r} is {fps}, expected a rate in frames a second")
    return fps


def _read_motion(path: Path, data: ArrayArchive, body: BodyModel | None, subject: str) -> MotionClip:
    """An AMASS file (no key ``frame``: z-up world) or one of our own."""
    columns_of_joints(data.header("poses").shape, path)
    poses = _floats(data, "poses", (None, None))
    frames, columns = poses.shape
    vectors = np.zeros((frames, NUM_JOINTS, 3), np.float32)
    vectors[:, :22] = poses[:, :66].reshape(frames, 22, 3)
    if columns == 72:  # SMPL's own hands; SMPL-H and SMPL-X have fingers in these columns
        vectors[:, 22:] = poses[:, 66:].reshape(frames, 2, 3)
    check_axis_angle(vectors, path)
    trans = _floats(data, "trans", (frames, 3))
    rate_key = next((k for k in ("mocap_framerate", "mocap_frame_rate") if k in data), "mocap_framerate")
    fps = _rate(path, data, rate_key)
    frame = data.text("frame") if "frame" in data else "world"
    if frame not in MOTION_FRAMES:
        raise MotionFileError(f"{path}: the frame {frame!r} is unknown, expected one of {sorted(MOTION_FRAMES)}")
    rotations = roma.rotvec_to_rotmat(torch.from_numpy(vectors))

    if body is not None:
        betas = None
        if "betas" in data:
            known = body.shape_dirs.shape[-1]
            values = _floats(data, "betas", (None,))[:known]
            betas = torch.zeros(1, known)
            betas[0, : len(values)] = torch.from_numpy(values)
        rest = body.rest_joints(betas)[0].detach().cpu().float()
        rest_pelvis = rest[0]
        offsets = bone_offsets(rest)
    else:
        rest_pelvis, offsets = torch.tensor(SMPL_REST_PELVIS), torch.zeros(NUM_JOINTS, 3)
        for joint, offset in SMPL_LEG_OFFSETS.items():
            offsets[joint] = torch.tensor(offset)
    if body is None and "joints" in data and "frame" in data:  # our own files say where the pelvis was
        pelvis = torch.from_numpy(_floats(data, "joints", (frames, NUM_JOINTS, 3))[:, 0])
    else:
        pelvis = torch.from_numpy(trans) + rest_pelvis  # SMPL turns about J0, so J0 itself is not rotated
    y_up = torch.tensor(MOTION_FRAMES[frame])
    rotations[:, 0] = y_up @ rotations[:, 0]
    pelvis = pelvis @ y_up.T
    return MotionClip(path.stem, subject, "", fps, rotations, pelvis, offsets)
