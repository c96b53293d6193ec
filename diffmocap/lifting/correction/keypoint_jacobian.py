"""Keypoints with their analytic derivatives by joint rotations and by body shape.

A keypoint is a weighted sum of parts that each follow one joint: a joint itself, two joints for a midpoint, the
joints that a vertex is skinned to. Turning joint j by a small vector w in world axes moves every point x below it by
``w x (x - p_j)``, so that all derivatives come from one product with a mask of ancestors; nothing loops over joints.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from diffmocap.body.model import BodyModel
from diffmocap.body.skeleton import LEVELS, NUM_JOINTS, NUM_KEYPOINTS, PARENTS


def ancestor_mask() -> torch.Tensor:
    """[24, 24] float64: entry (i, j) is 1 where joint j is joint i or above it."""
    mask = torch.eye(NUM_JOINTS, dtype=torch.float64)
    for j, parent in enumerate(PARENTS):
        if parent >= 0:
            mask[j] += mask[parent]
    return mask


@dataclass(frozen=True)
class PosedKeypoints:
    """Keypoints of B poses with what their derivatives are made of, float64, the pelvis at the origin.

    Attributes:
        points: [B, 25, 3] m. joints: [B, 24, 3] m. parts: [B, P, 3] m, what keypoints are sums of.
        global_rotations: [B, 24, 3, 3].
    """

    points: torch.Tensor
    joints: torch.Tensor
    parts: torch.Tensor
    global_rotations: torch.Tensor


class KeypointKinematics:
    """Of one body in its mean shape; pose-dependent skin counts in the keypoints and is left out of derivatives.

    It works on the CPU, wherever the body is: hundreds of small operations are slower on a GPU.
    """

    @torch.no_grad()
    def __init__(self, body: BodyModel) -> None:
        device = torch.device("cpu")
        parts = body.keypoint_parts().to(device)
        joint = self._joint = parts.joint
        self._gather = torch.zeros(NUM_KEYPOINTS, len(joint), dtype=torch.float64, device=device)
        self._gather[parts.keypoint, torch.arange(len(joint), device=device)] = parts.weight.double()
        ancestors = ancestor_mask().to(device)
        reach = self._gather * ancestors[joint].T[:, None]  # [24, 25, P]
        self._reach, self._reached = reach.flatten(0, 1), reach.sum(-1)[..., None]
        rest = body.rest_joints().double()[0].to(device)
        self._offsets = (parts.template.double() - rest[joint])[..., None]
        self._pose_dirs = None if parts.pose_dirs is None else parts.pose_dirs.double()
        # Bones, from parent to joint, and the joints that they carry.
        self._parents = torch.tensor(PARENTS[1:], device=device)
        self._bones, self._carried = (rest[1:] - rest[self._parents])[..., None], ancestors[:, 1:]
        rest_dirs = body.rest_joints(torch.eye(10, device=body.device)).double().to(device).permute(1, 2, 0)
        rest_dirs = rest_dirs - rest[..., None]
        self._offset_dirs = parts.shape_dirs.double() - rest_dirs[joint]
        self._bone_dirs, self._carried_keypoints = rest_dirs[1:] - rest_dirs[self._parents], reach.sum(-1).T[:, 1:]
        # Joints by depth in the tree: in which order, each level's parents within the level above, and back.
        order = [j for level in LEVELS for j in level]
        self._order = torch.tensor(order, device=device)
        self._back = self._order.argsort()
        self._levels = [
            torch.tensor([above.index(PARENTS[j]) for j in level], device=device)
            for above, level in zip(LEVELS, LEVELS[1:])
        ]

    def __call__(self, rotations: torch.Tensor) -> PosedKeypoints:
        """For local rotations [B, 24, 3, 3] float64."""
        # Joint by joint, so that a level's products are one batch.
        local = rotations.transpose(0, 1).index_select(0, self._order).flatten(0, 1)
        levels = local.split([len(level) * len(rotations) for level in LEVELS])
        turned = [levels[0]]
        for parents, below in zip(self._levels, levels[1:], strict=True):
            above = turned[-1].view(-1, 9 * len(rotations)).index_select(0, parents).view(-1, 3, 3)
            turned.append(torch.bmm(above, below))
        G = torch.cat(turned).unflatten(0, (NUM_JOINTS, -1)).index_select(0, self._back).transpose(0, 1).contiguous()
        bones = (G.index_select(1, self._parents) @ self._bones)[..., 0]
        joints = self._carried @ bones
        offsets = self._offsets
        if self._pose_dirs is not None:
            feature = (rotations[:, 1:] - torch.eye(3, dtype=rotations.dtype, device=rotations.device)).flatten(1)
            offsets = offsets + torch.einsum("pai,bi->bpa", self._pose_dirs, feature)[..., None]
        parts = joints.index_select(1, self._joint) + (G.index_select(1, self._joint) @ offsets)[..., 0]
        return PosedKeypoints(self._gather @ parts, joints, parts, G)

    def derivative_by_joints(
        self, posed: PosedKeypoints, directions: torch.Tensor, turns: torch.Tensor
    ) -> torch.Tensor:
        """Derivatives [B, R * 25, 72] of R coordinates of the keypoints by the joints' tangent vectors.

        Args:
            directions: [B, R, 25, 3], the coordinates: what is differentiated is ``directions . points``.
            turns: [B, 24, 3, 3] from a joint's tangent vector to world axes: its global rotation, for small turns
                about the pose itself.
        """
        moved = (self._reach @ posed.parts).unflatten(1, (NUM_JOINTS, NUM_KEYPOINTS))
        # Turning joint j by w moves keypoint k by w x arms[j, k], and d . (w x a) = w . (a x d).
        arms = moved - self._reached * posed.joints[:, :, None]
        by_world = torch.linalg.cross(arms[:, :, None], directions[:, None], dim=-1).flatten(2, 3)
        return (by_world @ turns).transpose(1, 2).flatten(2)

    def derivative_by_shape(self, posed: PosedKeypoints) -> torch.Tensor:
        """Derivatives [B, 25, 3, 10] m of the keypoints by the shape's ten numbers, the pelvis held."""
        G = posed.global_rotations
        bones = (G.index_select(1, self._parents) @ self._bone_dirs).flatten(2)
        parts = (G.index_select(1, self._joint) @ self._offset_dirs).flatten(2)
        return (self._carried_keypoints @ bones + self._gather @ parts).unflatten(2, (3, 10))
