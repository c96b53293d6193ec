"""The motion that a simulation follows, and what goes with it, cut into windows together."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from diffmocap.refinement.diffphy.observation import SeenKeypoints


@dataclass(frozen=True)
class ObservedMotion:
    """T frames of one motion, float64.

    Attributes:
        rotations: [T, 24, 3, 3] local. pelvis: [T, 3] m. touching: [T, P] bool, the contact points that touch.
        leading: [T, 23, 3] rad, the first guess of the targets' turns, see
            :func:`diffmocap.refinement.diffphy.feedforward.leading_turns`; None: the observed poses are the targets.
        seen: its keypoints; None: they are not known.
    """

    rotations: torch.Tensor
    pelvis: torch.Tensor
    touching: torch.Tensor
    leading: torch.Tensor | None = None
    seen: SeenKeypoints | None = None

    def __len__(self) -> int:
        return len(self.pelvis)

    def frames(self, part: slice) -> ObservedMotion:
        """Some of its frames."""
        return ObservedMotion(
            self.rotations[part], self.pelvis[part], self.touching[part],
            None if self.leading is None else self.leading[part], None if self.seen is None else self.seen.frames(part),
        )  # fmt: skip
