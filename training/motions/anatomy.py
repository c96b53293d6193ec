"""Local rotations from anatomical angles: legs, arms and spine of the SMPL skeleton.

The frame of every joint is SMPL's (x to the left, y up, z forward), the rest pose a T. Sides are made as left ones and
mirrored by :func:`to_side`.
"""

from __future__ import annotations

import math

import roma
import torch

#: Share of each joint in the flexion, side bend and twist of the spine and of the neck.
_SPINE = {3: (0.55, 0.34, 0.34), 6: (0.25, 0.33, 0.33), 9: (0.20, 0.33, 0.33), 12: (0.5, 0.5, 0.5), 15: (0.5, 0.5, 0.5)}
SPINE_JOINTS = tuple(_SPINE)


def about(axis: str, angle: torch.Tensor) -> torch.Tensor:
    """Rotations [..., 3, 3] about an axis of the SMPL frame."""
    return roma.rotvec_to_rotmat(angle[..., None] * torch.eye(3)["xyz".index(axis)].to(angle))


def leg_rotations(angles: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """Hip, knee and ankle of the left side [B, 3, 3, 3] from the angles [B, 5] rad of
    :data:`~training.motions.pose_kinds.LEG_ANGLES`.

    Normal numbers [B, 4] disturb what else knee and ankle can do, by 3 and 6 degrees.
    """
    flexion, abduction, outward, knee, plantar = angles.unbind(-1)
    a, b, c, d = (0.05 * noise).unbind(-1)
    hip = about("x", -flexion) @ about("y", outward) @ about("z", abduction)
    return torch.stack(
        [hip, about("x", knee) @ about("y", a) @ about("z", b),
         about("y", 2 * c) @ about("z", 2 * d) @ about("x", plantar)], 1,
    )  # fmt: skip


def arm_rotations(angles: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """Collar, shoulder, elbow and wrist of the left side [B, 4, 3, 3] from the angles [B, 6] rad of
    :data:`~training.motions.pose_kinds.ARM_ANGLES`.

    The upper arm's orientation in the trunk is R_y(-plane) R_z(elevation) R_y(plane + turn) from hanging; the collar
    raises with the arm (scapulohumeral rhythm) and goes forward with it, and the shoulder does the rest. Normal numbers
    [B, 4] disturb the collar, the carrying angle and the wrist.
    """
    plane, elevation, outward, elbow, pronation, wrist = angles.unbind(-1)
    raised = 0.2 * (elevation - 0.5).clamp_min(0) + 0.06 * noise[:, 0]
    ahead = -0.12 * plane.sin() * elevation.sin() + 0.06 * noise[:, 1]
    collar = about("y", ahead) @ about("z", raised)
    hanging = torch.full_like(plane, -math.pi / 2)
    upper = about("y", -plane) @ about("z", elevation) @ about("y", plane + outward) @ about("z", hanging)
    forearm = about("y", -elbow) @ about("z", 0.09 + 0.05 * noise[:, 2]) @ about("x", pronation)
    hand = about("z", wrist) @ about("y", 0.15 * noise[:, 3])
    return torch.stack([collar, collar.mT @ upper, forearm, hand], 1)


def spine_rotations(angles: torch.Tensor) -> torch.Tensor:
    """Rotations [B, 5, 3, 3] of :data:`SPINE_JOINTS` from flexion, side bend to the right and twist to the left of the
    spine and of neck and head [B, 6] rad."""
    share = torch.tensor(list(_SPINE.values())).to(angles)
    spine, neck = angles[:, None, :3] * share[:3], angles[:, None, 3:] * share[3:]
    flexion, side, twist = torch.cat([spine, neck], 1).unbind(-1)
    return about("y", twist) @ about("z", side) @ about("x", flexion)


def to_side(rotations: torch.Tensor, right: bool) -> torch.Tensor:
    """Rotations [..., 3, 3] of the left side, for the right side mirrored through the x = 0 plane."""
    if not right:
        return rotations
    flip = torch.tensor([-1.0, 1.0, 1.0]).to(rotations)
    return rotations * flip[:, None] * flip
