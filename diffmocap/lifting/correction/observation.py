"""What was seen of a body, as rows of numbers, and what a pose predicts of them, with derivatives."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from diffmocap.body.skeleton import KEYPOINT_NAMES, NUM_KEYPOINTS
from diffmocap.camera.projection import NEAREST_M
from diffmocap.lifting.correction.keypoint_jacobian import KeypointKinematics, PosedKeypoints

MID_HIP = KEYPOINT_NAMES.index("MidHip")


@dataclass(frozen=True)
class Observation:
    """Keypoints of B images as n rows, float64: 25 x, 25 y, and, if any is known, 25 depths.

    Attributes:
        values: [B, n] keypoints on the plane at depth 1 over the box's half-size, and depths beyond the mid-hip [m].
        seen: [B, n] bool; values are 0 elsewhere.
        half_size: [B, 1] of the box on the plane at depth 1.
        relative_noise: [B, n] how much noisier a row is than others.
    """

    values: torch.Tensor
    seen: torch.Tensor
    half_size: torch.Tensor
    relative_noise: torch.Tensor

    @classmethod
    def of(
        cls, rays: torch.Tensor, half_size: torch.Tensor, confidence: torch.Tensor, depth: torch.Tensor | None = None,
        depth_known: torch.Tensor | None = None, relative_noise: torch.Tensor | None = None,
    ) -> Observation:  # fmt: skip
        """Of what a detector says.

        Args:
            rays: [B, 25, 2] keypoints on the plane at depth 1. half_size: [B] of their box there.
            confidence: [B, 25]; 0 is missing.
            depth: [B, 25] m beyond the mid-hip, where ``depth_known`` [B, 25] is not 0.
            relative_noise: [B, 25] of each keypoint; None: all are alike.
        """
        seen, x, y = confidence > 0, *rays.unbind(-1)
        values, rows = [x / half_size[:, None], y / half_size[:, None]], [seen, seen]
        if depth is not None and bool((depth_known > 0).any()):
            values, rows = [*values, depth], [*rows, seen & (depth_known > 0)]
        values, rows = torch.cat(values, 1).double(), torch.cat(rows, 1)
        values = torch.where(rows, values, 0.0)
        noise = torch.ones_like(confidence) if relative_noise is None else relative_noise
        return cls(
            values, rows, half_size.double()[:, None], noise.double().repeat(1, values.shape[1] // NUM_KEYPOINTS)
        )

    def repeat(self, times: int) -> Observation:
        """Every row ``times`` times, its copies side by side."""
        parts = self.values, self.seen, self.half_size, self.relative_noise
        return Observation(*(x.repeat_interleave(times, 0) for x in parts))

    @property
    def coordinates(self) -> int:
        """2, or 3 with depths."""
        return self.values.shape[1] // NUM_KEYPOINTS

    def usable(self, posed: PosedKeypoints, pelvis: torch.Tensor) -> torch.Tensor:
        """[B, n] bool: seen, and not so near to the camera, or behind it, that no image is formed."""
        before = posed.points[..., 2] + pelvis[:, 2:] > NEAREST_M
        return self.seen & before.repeat(1, self.coordinates)

    def predicted(self, posed: PosedKeypoints, pelvis: torch.Tensor) -> torch.Tensor:
        """[B, n] rows of bodies whose pelvis lies at [B, 3] m; what is not seen is predicted too."""
        x, y, z = (posed.points + pelvis[:, None]).unbind(-1)
        scale = 1.0 / (z.clamp_min(NEAREST_M) * self.half_size)
        rows = [x * scale, y * scale]
        if self.coordinates == 3:
            rows.append(z - z[:, MID_HIP, None])
        return torch.cat(rows, 1)

    def derivatives(
        self, kinematics: KeypointKinematics, posed: PosedKeypoints, pelvis: torch.Tensor, turns: torch.Tensor
    ) -> torch.Tensor:
        """[B, n, 85] of the predicted rows: by 72 numbers of the joints, 3 of the pelvis [m] and 10 of the shape.

        ``turns``: see :meth:`KeypointKinematics.derivative_by_joints`.
        """
        x, y, z = (posed.points + pelvis[:, None]).unbind(-1)
        depth = z.clamp_min(NEAREST_M)
        scale = 1.0 / (depth * self.half_size)
        slope, zero = -scale / depth, torch.zeros_like(z)
        rows = [scale, zero, x * slope, zero, scale, y * slope]
        if self.coordinates == 3:
            rows += [zero, zero, torch.ones_like(z)]
        directions = torch.stack(rows, 1).unflatten(1, (-1, 3)).transpose(2, 3)  # [B, R, 25, 3]
        by_shape = (directions[..., None, :] @ kinematics.derivative_by_shape(posed)[:, None])[..., 0, :]
        by_joints = kinematics.derivative_by_joints(posed, directions, turns)
        J = torch.cat([by_joints, directions.flatten(1, 2), by_shape.flatten(1, 2)], -1)
        if self.coordinates == 3:
            hip = 2 * NUM_KEYPOINTS + MID_HIP
            J[:, 2 * NUM_KEYPOINTS :] -= J[:, hip, None].clone()
        return J
