"""Videos to motion files, one after the other; what is done stays done."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import torch

from diffmocap.body.model import BodyModel
from diffmocap.camera.settings import CaptureSettings
from diffmocap.errors import DiffmocapError, MotionFileError
from diffmocap.keypoints.settings import DetectorSettings
from diffmocap.lifting.lifter import Lifter
from diffmocap.motion.export.fbx import blender_command
from diffmocap.motion.export.formats import FORMATS, export_motion, options_for
from diffmocap.motion.export.options import PRESETS
from diffmocap.motion.motion import Motion
from diffmocap.motion.motion_npz import read_motion, write_motion
from diffmocap.reconstruct.floor import world_from_optical
from diffmocap.reconstruct.footage import Footage
from diffmocap.reconstruct.ground_forces import ground_forces
from diffmocap.reconstruct.recipe import Recipe, identity_of
from diffmocap.reconstruct.reconstruction import ReconstructedMotion, reconstruct
from diffmocap.reconstruct.session import MOTION, is_session, session_footage, write_live_motion
from diffmocap.reconstruct.watching import camera_of, detected, keep, kept, origin_of

#: Hears the stage, how much of it is done, and of how much (0: not known).
Told = Callable[[str, float, float], None]


class Reconstructor:
    """Reconstructs videos into a folder; models are loaded once, at the first of them.

    Raises:
        SettingsError: a format is unknown. SetupError: it needs a program that is not there.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.recipe, self.settings = recipe, recipe.settings
        self._capture = CaptureSettings(mirror=recipe.mirror)
        self._detector = DetectorSettings(task_file=recipe.task_file)
        preset = PRESETS[recipe.tool] if recipe.tool else None
        #: Of the last video, why files of other formats are missing.
        self.not_exported: list[str] = []
        self._formats = {name: options_for(name, preset, {}) for name in recipe.formats}
        if "fbx" in recipe.formats:
            blender_command(None)  # says at once where there is none

    @cached_property
    def body(self) -> BodyModel:
        """On the CPU."""
        return BodyModel.load()

    @cached_property
    def lifter(self) -> Lifter:
        """On the CPU."""
        return Lifter.load(self.recipe.weights, self.body)

    def reconstruct(self, video: str, name: str, told: Told) -> list[tuple[Path, ReconstructedMotion]]:
        """The motions of a video and their files.

        A recorded session is one, too: a folder, see :mod:`diffmocap.reconstruct.session`. Keypoints are kept in the
        folder until all motions are written: a run that was interrupted goes on with them.

        Raises:
            CameraError: the video cannot be read. NobodySeenError: it shows nobody.
            SettingsError: the calibration is of other images.
        """
        if is_session(video):
            if not (Path(video) / MOTION).is_file():  # it was killed
                with suppress(OSError):  # its folder may be full or read-only, and nothing here needs it
                    write_live_motion(Path(video), self.body)
            footage = session_footage(Path(video), self.settings.fps)
            return self._write(name, identity_of(video), footage, told)
        found, recipe = self.recipe.found(name), self.recipe
        origin = origin_of(video, recipe.mirror, recipe.task_file, recipe.topic)
        keypoints = self._kept(found, origin)
        if keypoints is None:
            begun = recipe.begun(name)
            keypoints = detected(
                video, self._capture, self._detector, lambda done, count: told("detecting", done, count), recipe.topic,
                self._kept(begun, origin) or (), lambda so_far: keep(begun, so_far, origin),
            )  # fmt: skip
            keep(found, keypoints, origin)
            begun.unlink(missing_ok=True)
        size = keypoints[0].width, keypoints[0].height
        intrinsics = camera_of(video, size, recipe.calibration, recipe.vertical_fov_deg, recipe.mirror, recipe.topic)
        files = self._write(name, identity_of(video), Footage.even(keypoints, intrinsics, self.settings.fps), told)
        found.unlink(missing_ok=True)
        return files

    def _write(
        self, name: str, video: str, footage: Footage, told: Told
    ) -> list[tuple[Path, ReconstructedMotion]]:  # fmt: skip
        torch.set_num_threads(1)  # small tensors: threads cost more than they bring
        motions = reconstruct(
            footage, self.lifter, self.body, self.settings, lambda stage, share: told(stage, share, 1.0),
            lambda number: self.recipe.simulation(name, number),
        )  # fmt: skip
        files, written = [], []
        for number, motion in enumerate(motions, start=1):
            path = self.recipe.out / (f"{name}_part{number}.npz" if len(motions) > 1 else f"{name}.npz")
            made = as_motion(motion, path.stem, self.recipe.world)
            written.append(replace(made, recipe=self.recipe.key, video=video))
            write_motion(path, written[-1], self.body)
            files.append((path, motion))
        self.not_exported = []
        for (path, _), kept_motion in zip(files, written, strict=True):
            self.not_exported += self._export(
                path, kept_motion, self.exports(path), lambda: told("exporting", 0.0, 1.0)
            )
        return files

    def export_missing(self, paths: list[Path]) -> tuple[list[Path], list[str]]:
        """Exports motion files that are there to the formats of which they have no file: those made, and why not.

        Raises:
            MotionFileError: a motion file is damaged.
        """
        made, reasons = [], []
        for path in paths:
            missing = [other for other in self.exports(path) if not other.exists()]
            if missing:
                reasons += self._export(path, read_motion(path, self.body), missing)
            made += [other for other in missing if other.is_file()]
        return made, reasons

    def _export(
        self, path: Path, motion: Motion, wanted: list[Path], told: Callable[[], None] = lambda: None
    ) -> list[str]:  # fmt: skip
        """Makes those of :meth:`exports` that are ``wanted``; returns why some were not made."""
        reasons = []
        for (kind, options), other in zip(self._formats.items(), self.exports(path), strict=True):
            if other not in wanted:
                continue
            told()
            try:
                export_motion(motion, self.body, other, kind, options, forces=ground_forces)
            except DiffmocapError as error:
                reasons.append(f"{other.name} was not made: {error}")
        return reasons

    def exports(self, path: Path) -> list[Path]:
        """Files of other formats that lie beside a motion's."""
        return [path.with_suffix(FORMATS[name].suffix) for name in self._formats]

    def _kept(self, path: Path, origin: str):
        """Keypoints of an interrupted run, None where there are none that can be used."""
        try:
            return kept(path, origin) if path.is_file() else None
        except MotionFileError:
            return None


def as_motion(found: ReconstructedMotion, name: str, world: bool) -> Motion:
    """As it is kept in a file, in the world frame or in the camera's."""
    motion = Motion(
        found.fps, found.rotations, found.pelvis, found.betas, "optical", found.keypoints, found.tracked,
        found.contacts, name, start_s=found.first / found.fps, K=found.K,
        dynamics=found.dynamics,
    )  # fmt: skip
    if not world:
        return motion
    R, t = world_from_optical(found.floor.ground, found.pelvis[0])
    rotations = found.rotations.clone()
    rotations[:, 0] = R @ rotations[:, 0]
    dynamics = None if found.dynamics is None else found.dynamics.moved(R, t)
    return replace(motion, K=None, rotations=rotations, pelvis=found.pelvis @ R.T + t, frame="world", dynamics=dynamics)
