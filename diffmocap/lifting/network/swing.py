"""Analytic inverse kinematics of a whole body at once: global rotations turned so that bones point where they should.

Each joint has a primary vector, and some have a secondary one: combinations of keypoints that its rotation moves, such
as knee minus hip, or big toe minus heel with ankle minus heel. The smallest rotation (the swing) brings the primary
vector of a given pose onto the wanted direction, a turn about that direction then the secondary one as near as it goes.
What the vectors do not determine, such as the twist of a thigh, stays that of the given pose.
"""

from __future__ import annotations

import torch

from diffmocap.body.skeleton import JOINT_NAMES, KEYPOINT_NAMES, NUM_JOINTS, NUM_KEYPOINTS, PARENTS

#: A vector is (keypoints at its end, keypoints at its beginning), each the mean of those named.
Vector = tuple[tuple[str, ...], tuple[str, ...]]

_HIP_AXIS: Vector = (("LHip",), ("RHip",))
_SHOULDER_AXIS: Vector = (("LShoulder",), ("RShoulder",))
_TRUNK: Vector = (("LShoulder", "RShoulder"), ("LHip", "RHip"))
#: joint -> (primary, secondary or None). A joint that is not named here turns with its parent.
VECTORS: dict[str, tuple[Vector, Vector | None]] = {
    "pelvis": (_HIP_AXIS, _TRUNK),
    "spine1": (_TRUNK, None),
    "spine3": (_TRUNK, _SHOULDER_AXIS),
    "head": ((("LEar",), ("REar",)), (("Nose",), ("LEar", "REar"))),
    "left_hip": ((("LKnee",), ("LHip",)), None),
    "right_hip": ((("RKnee",), ("RHip",)), None),
    "left_knee": ((("LAnkle",), ("LKnee",)), None),
    "right_knee": ((("RAnkle",), ("RKnee",)), None),
    "left_ankle": ((("LBigToe",), ("LHeel",)), (("LAnkle",), ("LHeel",))),
    "right_ankle": ((("RBigToe",), ("RHeel",)), (("RAnkle",), ("RHeel",))),
    "left_shoulder": ((("LElbow",), ("LShoulder",)), None),
    "right_shoulder": ((("RElbow",), ("RShoulder",)), None),
    "left_elbow": ((("LWrist",), ("LElbow",)), None),
    "right_elbow": ((("RWrist",), ("RElbow",)), None),
}


def _row(vector: Vector | None) -> torch.Tensor:
    row = torch.zeros(NUM_KEYPOINTS)
    for names, sign in zip(vector or (), (1.0, -1.0)):
        for name in names:
            row[KEYPOINT_NAMES.index(name)] += sign / len(names)
    return row


def vector_table() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """``primary`` and ``secondary`` [N, 25]: combinations of keypoints; ``has_secondary`` [N]; ``turn_of`` [24]: which
    of the N rotations turns each joint."""
    names = list(VECTORS)
    turn_of = []
    for joint in range(NUM_JOINTS):
        at = joint
        while JOINT_NAMES[at] not in VECTORS:
            at = PARENTS[at]
        turn_of.append(names.index(JOINT_NAMES[at]))
    primary = torch.stack([_row(first) for first, _ in VECTORS.values()])
    secondary = torch.stack([_row(second) for _, second in VECTORS.values()])
    has_secondary = torch.tensor([float(second is not None) for _, second in VECTORS.values()])
    return primary, secondary, has_secondary, torch.tensor(turn_of)


def _unit(v: torch.Tensor) -> torch.Tensor:
    return v / v.norm(dim=-1, keepdim=True).clamp_min(1e-6)


def _cross_matrix(v: torch.Tensor) -> torch.Tensor:
    x, y, z = v.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).unflatten(-1, (3, 3))


def swing(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """[..., 3, 3] smallest rotations that take unit vectors a [..., 3] onto b [..., 3] (Rodrigues' formula).

    Where they are opposite no rotation is the smallest, and the result is not exactly a rotation within half a degree
    of that.
    """
    v = torch.linalg.cross(a, b)
    c = (a * b).sum(-1)[..., None, None]
    K = _cross_matrix(v)
    eye = torch.eye(3, dtype=a.dtype, device=a.device)
    return eye + K + K @ K / (1.0 + c).clamp_min(4e-5)


def two_vector_turns(
    from_primary: torch.Tensor, to_primary: torch.Tensor, from_secondary: torch.Tensor, to_secondary: torch.Tensor,
    has_secondary: torch.Tensor,
) -> torch.Tensor:  # fmt: skip
    """[..., 3, 3] rotations that bring primary vectors [..., 3] onto the wanted ones, and secondary vectors as near to
    theirs as a turn about the primary one can, where ``has_secondary`` [...] is 1."""
    axis = _unit(to_primary)
    first = swing(_unit(from_primary), axis)
    turned = (first @ from_secondary[..., None])[..., 0]

    def across(v: torch.Tensor) -> torch.Tensor:
        return v - (v * axis).sum(-1, keepdim=True) * axis

    p, q = across(turned), across(to_secondary)
    cosine = (p * q).sum(-1)
    sine = (torch.linalg.cross(p, q) * axis).sum(-1)
    length = torch.sqrt(cosine.square() + sine.square() + 1e-12)
    # Vectors along the axis, a millimetre off it, say nothing about the turn; their length fades it out.
    weight = has_secondary * length / (length + 1e-6)
    sine, cosine = weight * sine / length, 1.0 - weight + weight * cosine / length
    norm = torch.sqrt(sine.square() + cosine.square() + 1e-12)
    sine, cosine = sine / norm, cosine / norm
    K = _cross_matrix(axis)
    eye = torch.eye(3, dtype=axis.dtype, device=axis.device)
    turn = eye + sine[..., None, None] * K + (1.0 - cosine)[..., None, None] * (K @ K)
    return turn @ first
