"""What was seen of a body, as rows of numbers, and what a pose predicts of them, with derivatives."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from diffmocap.body.skeleton import KEYPOINT_NAMES, NUM_KEYPOINTS
from diffmocap.camera.projection import NEAREST_M
from diffmocap.lifting.correction.error_covariance import IMAGE_ROWS, ROWS
from diffmocap.lifting.correction.keypoint_jacobian import KeypointKinematics, PosedKeypoints

MID_HIP = KEYPOINT_NAMES.index("MidHip")


@dataclass(frozen=True)
class Observation:
    """Keypoints of B images as n rows, float64: 50 of the image, (x, y) a keypoint, and 25 depths if any is known.

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
        half_size = half_size.double()[:, None]
        seen = confidence > 0
        noise = torch.ones_like(confidence) if relative_noise is None else relative_noise
        noise = noise.double()
        values, rows = (rays.double() / half_size[..., None]).flatten(1), seen.repeat_interleave(2, 1)
        told = noise.repeat_interleave(2, 1)
        if depth is not None and bool((depth_known > 0).any()):
            values, rows = torch.cat([values, depth.double()], 1), torch.cat([rows, seen & (depth_known > 0)], 1)
            told = torch.cat([told, noise], 1)
        return cls(torch.where(rows, values, 0.0), rows, half_size, told)

    @property
    def has_depth(self) -> bool:
        return self.values.shape[1] == ROWS

    def usable(self, posed: PosedKeypoints, pelvis: torch.Tensor) -> torch.Tensor:
        """[B, n] bool: seen, and not so near to the camera, or behind it, that no image is formed."""
        before = posed.points[..., 2] + pelvis[:, None, 2] > NEAREST_M
        image = self.seen[:, :IMAGE_ROWS] & before.repeat_interleave(2, 1)
        return torch.cat([image, self.seen[:, IMAGE_ROWS:]], 1)

    def predicted(self, posed: PosedKeypoints, pelvis: torch.Tensor) -> torch.Tensor:
        """[B, n] rows of bodies whose pelvis lies at [B, 3] m; what is not seen is predicted too."""
        points = posed.points + pelvis[:, None]
        image = points[..., :2] / (points[..., 2:].clamp_min(NEAREST_M) * self.half_size[:, None])
        if not self.has_depth:
            return image.flatten(1)
        return torch.cat([image.flatten(1), points[..., 2] - points[:, MID_HIP, 2:]], 1)

    def derivatives(
        self, kinematics: KeypointKinematics, posed: PosedKeypoints, pelvis: torch.Tensor, turns: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Of the predicted rows by the joints [B, n, 72], the pelvis [B, n, 3] and the body's shape [B, n, 10].

        ``turns``: see :meth:`KeypointKinematics.derivative_along`.
        """
        points = posed.points + pelvis[:, None]
        depth = points[..., 2:].clamp_min(NEAREST_M)
        scale = 1.0 / (depth * self.half_size[:, None])
        axes = torch.eye(3, dtype=points.dtype, device=points.device)
        slope = -points[..., :2] * scale / depth
        directions = torch.cat([scale[..., None] * axes[:2, :2], slope[..., None]], -1)  # [B, 25, 2, 3]
        by_shape, arms = kinematics.derivative_by_shape(posed), kinematics.arms(posed)
        joints = kinematics.derivative_along(arms, directions, turns)
        place, shape = directions.flatten(1, 2), (directions @ by_shape).flatten(1, 2)
        if not self.has_depth:
            return joints, place, shape
        along = axes[2].expand(len(points), NUM_KEYPOINTS, 1, 3)
        depths = kinematics.derivative_along(arms, along, turns)
        return (
            torch.cat([joints, depths - depths[:, MID_HIP, None]], 1),
            torch.cat([place, torch.zeros_like(points)], 1),
            torch.cat([shape, by_shape[:, :, 2] - by_shape[:, MID_HIP, None, 2]], 1),
        )
