"""The motions of ``benchmarks.refinement``: stretches of test subjects' takes, walks in domain and the others out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks.page.report import mocap_file
from benchmarks.refinement.judge import RootJudge
from diffmocap.body.mocap import load_split, retarget
from diffmocap.body.model import BodyModel
from diffmocap.body.motion_clip import MotionClip
from training.held_out import UNEVEN_SUBJECTS

#: Whose walks are in domain. No subject of the validation and test files is trained on.
WALKERS = ("17", "27", "38", "39", "43")
#: Frames left out at the ends of takes, where people get up to speed.
MARGIN = 3


@dataclass(frozen=True)
class Cut:
    """``frames`` frames of a take from ``start`` on; the take is on the shipped body, its floor at 0."""

    take: MotionClip
    start: int
    frames: int

    @property
    def in_domain(self) -> bool:
        """Whether it is a walk of one of :data:`WALKERS`."""
        return self.take.subject in WALKERS and self.take.action.lower().startswith("walk")

    @property
    def name(self) -> str:
        """``take@start``."""
        return f"{self.take.name}@{self.start}"

    @property
    def clip(self) -> MotionClip:
        """The stretch itself."""
        return self.take.frames(self.start, self.start + self.frames)


def takes_of(
    splits: Sequence[str], body: BodyModel, folder: Path | None = None, subjects: Sequence[str] = ()
) -> list[MotionClip]:
    """Takes of splits on the shipped body, those on uneven ground left out; of some subjects alone if named."""
    takes = [clip for split in splits for clip in load_split(mocap_file(split, folder and folder / _file(split)))]
    chosen = [t for t in takes if t.subject not in UNEVEN_SUBJECTS and (not subjects or t.subject in subjects)]
    return [retarget(take, body) for take in chosen]


def _file(split: str) -> str:
    return f"cmu_smpl30_{split}.npz"


def cuts_of(
    takes: Sequence[MotionClip], frames: int, a_take: int, limit: int | None = None, seed: int = 0
) -> list[Cut]:
    """Up to ``a_take`` evenly spread stretches of each take that is long enough, ``limit`` in all.

    A limit takes from the subjects in turn, and from the takes of each in a drawn order before any take again.
    """
    rng = np.random.default_rng(seed)
    rounds: dict[str, list[Cut]] = {}
    for subject in sorted({take.subject for take in takes}):
        own = [take for take in takes if take.subject == subject and len(take) >= frames + 2 * MARGIN]
        order = rng.permutation(len(own))
        starts = {i: spread(len(own[i]), frames, a_take) for i in order}
        rounds[subject] = [
            Cut(own[i], starts[i][k], frames) for k in range(a_take) for i in order if k < len(starts[i])
        ]
    in_turn = [cuts[k] for k in range(max(map(len, rounds.values()), default=0)) for cuts in rounds.values()
               if k < len(cuts)]  # fmt: skip
    return sorted(in_turn[:limit], key=lambda cut: (cut.take.subject, cut.take.name, cut.start))


def spread(length: int, frames: int, count: int) -> list[int]:
    """Starts of up to ``count`` stretches that do not overlap, evenly over a take without its margins."""
    room = length - 2 * MARGIN - frames
    count = min(count, 1 + room // frames)
    if count == 1:
        return [MARGIN + room // 2]
    return [MARGIN + round(room * k / (count - 1)) for k in range(count)]


def domains(
    takes: Sequence[MotionClip], frames: int, a_take: int, limit: tuple[int, int] | None, seed: int = 0
) -> list[Cut]:
    """Cuts in domain, then out of it; ``limit`` of each."""
    walks = [t for t in takes if Cut(t, 0, 0).in_domain]
    others = [t for t in takes if not Cut(t, 0, 0).in_domain]
    inside, outside = limit or (None, None)
    return cuts_of(walks, frames, a_take, inside, seed) + cuts_of(others, frames, a_take, outside, seed)


def stacked(cuts: Sequence[Cut]) -> tuple[torch.Tensor, torch.Tensor]:
    """Rotations [B, T, 24, 3, 3] and pelvis [B, T, 3] m of cuts of equal length."""
    clips = [cut.clip for cut in cuts]
    return torch.stack([c.rotations for c in clips]), torch.stack([c.pelvis for c in clips])


def labels(cuts: Sequence[Cut], judge: RootJudge) -> np.ndarray:
    """Contacts [B, T, P] of cuts, labelled on the whole takes."""
    of_take: dict[str, np.ndarray] = {}
    for take in {cut.take.name: cut.take for cut in cuts}.values():
        whole = take.rotations.double().numpy(), take.pelvis.double().numpy()
        of_take[take.name] = judge.contacts(*whole, 1 / take.fps, np.array([0.0, 1.0, 0.0]), 0.0)
    return np.stack([of_take[cut.take.name][cut.start : cut.start + cut.frames] for cut in cuts])
