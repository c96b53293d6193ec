"""The motions that robots are asked to follow, of the bundled clip and three free videos: `diffmocap reconstruct`."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.page.report import REPOSITORY
from benchmarks.protocols.footage import footage_folder
from diffmocap.body.model import BodyModel
from diffmocap.motion.motion_npz import read_motion
from diffmocap.robots.frames import HumanFrame
from diffmocap.robots.human_frames import human_frames

CACHE = REPOSITORY / ".cache" / "retargeting"
#: Commands a second; the videos have 5 to 30 images.
FPS = 30.0


@dataclass(frozen=True)
class Film:
    """A video, and what `reconstruct` has to be told of its camera."""

    path: Path
    options: tuple[str, ...] = ()


def films(media: str | None) -> list[Film]:
    """The bundled clip, and the videos in ``media`` or beside the checkout."""
    folder = footage_folder(media)
    return [
        Film(REPOSITORY / "media" / "demo.mp4"),
        Film(folder / "tfjs_pose_1.mp4"),
        Film(folder / "tfjs_pose_squats.mp4"),
        # Its camera hangs below a ceiling, and people walk too little to tell how it looks down.
        Film(folder / "intel_one_by_one_person.mp4", ("--camera-pitch", "0.5")),
    ]


def motions_of(film: Film, body: BodyModel) -> list[tuple[str, list[HumanFrame]]]:
    """Name and frames of each motion in a film; reconstructed once, and kept."""
    folder = CACHE / film.path.stem
    files = sorted(folder.glob("*.npz"))
    if not files:
        command = [sys.executable, "-m", "diffmocap.cli.main", "reconstruct", str(film.path), "--out", str(folder)]
        subprocess.run([*command, *film.options], check=True, cwd=REPOSITORY)
        files = sorted(folder.glob("*.npz"))
    return [(path.stem, human_frames(read_motion(path, body), body, FPS)) for path in files]
