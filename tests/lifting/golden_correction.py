"""Golden values of the correction: what its first code, made of torch operations, computed on inputs kept beside them.

See ``tests/data/README.md``. All is float64, the conditions too.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from diffmocap.lifting.correction.error_covariance import ErrorCovariances
from diffmocap.lifting.network.condition import Condition, condition_from_rays

PATH = Path(__file__).resolve().parents[1] / "data" / "golden_correction.npz"
#: Samples a condition, the first of them the mean.
SAMPLES = 5


@dataclass(frozen=True)
class Case:
    """One call: with depths or not, by how many steps, each by itself or the others by the mean's gain."""

    depth: bool
    steps: int
    samples: int
    mean_first: bool

    @property
    def name(self) -> str:
        return (
            f"{'depth' if self.depth else 'image'}_{self.steps}_{self.samples}_{'mean' if self.mean_first else 'each'}"
        )


CASES = (
    Case(False, 1, 1, False), Case(False, 2, 1, False), Case(False, 2, SAMPLES, True), Case(False, 1, SAMPLES, True),
    Case(True, 1, 1, False), Case(True, 2, 1, False), Case(True, 2, SAMPLES, True), Case(True, 2, SAMPLES, False),
)  # fmt: skip


def covariances() -> ErrorCovariances:
    """Five kinds of errors, of 2 to 8 degrees and correlated, and a detector's."""
    random = np.random.RandomState(7)  # the same numbers whatever NumPy's version
    degrees = np.array([3.0, 2.0, 6.0, 5.0, 8.0])
    factors = random.standard_normal((5, 72, 72)) / np.sqrt(72) + 0.3 * np.eye(72)
    poses = np.deg2rad(degrees)[:, None, None] ** 2 * (factors @ factors.transpose(0, 2, 1) + 1e-3 * np.eye(72))
    factor = random.standard_normal((75, 75)) / np.sqrt(75)
    deviation = np.repeat([0.03, 0.08], [50, 25])
    detector = deviation * deviation[:, None] * (factor @ factor.T + 0.05 * np.eye(75))
    return ErrorCovariances(torch.from_numpy(poses), torch.from_numpy(detector))


@dataclass(frozen=True)
class GoldenCorrection:
    """What went in: ``rays`` [B, 25, 2], ``confidence``, ``noise`` and ``depth`` [B, 25] (NaN where unknown),
    ``rotations`` [B, 5, 24, 3, 3], ``pelvis`` [B, 5, 3]; and what came out, by the cases' names."""

    arrays: dict[str, np.ndarray]

    @classmethod
    def load(cls) -> GoldenCorrection:
        with np.load(PATH, allow_pickle=False) as data:
            return cls(dict(data))

    def __getitem__(self, name: str) -> torch.Tensor:
        return torch.from_numpy(self.arrays[name])

    def input(self, case: Case) -> tuple[Condition, torch.Tensor, torch.Tensor, int, bool]:
        """Arguments of :class:`LiftCorrection`."""
        depth = self["depth"] if case.depth else None
        condition = condition_from_rays(self["rays"], self["confidence"], self["noise"], depth)
        rotations, pelvis = (self[name][:, : case.samples].flatten(0, 1) for name in ("rotations", "pelvis"))
        return condition, rotations, pelvis, case.steps, case.mean_first
