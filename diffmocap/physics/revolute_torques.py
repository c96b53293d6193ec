"""Torques of the URDF's 69 revolute joints from the torques of the 23 spherical ones.

The three axes of a joint meet in one point and the links between them weigh nothing, so a motor about an axis carries
the component of the joint's torque along it.
"""

from __future__ import annotations

from functools import lru_cache

import torch

from diffmocap.body.joint_angles import AXES, JOINT_AXES, SMPL_FROM_URDF_AXIS
from diffmocap.body.skeleton import PARENTS


def revolute_torques(torque: torch.Tensor, rotations: torch.Tensor, angles: torch.Tensor) -> torch.Tensor:
    """Motor torques [..., 69] N m in the order of :data:`diffmocap.body.joint_angles.JOINT_ANGLE_NAMES`.

    Positive where the motor pushes its angle up, so that torque times rate is the power given to the body.

    Args:
        torque: [..., 24, 3] on the child about the joint in the motion's axes, from
            inverse dynamics.
        rotations: [..., 24, 3, 3] global.
        angles: [..., 69] rad, of either branch: the middle axis depends on the first angle.
    """
    first, middle, crossed, last, parents = _axes(torque.device, torque.dtype)
    in_parent = (torque[..., 1:, None, :] @ rotations.index_select(-3, parents))[..., 0, :]
    in_child = (torque[..., 1:, None, :] @ rotations[..., 1:, :, :])[..., 0, :]
    angle = angles.unflatten(-1, (-1, 3))[..., 0]
    turned = middle * angle.cos()[..., None] + crossed * angle.sin()[..., None]
    along = [(in_parent * first).sum(-1), (in_parent * turned).sum(-1), (in_child * last).sum(-1)]
    return torch.stack(along, -1).flatten(-2)


@lru_cache(maxsize=16)
@torch.inference_mode(False)  # cached: gradients must be able to pass through
def _axes(device: torch.device, dtype: torch.dtype) -> tuple[torch.Tensor, ...]:
    """Axes [23, 3] in SMPL's axes: first, middle, first x middle, last; and the parents [23]."""
    identity = torch.eye(3, device=device, dtype=dtype)
    a, b, c = (identity[[SMPL_FROM_URDF_AXIS[AXES.index(order[k])] for order in JOINT_AXES]] for k in range(3))
    return a, b, torch.linalg.cross(a, b), c, torch.tensor(PARENTS[1:], device=device)


def on_branch(torques: torch.Tensor, angles: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Torques [..., 69] about the axes at ``angles`` as torques about those at ``wanted``, both [..., 69] rad.

    The same rotations have two solutions, (a, b, c) and (a + pi, pi - b, c + pi): the middle motors turn around.
    """
    turn = (wanted - angles).unflatten(-1, (-1, 3))[..., 0].cos().sign()
    signs = torch.stack([torch.ones_like(turn), turn, torch.ones_like(turn)], -1)
    return torques * signs.flatten(-2)
