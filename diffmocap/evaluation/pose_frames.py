"""Single frames of motion capture with the labels of their clips: what pose benchmarks are run over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from diffmocap.body.mocap import load_split
from diffmocap.body.motion_clip import MotionClip
from diffmocap.errors import MotionFileError


@dataclass(frozen=True)
class PoseFrames:
    """N frames.

    Attributes:
        rotations: [N, 24, 3, 3] local, root in the y-up world.
        numbers: [N] place of the frame among all frames of the file or folder; it tells frames apart in any subset.
        clip, subject, action: [N] labels; the action is the clip's name where the file has none.
    """

    rotations: torch.Tensor
    numbers: torch.Tensor
    clip: tuple[str, ...]
    subject: tuple[str, ...]
    action: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.numbers)

    @classmethod
    def load(cls, path: str | Path, every: int = 1, skipped: dict[str, str] | None = None) -> PoseFrames:
        """Every ``every``-th frame of each clip at 30 frames a second.

        ``skipped`` gets the files of a folder that cannot be used, each with the reason.

        Raises:
            MotionFileError: no motion file, or one without frames.
        """
        clips = load_split(path, skipped=skipped)
        if not any(len(clip) for clip in clips):
            raise MotionFileError(f"{path} holds no frames; expected clips of at least one")
        return cls.of_clips(clips, every)

    @classmethod
    def of_clips(cls, clips: Sequence[MotionClip], every: int = 1) -> PoseFrames:
        """Every ``every``-th frame of each clip, numbered over all clips."""
        starts = torch.tensor([0, *(len(clip) for clip in clips[:-1])]).cumsum(0).tolist()
        labels = [(c.name, c.subject, c.action or c.name) for c in clips for _ in range(0, len(c), every)]
        return cls(
            torch.cat([clip.rotations[::every] for clip in clips]),
            torch.cat([torch.arange(0, len(clip), every) + start for clip, start in zip(clips, starts, strict=True)]),
            *zip(*labels, strict=True),
        )

    def pick(self, index: torch.Tensor) -> PoseFrames:
        """The frames at ``index`` [M]."""
        labels = (tuple(label[i] for i in index.tolist()) for label in (self.clip, self.subject, self.action))
        return PoseFrames(self.rotations[index], self.numbers[index], *labels)

    def evenly(self, count: int) -> PoseFrames:
        """At most ``count`` frames, evenly spread from the first to the last."""
        if count >= len(self):
            return self
        return self.pick(torch.linspace(0, len(self) - 1, count).long())

    def stratified(self, count: int, seed: int = 0) -> PoseFrames:
        """At most ``count`` frames: of each clip its share of them, but at least one while there are enough.

        Which ones is drawn without replacement from ``seed``. The order stays.
        """
        if count >= len(self):
            return self
        members: dict[tuple[str, str], list[int]] = {}
        for i, key in enumerate(zip(self.subject, self.clip, strict=True)):
            members.setdefault(key, []).append(i)
        share = torch.tensor([len(m) for m in members.values()]) * (count / len(self))
        least = 1 if count >= len(members) else 0
        quota = share.floor().long().clamp_min(least)
        while (missing := count - int(quota.sum())) != 0:  # the clip furthest from its share gives or takes one
            lack = share - quota
            i = lack.argmax() if missing > 0 else torch.where(quota > least, lack, torch.inf).argmin()
            quota[i] += 1 if missing > 0 else -1
        g = torch.Generator().manual_seed(seed)
        chosen = [m[j] for m, n in zip(members.values(), quota.tolist(), strict=True)
                  for j in torch.randperm(len(m), generator=g)[:n].tolist()]  # fmt: skip
        return self.pick(torch.tensor(sorted(chosen)))
