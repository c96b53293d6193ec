"""How far a network's poses are off, by kind of condition: what its weights bring along for the correction.

Errors of a pose are the right tangent vectors delta of ``R_true = R_network exp(delta)``, one per joint, 72 numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from diffmocap.body.skeleton import NUM_KEYPOINTS
from diffmocap.compiler import array
from diffmocap.lifting.correction.records import ROWS, TANGENT
from diffmocap.lifting.network.condition import Condition

#: Tensors of a weights file that belong to the correction and not to the network.
PREFIX = "error_covariance."
#: The conditions that errors are measured under, on the training split: exact, noisy, or with missing keypoints.
KINDS = ("exact", "exact_depth", "noisy", "noisy_depth", "missing")
#: Of the noisy kinds: standard deviation over the box's half-size. (Their bodies have other shapes, too.)
NOISE = 0.02
#: Of the last kind: share of the keypoints that are missing.
MISSING_SHARE = 0.25


@dataclass(frozen=True)
class ErrorCovariances:
    """Covariances on the CPU, float64.

    Attributes:
        poses: [5, 72, 72] rad^2, of the network's errors, in the order of :data:`KINDS`.
        detector: [75, 75], of the detector's errors: x of 25 keypoints over the box's half-size in the crop frame,
            their y, and their depths [m].
    """

    poses: torch.Tensor
    detector: torch.Tensor

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, torch.Tensor]) -> ErrorCovariances:
        """Of a weights file's tensors.

        Raises:
            ValueError: one is missing, or no covariance of that size.
        """
        found = {}
        for name, side in (*((kind, TANGENT) for kind in KINDS), ("detector", ROWS)):
            matrix = tensors.get(PREFIX + name)
            if matrix is None or matrix.shape != (side, side):
                raise ValueError(f"its tensor {PREFIX}{name} is no {side} by {side} matrix")
            matrix = 0.5 * (matrix + matrix.T).double()
            if not float(torch.linalg.eigvalsh(matrix)[0]) > 0:
                raise ValueError(f"its tensor {PREFIX}{name} is no covariance")
            found[name] = matrix
        return cls(torch.stack([found[kind] for kind in KINDS]), found["detector"])

    def tensors(self) -> dict[str, torch.Tensor]:
        """As they stand in a weights file, float32."""
        named = {**dict(zip(KINDS, self.poses)), "detector": self.detector}
        return {PREFIX + name: matrix.float().contiguous().cpu() for name, matrix in named.items()}

    def of(self, condition: Condition) -> np.ndarray:
        """[B, 72, 72] of poses under B conditions, between the kinds by told noise and by what is seen and known."""
        seen = array(condition.confidence) > 0
        count = np.maximum(seen.sum(1), 1)
        noisy = np.clip(array(condition.view[:, 3]) / NOISE, 0.0, 1.0)
        depth = (seen * array(condition.depth_known)).sum(1) / count
        # What is missing matters most where the rest is exact.
        missing = np.clip((1 - count / NUM_KEYPOINTS) / MISSING_SHARE, 0.0, 1.0) * (1 - noisy)
        told, whole = np.stack([1 - depth, depth], 1), (1 - missing)[:, None]
        by_noise = [whole * share[:, None] * told for share in (1 - noisy, noisy)]
        weights = np.concatenate([*by_noise, missing[:, None]], 1)
        return (weights @ self.poses.numpy().reshape(len(KINDS), -1)).reshape(-1, TANGENT, TANGENT)
