"""Scenes that measure the detector: pieces of the training split, seen from everywhere, near and far."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.synthetic.motion import Piece
from benchmarks.synthetic.scenes import Scene
from benchmarks.synthetic.video import View
from diffmocap.body.mocap import load_split
from training.held_out import HELD_OUT_CLIPS


def detector_scenes(mocap: Path, count: int = 64, frames: int = 40, seed: int = 0) -> Sequence[Scene]:
    """``count`` pieces of ``frames`` frames from clips that models may train on, with random views and shapes.

    Clips are drawn evenly over the subjects, so that the many walks of a few of them do not decide. The order is
    random: the first scenes alone are a fair sample as well.
    """
    rng = np.random.default_rng(seed)
    by_subject: dict[str, list] = {}
    for clip in load_split(mocap, HELD_OUT_CLIPS):
        if len(clip) >= frames:
            by_subject.setdefault(clip.name.split("_")[0], []).append(clip)
    subjects = sorted(by_subject)
    scenes = []
    for i in range(count):
        if i % len(subjects) == 0:
            order = rng.permutation(subjects)
        clips = by_subject[order[i % len(subjects)]]
        clip = clips[rng.integers(len(clips))]
        start = int(rng.integers(len(clip) - frames + 1))
        view = View(
            yaw_deg=float(np.round(rng.uniform(-180, 180), 1)), height_m=float(np.round(rng.uniform(0.6, 2.2), 2)),
            vertical_fov_deg=float(np.round(rng.uniform(40, 70), 1)),
            margin=float(np.round(rng.choice([0.04, 0.1, 0.2, 0.3]), 2)),
        )  # fmt: skip
        betas = tuple(float(b) for b in np.round(rng.normal(0, 0.7, 4), 2))
        scenes.append(Scene(Piece(clip.name, start, start + frames), view, 1000 + i, betas))
    return scenes
