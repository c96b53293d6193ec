"""How far a network's poses are off, by kind of condition: what its weights bring along for the correction.

Errors of a pose are the right tangent vectors delta of ``R_true = R_network exp(delta)``, one a joint, 72 numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from diffmocap.body.skeleton import NUM_JOINTS, NUM_KEYPOINTS

#: Tensors of a weights file that belong to the correction and not to the network.
PREFIX = "error_covariance."
TANGENT = 3 * NUM_JOINTS
#: Rows of an observation: x and y of each keypoint, then the depths.
IMAGE_ROWS, ROWS = 2 * NUM_KEYPOINTS, 3 * NUM_KEYPOINTS
#: The conditions that errors are measured under, on the training split: exact or noisy (2 % of the half-size, other
#: body shapes), without or with depths, and exact with a fifth of the keypoints missing.
KINDS = ("exact", "exact_depth", "noisy", "noisy_depth", "missing")
#: Noise of the noisy kinds over the box's half-size, and share of keypoints that the last kind misses.
NOISE, MISSING_SHARE = 0.02, 0.25


@dataclass(frozen=True)
class ErrorCovariances:
    """Covariances on one device, float64.

    Attributes:
        poses: [5, 72, 72] rad^2, of the network's errors, in the order of :data:`KINDS`.
        detector: [75, 75], of the detector's errors: image rows over the box's half-size in the crop frame, (x, y) a
            keypoint, then depths [m].
    """

    poses: torch.Tensor
    detector: torch.Tensor

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, torch.Tensor], device: torch.device | str = "cpu") -> ErrorCovariances:
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
            if torch.linalg.eigvalsh(matrix)[0] <= 0:
                raise ValueError(f"its tensor {PREFIX}{name} is no covariance")
            found[name] = matrix.to(device)
        return cls(torch.stack([found[kind] for kind in KINDS]), found["detector"])

    def tensors(self) -> dict[str, torch.Tensor]:
        """As they stand in a weights file, float32."""
        named = {**dict(zip(KINDS, self.poses)), "detector": self.detector}
        return {PREFIX + name: matrix.float().contiguous().cpu() for name, matrix in named.items()}

    def of_condition(self, noise: torch.Tensor, depth_share: torch.Tensor, missing_share: torch.Tensor) -> torch.Tensor:
        """[B, 72, 72] for told noise [B] and shares [B] of known depths and of missing keypoints, blended linearly."""
        noisy = (noise / NOISE).clamp(0, 1)
        missing = (missing_share / MISSING_SHARE).clamp(0, 1) * (1 - noisy)
        plain, depth = 1 - depth_share, depth_share
        weights = torch.stack([(1 - noisy) * plain, (1 - noisy) * depth, noisy * plain, noisy * depth], -1)
        weights = torch.cat([weights * (1 - missing[:, None]), missing[:, None]], -1)
        return (weights.double() @ self.poses.flatten(1)).unflatten(1, (TANGENT, TANGENT))
