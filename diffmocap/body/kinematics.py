"""Batched forward kinematics of the SMPL tree: one product per tree level, no loop over joints.

On the CPU and without gradients, as in a live frame, machine code does the same in a tenth of the time.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch

from diffmocap import compiler
from diffmocap.body.skeleton import LEVELS, PARENTS

_ORDER = [j for level in LEVELS for j in level]
_INVERSE = [_ORDER.index(j) for j in range(len(_ORDER))]


# Cached tensors must not be made in inference mode: no gradient could pass through them.
@lru_cache(maxsize=8)
@torch.inference_mode(False)
def _indices(device: torch.device) -> tuple[torch.Tensor, torch.Tensor, list[torch.Tensor], list[torch.Tensor]]:
    """Parents of the joints, the pelvis being its own; where each joint is in the order of levels; each level's joints,
    and where in the previous level their parents are."""
    levels = [torch.tensor(level, device=device) for level in LEVELS]
    parents = [
        torch.tensor([above.index(PARENTS[j]) for j in level], device=device)
        for above, level in zip(LEVELS, LEVELS[1:])
    ]
    return torch.tensor((0, *PARENTS[1:]), device=device), torch.tensor(_INVERSE, device=device), levels, parents


def bone_offsets(rest_joints: torch.Tensor) -> torch.Tensor:
    """Position of each joint relative to its parent in the rest pose [..., 24, 3] m, zero for the pelvis.

    Args:
        rest_joints: [..., 24, 3] positions of the joints in the rest pose [m].
    """
    return rest_joints - rest_joints.index_select(-2, _indices(rest_joints.device)[0])


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
    if compiler.serves(rotations):
        return along_tree(rotations, pelvis, bone_offsets(rest_joints))
    _, inverse, levels, parents = _indices(rest_joints.device)
    offsets = bone_offsets(rest_joints).expand(len(rotations), -1, -1)
    turned, placed = [rotations[:, :1]], [pelvis[:, None]]
    for level, parent in zip(levels[1:], parents, strict=True):
        turn = turned[-1].index_select(1, parent)
        step = turn @ offsets.index_select(1, level)[..., None]
        placed.append(placed[-1].index_select(1, parent) + step[..., 0])
        turned.append(turn @ rotations.index_select(1, level))
    return torch.cat(turned, 1).index_select(1, inverse), torch.cat(placed, 1).index_select(1, inverse)


def along_tree(
    rotations: torch.Tensor, pelvis: torch.Tensor, offsets: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """As :func:`forward_kinematics`, for offsets [B or 1, 24, 3] m as :func:`bone_offsets` gives them, by machine code:
    on the CPU, without a gradient."""
    from diffmocap.body.kinematics_kernel import chain

    dtype = torch.promote_types(rotations.dtype, pelvis.dtype)
    given = rotations, pelvis.expand(len(rotations), -1), offsets
    local, start, bones = (x.detach().to(dtype).contiguous().numpy() for x in given)
    turned, joints = np.empty_like(local), np.empty(local.shape[:2] + (3,), local.dtype)
    chain(local, start, bones, turned, joints)
    return torch.from_numpy(turned), torch.from_numpy(joints)
