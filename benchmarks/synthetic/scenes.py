"""The scenes of the accuracy benchmark: motion of the test split that the demo clip does not show, several cameras."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from tqdm import tqdm

from benchmarks.synthetic.appearance import Appearance
from benchmarks.synthetic.motion import Piece
from benchmarks.synthetic.video import View, film, write_video
from diffmocap.body.mocap import load_split, retarget
from diffmocap.body.model import BodyModel
from diffmocap.errors import SettingsError

#: Changes whenever the drawing changes, so that films kept from before are made anew.
DRAWING = 1


@dataclass(frozen=True)
class Scene:
    """A piece of motion, who moves, and from where it is seen. ``betas`` are the first shape coefficients."""

    piece: Piece
    view: View
    seed: int
    betas: tuple[float, ...] = ()

    @property
    def name(self) -> str:
        """File name without its ending, unlike for scenes that differ."""
        digest = hashlib.sha256(f"{DRAWING} {self!r}".encode()).hexdigest()[:10]
        return f"{self.piece.clip}_{self.view.yaw_deg:.0f}deg_{digest}"


def _scene(clip: str, start: int, stop: int, yaw: float, height: float, fov: float, seed: int, *betas: float) -> Scene:
    return Scene(Piece(clip, start, stop), View(yaw, height, fov), seed, betas)


#: Walking, stealth, running, range of motion, boxing, dance; people of other shapes; low, high, wide and long cameras.
SCENES = (
    _scene("38_01", 0, 88, 25, 1.4, 55, 1),
    _scene("38_02", 0, 93, 80, 1.0, 60, 2, 0.8, -0.5),
    _scene("127_02.0", 0, 150, -20, 1.6, 45, 3, -0.6, 0.4, 0.5),
    _scene("127_02.0", 150, 300, 40, 0.8, 60, 4),
    _scene("127_05", 30, 97, 15, 1.5, 60, 5, 0.5, 0.7),
    _scene("17_03", 0, 113, 20, 1.2, 50, 6, 0.0, -0.8, 0.4),
    _scene("17_10.0", 0, 150, -60, 1.7, 50, 7),
    _scene("17_10.0", 240, 390, 0, 1.0, 60, 8, 0.9),
    _scene("94_04.0", 0, 150, 160, 1.4, 50, 9, -0.7, 0.3),
    _scene("94_06", 60, 210, 200, 2.2, 55, 10),
    _scene("94_08", 120, 300, 0, 1.3, 55, 11, 0.3, 0.3, -0.6),
    _scene("94_13", 30, 180, -70, 0.6, 60, 12),
    _scene("94_15", 200, 320, 20, 1.5, 55, 13, -0.4, -0.6),
)  # fmt: skip

#: Parts of three scenes that are drawn and measured in well under a minute.
QUICK_SCENES = (
    _scene("38_01", 0, 32, 25, 1.4, 55, 1),
    _scene("127_02.0", 20, 52, -20, 1.6, 45, 3),
    _scene("94_13", 150, 182, -70, 1.2, 55, 12),
)


def make_films(scenes: Sequence[Scene], mocap: Path, folder: Path, skip_unfit: bool = False) -> list[Path]:
    """Videos of the scenes with their truth beside them (``.mp4`` and ``.npz``); those already there are kept.

    Raises:
        SettingsError: a motion does not fit its view; with ``skip_unfit`` such scenes are left out.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{scene.name}.mp4" for scene in scenes]
    missing = [(s, p) for s, p in zip(scenes, paths, strict=True) if not p.with_suffix(".npz").is_file()]
    if not missing:
        return paths
    body = BodyModel.load()
    clips = {clip.name: clip for clip in load_split(mocap)}

    def make(scene: Scene, path: Path) -> None:
        betas = None
        if scene.betas:
            betas = torch.zeros(1, 10)
            betas[0, : len(scene.betas)] = torch.tensor(scene.betas)
        motion = retarget(clips[scene.piece.clip].frames(scene.piece.start, scene.piece.stop), body, betas)
        look = Appearance.random(scene.seed)
        truth, images = film(motion, body, scene.view, look, scene.seed, betas, processes=1)
        write_video(path, images, motion.fps)
        truth.save(path.with_suffix(".npz"))  # last: it says that the film is whole

    with ThreadPoolExecutor(min(os.cpu_count() or 1, 8)) as pool:  # a film at a time on each core
        for done in tqdm([pool.submit(make, *task) for task in missing], desc="drawing", unit="film"):
            try:
                done.result()
            except SettingsError:
                if not skip_unfit:
                    raise
    return [path for path in paths if path.with_suffix(".npz").is_file()]
