"""A recorded live session: a folder to which keypoints and published poses are written as they come.

    camera.json             the camera's intrinsics
    part-000000.npz, ...    a second each: keypoints of every image, poses as they were published
    motion.npz              the published motion, once the session has ended

A part is there in full or not at all, so that a process that is killed loses what came since the last one.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import roma
import torch

from diffmocap.body.model import BodyModel
from diffmocap.errors import MotionFileError, SettingsError
from diffmocap.files.array_archive import ArrayArchive
from diffmocap.files.whole_file import whole_file
from diffmocap.motion.motion import Motion
from diffmocap.motion.motion_npz import write_motion
from diffmocap.reconstruct.footage import Footage, rate
from diffmocap.reconstruct.keypoint_columns import columns_of, keypoints_of
from diffmocap.timing.stamps import SetClock
from diffmocap.types import CameraIntrinsics, Keypoints2D

CAMERA, MOTION = "camera.json", "motion.npz"
#: Images that a part holds at most, and for how long a part is waited for [s], by the images' own times.
_PART_IMAGES, _PART_S = 120, 1.0
#: What could not be written is tried again after so many parts.
_RETRY = 10
#: A leap back by more than the first, or ahead by more than the second, is no time that passed, since the computer's
#: clock was set; how much did pass is not known, and so long that no motion is bridged over it [s].
_BACK_S, _AHEAD_S, _PASSED_S = 1.0, 3600.0, 10.0
_DAMAGED = "the other parts can be used: delete it"


class SessionWriter:
    """Writes a session; its methods may be called by several threads.

    What cannot be written, as on a full disk, is kept in memory and tried again every ten seconds.

    Args:
        folder: made where it is missing.
        warn: is told in a sentence when something cannot be written any more, and when it can again.

    Raises:
        SettingsError: the folder holds a session already, or another motion of the name that the session's would get,
            or a file is in its way.
        OSError: it cannot be made or written.
    """

    def __init__(self, folder: Path, warn: Callable[[str], None] = lambda text: None) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise SettingsError(f"a session is a folder, and a file is in the way of {folder}; name another") from None
        if is_session(folder):
            raise SettingsError(f"{folder} holds a session already; give another folder, or remove it")
        if (folder / MOTION).exists():
            raise SettingsError(
                f"{folder / MOTION} is there already, and the session would replace it; give another folder"
            )
        with whole_file(folder / CAMERA) as partial:  # said before anything starts
            partial.write_text("")
        (folder / CAMERA).unlink()
        self.folder, self._warn = folder, warn
        self._lock = threading.Lock()
        self._keypoints: list[Keypoints2D] = []
        self._poses: list[tuple[int, np.ndarray, np.ndarray]] = []
        self._camera: CameraIntrinsics | None = None
        self._parts, self._tried, self._failed = 0, 0, False

    def camera(self, intrinsics: CameraIntrinsics) -> None:
        """The camera of the images that follow; written at once where it is another one."""
        with self._lock:
            if intrinsics == self._camera:
                return
            with self._told(), whole_file(self.folder / CAMERA) as partial:
                partial.write_text(json.dumps(asdict(intrinsics), indent=2) + "\n")
                self._camera = intrinsics

    def keypoints(self, keypoints: Keypoints2D) -> None:
        """What was detected in an image, or nothing; writes a part where a second has passed."""
        with self._lock:
            self._keypoints.append(keypoints)
            waiting = self._keypoints[self._tried :]
            lasted_s = 1e-9 * abs(keypoints.stamp_ns - waiting[0].stamp_ns)
            times = _RETRY if self._failed else 1
            if lasted_s >= times * _PART_S or len(waiting) >= times * _PART_IMAGES:
                with self._told():
                    self._write()
                self._tried = len(self._keypoints)

    def pose(self, stamp_ns: int, rotations_xyzw: np.ndarray, pelvis_m: np.ndarray) -> None:
        """A published pose: quaternions [24, 4] of SMPL's local rotations, pelvis [3] m; optical frame."""
        with self._lock:
            self._poses.append((stamp_ns, rotations_xyzw, pelvis_m))

    def close(self, body: BodyModel | None = None) -> Path | None:
        """Writes what is left, and the published motion; its file, or None where there were no poses.

        Raises:
            OSError: it cannot be written; all parts that could be are there.
        """
        with self._lock:
            self._write()
        return write_live_motion(self.folder, body or BodyModel.load())

    @contextmanager
    def _told(self) -> Iterator[None]:
        """The graph goes on where its session cannot be written, which is said once."""
        try:
            yield
        except OSError as error:
            if not self._failed:
                self._warn(
                    f"the session cannot be written to {self.folder}: {error.strerror or error}; it is kept in memory, "
                    "and tried again every ten seconds"
                )
            self._failed = True
        else:
            if self._failed:
                self._warn(f"the session is written to {self.folder} again; nothing is lost")
            self._failed = False

    def _write(self) -> None:
        if not self._keypoints and not self._poses:
            return
        keypoints, poses = self._keypoints, self._poses
        with whole_file(self.folder / f"part-{self._parts:06d}.npz") as partial, open(partial, "wb") as file:
            np.savez(
                file, **columns_of(keypoints),
                pose_stamp_ns=np.array([p[0] for p in poses], np.int64),
                rotations_xyzw=np.array([p[1] for p in poses], np.float32).reshape(-1, 24, 4),
                pelvis=np.array([p[2] for p in poses], np.float32).reshape(-1, 3),
            )  # fmt: skip
        self._parts += 1
        self._keypoints, self._poses = [], []


def is_session(folder: str | Path) -> bool:
    """Whether a folder holds a recorded session."""
    folder = Path(folder)
    return folder.is_dir() and ((folder / CAMERA).is_file() or any(folder.glob("part-[0-9]*.npz")))


def session_keypoints(folder: Path) -> tuple[list[Keypoints2D], CameraIntrinsics]:
    """Keypoints of every image of a session, by their times, and the camera.

    Raises:
        MotionFileError: a part is damaged, or there is no camera.
    """
    found = []
    for path in sorted(folder.glob("part-[0-9]*.npz")):
        with ArrayArchive(path, MotionFileError, _DAMAGED) as data:
            found += keypoints_of(data)
    stamps = _on_one_clock([k.stamp_ns for k in found])
    by_time = {stamp: replace(k, stamp_ns=stamp) for k, stamp in zip(found, stamps, strict=True)}
    return [by_time[stamp] for stamp in sorted(by_time)], _camera(folder)


def write_live_motion(folder: Path, body: BodyModel) -> Path | None:
    """Writes the motion that a session published to its :data:`MOTION`; None where it published none.

    Frames are those of the images at an even rate; where none was published the motion is bridged.

    Raises:
        MotionFileError: a part is damaged.
    """
    from diffmocap.reconstruct.stretches import bridged

    stamps, quaternions, pelvis = [], [], []
    for path in sorted(folder.glob("part-[0-9]*.npz")):
        with ArrayArchive(path, MotionFileError, _DAMAGED) as data:
            stamps.append(data.array("pose_stamp_ns", (None,)).astype(np.int64))
            quaternions.append(data.array("rotations_xyzw", (len(stamps[-1]), 24, 4)))
            pelvis.append(data.array("pelvis", (len(stamps[-1]), 3)))
    published = _on_one_clock(np.concatenate([np.zeros(0, np.int64), *stamps]).tolist())
    times, order = np.unique(np.array(published, np.int64), return_index=True)
    if len(times) < 2:
        return None
    seconds = times * 1e-9
    fps = rate(np.diff(seconds))
    frame = np.round((seconds - seconds[0]) * fps).astype(int)
    frames = int(frame[-1]) + 1
    turned = torch.eye(3).repeat(frames, 24, 1, 1)
    moved, there = torch.zeros(frames, 3), torch.zeros(frames, dtype=torch.bool)
    found = torch.from_numpy(np.concatenate(quaternions)[order]).double()
    turned[frame] = roma.unitquat_to_rotmat(roma.quat_normalize(found)).float()
    moved[frame] = torch.from_numpy(np.concatenate(pelvis)[order]).float()
    there[frame] = True
    motion = Motion(
        fps, *bridged(turned, moved, there), torch.zeros(body.shape_dirs.shape[-1]), "optical", tracked=there,
        name=folder.name,
    )  # fmt: skip
    write_motion(folder / MOTION, motion, body)
    return folder / MOTION


def session_footage(folder: Path, fps: float = 0.0) -> Footage:
    """A session's keypoints on even frames; ``fps`` 0: at the images' own rate."""
    keypoints, intrinsics = session_keypoints(folder)
    return Footage.even(keypoints, intrinsics, fps)


def _on_one_clock(stamps_ns: list[int]) -> list[int]:
    """Stamps in the order in which they came, without the leaps of a clock that was set."""
    clock = SetClock(_BACK_S, _AHEAD_S)
    return [clock.stamp_ns(stamp, round(1e9 * _PASSED_S) * i) for i, stamp in enumerate(stamps_ns)]


def _camera(folder: Path) -> CameraIntrinsics:
    path = folder / CAMERA
    try:
        values = json.loads(path.read_text())
        return CameraIntrinsics(**{**values, "distortion": tuple(values["distortion"])})
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise MotionFileError(
            f"{path} does not say which camera the session was recorded by ({error}); it ends up there with the first "
            "image"
        ) from error
