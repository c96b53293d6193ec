"""What the image and the ground say of a simulated motion, by the law of the window loss.

Of the terms of :mod:`diffmocap.refinement.kernels.terms` those that look at a motion alone: the keypoints' distance
from where they were seen, the slip of what touches the ground, and what is below it. What a body does by itself, as
forces, needs no term: the simulation does nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from diffmocap.body.skeleton import NUM_KEYPOINTS
from diffmocap.errors import SettingsError
from diffmocap.physics.ground import Ground
from diffmocap.refinement.window.body_points import BodyPoints
from diffmocap.refinement.window.loss import WindowLoss
from diffmocap.refinement.window.weights import UNITS, RefinementWeights
from diffmocap.refinement.window.window import Window

#: Terms of the window loss that are looked at.
TERMS = ("reprojection", "slip", "penetration")


@dataclass(frozen=True)
class SeenKeypoints:
    """Keypoints of T frames of B motions as an ideal pinhole camera saw them; the motions are in its optical frame.

    Attributes:
        points_px: [B, T, 25, 2]; any number where the confidence is zero. confidence: [B, T, 25] in [0, 1].
        K: [B, 3, 3] px.
    """

    points_px: torch.Tensor
    confidence: torch.Tensor
    K: torch.Tensor

    def __post_init__(self) -> None:
        batch, frames = self.confidence.shape[:2]
        shapes = {"points_px": (batch, frames, NUM_KEYPOINTS, 2), "confidence": (batch, frames, NUM_KEYPOINTS),
                  "K": (batch, 3, 3)}  # fmt: skip
        for name, shape in shapes.items():
            if tuple(getattr(self, name).shape) != shape:
                raise SettingsError(f"{name} must be {list(shape)}, got {list(getattr(self, name).shape)}")

    @classmethod
    def of_one(cls, points_px: torch.Tensor, confidence: torch.Tensor, K: torch.Tensor) -> SeenKeypoints:
        """Of one motion: [T, 25, 2], [T, 25] and [3, 3]."""
        return cls(points_px[None], confidence[None], K[None])

    def frames(self, part: slice) -> SeenKeypoints:
        """Those of some frames."""
        return SeenKeypoints(self.points_px[:, part], self.confidence[:, part], self.K)

    def row(self, index: int) -> SeenKeypoints:
        """Those of one motion."""
        one = slice(index, index + 1)
        return SeenKeypoints(self.points_px[one], self.confidence[one], self.K[one])


class Observation:
    """The terms of B observed motions.

    Args:
        points: of the body. rotations: [B, T, 24, 3, 3] observed local ones. pelvis: [B, T, 3] m. dt_s: between frames.
        ground: one for all, ``up`` [3]. touching: [B, T, P] bool, the body's contact points that touch it.
        seen: None: no keypoints are known. robust_m: see :class:`RefinementWeights`.
    """

    def __init__(
        self, points: BodyPoints, rotations: torch.Tensor, pelvis: torch.Tensor, dt_s: float, ground: Ground,
        touching: torch.Tensor, seen: SeenKeypoints | None, robust_m: float,
    ) -> None:  # fmt: skip
        batch = len(pelvis)
        ground = Ground(
            ground.up.expand(batch, 3).to(pelvis), ground.height.expand(batch).to(pelvis), ground.source,
            ground.gravity_m_s2,
        )  # fmt: skip
        window = Window.of_motions(rotations, pelvis, dt_s, ground)
        if seen is not None:
            window = window.seen(seen.points_px, seen.confidence, seen.K)
        weights = RefinementWeights(
            **{name: float(name in TERMS and (seen is not None or name != "reprojection")) for name in UNITS},
            robust_m=robust_m,
        )
        self._loss = WindowLoss(window, points, rotations, pelvis, weights, touching=touching)
        self._columns = {name: list(UNITS).index(name) for name in TERMS if getattr(weights, name)}

    def squares(self, rotations: torch.Tensor, pelvis: torch.Tensor) -> dict[str, torch.Tensor]:
        """Squares [B] of the terms' units by name, of motions [B, T, 24, 3, 3] (local) and [B, T, 3] m; differentiable
        once. ``reprojection`` where keypoints are known."""
        squares = self._loss.squares(rotations, pelvis)
        return {name: squares[:, column] for name, column in self._columns.items()}
