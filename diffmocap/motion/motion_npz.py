"""Motions in ``.npz`` files with AMASS's keys: written for whoever reads AMASS, read from all that is like it.

Written are ``poses`` [T, 72] axis-angle, ``trans`` [T, 3] m, ``betas`` [10], ``mocap_framerate`` and ``gender`` as
AMASS has them, ``joints`` [T, 24, 3] m, ``frame``, which says what they are given in, ``name`` and ``subject``; and,
where the motion has them, ``keypoints2d`` [T, 25, 2] px with ``keypoint_confidence`` [T, 25], ``K`` [3, 3] of a motion
in its camera's frame, ``tracked`` [T] and ``contacts`` [T, P]. A simulated motion also has ``simulated`` [T],
``joint_torques`` [T, 24, 3] N m, ``contact_points`` [T, P, 3] m and ``contact_forces`` [T, P, 3] N.

``trans`` is SMPL's: the pelvis joint stands at ``trans + J0(betas)``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import roma
import torch

from diffmocap.body.mocap import retarget
from diffmocap.body.model import BodyModel
from diffmocap.body.motion_clip import MotionClip
from diffmocap.body.motion_files import load_clips
from diffmocap.body.skeleton import NUM_JOINTS, NUM_KEYPOINTS
from diffmocap.body.smpl_data import NUM_BETAS
from diffmocap.errors import MotionFileError
from diffmocap.files.array_archive import ArrayArchive
from diffmocap.files.whole_file import whole_file
from diffmocap.motion.dynamics import MotionDynamics
from diffmocap.motion.motion import Motion

#: Vertices of SMPL, whose shapes AMASS's betas are.
SMPL_VERTICES = 6890
_ADVICE = "copy it again, or make it anew"


def write_motion(path: str | Path, motion: Motion, body: BodyModel) -> None:
    """Writes a motion file; what stood there before stays until the new one is whole.

    Args:
        path: of the file, which ends in ``.npz``. Its folder is made where it is missing.
        motion: what to write, in the frame that it is given in.
        body: the body model that ``motion.betas`` belong to.

    Raises:
        MotionFileError: the path does not end in ``.npz``.
        OSError: it cannot be written.
    """
    path = Path(path)
    if path.suffix != ".npz":
        raise MotionFileError(f"a motion file ends in .npz, got {str(path)!r}")
    rest_pelvis = body.rest_joints(motion.betas[None])[0, 0]
    poses = roma.rotmat_to_rotvec(motion.rotations.double()).flatten(1)
    arrays = {
        "poses": poses.float().numpy(),
        "trans": (motion.pelvis - rest_pelvis).numpy(),
        "betas": motion.betas.numpy(),
        "mocap_framerate": np.array(float(motion.fps)),
        "gender": np.array("neutral"),
        "joints": motion.joints(body).numpy(),
        "frame": np.array(motion.frame),
        "name": np.array(motion.name),
        "subject": np.array(motion.subject),
        "start_time": np.array(float(motion.start_s)),
    }
    if motion.K is not None:
        arrays["K"] = motion.K.numpy()
    for key in ("recipe", "video"):
        if value := getattr(motion, key):
            arrays[key] = np.array(value)
    if motion.keypoints is not None:
        arrays["keypoints2d"] = motion.keypoints[..., :2].numpy()
        arrays["keypoint_confidence"] = motion.keypoints[..., 2].numpy()
    for key in ("tracked", "contacts"):
        if (value := getattr(motion, key)) is not None:
            arrays[key] = value.numpy().astype(np.uint8)
    if motion.dynamics is not None:
        arrays["simulated"] = motion.dynamics.simulated.numpy().astype(np.uint8)
        arrays["joint_torques"] = motion.dynamics.torques.numpy()
        arrays["contact_points"] = motion.dynamics.contact_points.numpy()
        arrays["contact_forces"] = motion.dynamics.contact_forces.numpy()
    with whole_file(path) as partial, open(partial, "wb") as f:
        np.savez_compressed(f, **arrays)


def read_motion(path: str | Path, body: BodyModel, clip: str | None = None) -> Motion:
    """Reads a motion from a file that this package wrote, an AMASS file, or a clip collection.

    A motion of another body is put on ``body``: a clip collection's, and AMASS's where ``body`` is not SMPL, whose
    shapes AMASS's betas are. Rotations stay; the way is scaled by the length of the legs, and the feet are brought to
    the floor. Such a motion has the mean shape.

    Args:
        path: of the file.
        body: the body model that the motion's betas belong to.
        clip: name of the clip in a collection, which may be left out where it holds one.

    Raises:
        MotionFileError: the file is missing, damaged or no motion file, or has no clip of that name; the message says
            what it has.
    """
    path = Path(path)
    if path.is_dir():
        raise MotionFileError(f"{path} is a folder; name one motion file (*.npz) in it")
    with ArrayArchive(path, MotionFileError, _ADVICE) as data:
        collection = "pose" in data and "start" in data
        own = "frame" in data
    fits = own or (not collection and len(body.template) == SMPL_VERTICES)
    # Without a body the reader gives the skeleton that the motion came with.
    if clip is not None and not collection:
        raise MotionFileError(f"{path} is one motion, no collection of clips: there is no {clip!r} to name in it")
    clips = load_clips(path, None, body if fits else None)
    chosen = _chosen(clips, clip, path) if collection else clips[0]
    if not fits:
        return _motion(retarget(chosen, body), torch.zeros(NUM_BETAS)).in_frame("world")
    with ArrayArchive(path, MotionFileError, _ADVICE) as data:
        motion = _motion(chosen, _betas(data))
        return _with_the_rest(motion, data) if own else motion.in_frame("world")


@dataclass(frozen=True)
class Provenance:
    """How a motion file was made: what its settings are known by and the video, empty where it does not say, and
    whether it was to be simulated."""

    recipe: str
    video: str
    simulated: bool


def stored_provenance(path: str | Path) -> Provenance:
    """Reads it, and nothing else of the file.

    Raises:
        MotionFileError: the file is missing or damaged.
    """
    with ArrayArchive(path, MotionFileError, _ADVICE) as data:
        recipe, video = (data.text(key) if key in data else "" for key in ("recipe", "video"))
        return Provenance(recipe, video, "simulated" in data)


def _chosen(clips: list[MotionClip], name: str | None, path: Path) -> MotionClip:
    names = [clip.name for clip in clips]
    if name is None and len(clips) == 1:
        return clips[0]
    if name in names:
        return clips[names.index(name)]
    some = ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
    if name is None:
        raise MotionFileError(f"{path} is a collection of {len(clips)} clips; name one of them: {some}")
    raise MotionFileError(f"{path} has no clip {name!r}; it has: {some}")


def _motion(clip: MotionClip, betas: torch.Tensor) -> Motion:
    return Motion(clip.fps, clip.rotations, clip.pelvis, betas, "y_up", name=clip.name, subject=clip.subject)


def _betas(data: ArrayArchive) -> torch.Tensor:
    betas = torch.zeros(NUM_BETAS)
    if "betas" in data:
        stored = torch.from_numpy(data.array("betas", (None,)).astype(np.float32))[:NUM_BETAS]
        betas[: len(stored)] = stored
    return betas


def _with_the_rest(motion: Motion, data: ArrayArchive) -> Motion:
    """The motion in the frame of its file, with what only our own files hold."""
    frames = len(motion)
    changes: dict[str, object] = {}
    if "keypoints2d" in data:
        keypoints = data.array("keypoints2d", (frames, NUM_KEYPOINTS, 2))
        confidence = np.ones((frames, NUM_KEYPOINTS))
        if "keypoint_confidence" in data:
            confidence = data.array("keypoint_confidence", (frames, NUM_KEYPOINTS))
        changes["keypoints"] = torch.from_numpy(np.dstack([keypoints, confidence]).astype(np.float32))
    for key, shape in {"tracked": (frames,), "contacts": (frames, None)}.items():
        if key in data:
            changes[key] = torch.from_numpy(data.array(key, shape, "whole numbers") != 0)
    for key in ("name", "subject", "recipe", "video"):
        if key in data:
            changes[key] = data.text(key)
    frame = data.text("frame")
    if frame == "optical" and "K" in data:
        changes["K"] = torch.from_numpy(data.array("K", (3, 3)).astype(np.float32))
    if "start_time" in data:
        changes["start_s"] = data.number("start_time")
    if "simulated" in data:
        numbers = [
            torch.from_numpy(data.array(key, shape).astype(np.float32)) for key, shape in {
                "joint_torques": (frames, NUM_JOINTS, 3), "contact_points": (frames, None, 3),
                "contact_forces": (frames, None, 3),
            }.items()
        ]  # fmt: skip
        simulated = torch.from_numpy(data.array("simulated", (frames,), "whole numbers") != 0)
        changes["dynamics"] = MotionDynamics(simulated, *numbers)
    return replace(motion.in_frame(frame), **changes)
