"""Batched forward kinematics of the SMPL tree: one product a tree level, no loop over joints."""

from __future__ import annotations

import torch

from diffmocap.body.skeleton import LEVELS, PARENTS

#: Joints reordered by depth, so that a level is a contiguous slice and its parents one lookup.
_ORDER = [j for level in LEVELS for j in level]
_SLOT = {j: i for i, j in enumerate(_ORDER)}
_INVERSE = [_SLOT[j] for j in range(len(_ORDER))]
_PARENT_SLOTS = [[_SLOT[PARENTS[j]] for j in level] for level in LEVELS[1:]]


def forward_kinematics(
    rotations: torch.Tensor, pelvis: torch.Tensor, rest_joints: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Global rotations and positions of the joints.

    Args:
        rotations: [B, 24, 3, 3] local rotations; entry 0 is the root's orientation in the target frame.
        pelvis: [B, 3] position of the pelvis joint in the target frame [m].
        rest_joints: [B or 1, 24, 3] joints of the rest pose in the body frame [m].

    Returns:
        Global rotations [B, 24, 3, 3] and joint positions [B, 24, 3] in the target frame.
    """
    parents = torch.tensor(PARENTS[1:], device=rest_joints.device)
    offsets = (rest_joints[:, 1:] - rest_joints[:, parents]).expand(len(rotations), -1, -1)
    offsets = torch.cat([pelvis[:, None], offsets], 1)[:, _ORDER]
    local = rotations[:, _ORDER]
    all_rotations, all_positions = local[:, :1], offsets[:, :1]
    start = 1
    for parent_slots in _PARENT_SLOTS:
        end = start + len(parent_slots)
        parent_rotation = all_rotations[:, parent_slots]
        position = all_positions[:, parent_slots] + (parent_rotation @ offsets[:, start:end, :, None])[..., 0]
        all_rotations = torch.cat([all_rotations, parent_rotation @ local[:, start:end]], 1)
        all_positions = torch.cat([all_positions, position], 1)
        start = end
    return all_rotations[:, _INVERSE], all_positions[:, _INVERSE]
