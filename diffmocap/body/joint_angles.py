"""Joint rotations as 69 revolute joint angles: three per joint for the 23 joints below the pelvis.

Axes are those of the URDF's links at zero pose (REP-103): x forward, y to the subject's left, z up. With the SMPL
body frame (x left, y up, z forward) that is (x, y, z)_urdf = (z, x, y)_smpl. Zero is the T-pose. A joint's rotation
is ``R_a(q0) R_b(q1) R_c(q2)``: the chain parent -> a -> b -> c -> child, each a right-handed rotation about an axis
fixed in the link before it.

The angles are unique up to full turns and the pair (a, b, c) ~ (a + pi, pi - b, c + pi), and degenerate where the
middle angle is +-90 degrees (gimbal lock). The axis order of each joint is the one, of the six possible, that keeps
the mocap training split furthest from there (largest 0.1 % quantile of cos(middle angle); among orders within 0.01
of the best a hinge's flexion comes first, else the 1 % quantile decides). The hard one is the shoulder, whose range
covers most of the sphere: 0.18 there, a good 10 degrees from lock; 0.43 at the wrist, above 0.69 elsewhere.
"""

from __future__ import annotations

import math

import numpy as np
import roma
import torch

from diffmocap import compiler
from diffmocap.body.skeleton import JOINT_NAMES, NUM_JOINTS

#: Axis order of the chain from parent to child; right joints share their left partner's.
AXIS_ORDERS = {
    "hip": "yzx", "knee": "yzx", "ankle": "zxy", "foot": "yzx",
    "spine1": "yxz", "spine2": "zxy", "spine3": "xzy", "neck": "zxy", "head": "yxz",
    "collar": "zxy", "shoulder": "zyx", "elbow": "zxy", "wrist": "xzy", "hand": "xzy",
}  # fmt: skip

#: Limits in degrees in the chain's order for the left and the middle joints, (low, high) an axis: anatomical ranges
#: of motion, widened to hold the principal angles of 99.9 % of the training split's frames. (The ankle stops at
#: 75 degrees: what lies beyond, in 0.3 % of the frames, are flipped feet of a few ballet and salsa takes.) Turns about
#: x and z change their sign on the right side. An angle unwrapped over time may lie whole turns outside of these;
#: what is published does not (:mod:`diffmocap.output.inside_limits`).
LIMITS_DEG = {
    "hip": ((-130, 45), (-50, 50), (-35, 65)),
    "knee": ((-15, 155), (-25, 20), (-15, 15)),
    "ankle": ((-55, 55), (-30, 30), (-75, 75)),
    "foot": ((-70, 45), (-15, 15), (-15, 15)),
    "spine1": ((-45, 75), (-35, 35), (-35, 35)),
    "spine2": ((-30, 30), (-30, 30), (-30, 40)),
    "spine3": ((-25, 25), (-30, 30), (-30, 30)),
    "neck": ((-65, 65), (-40, 40), (-60, 60)),
    "head": ((-70, 45), (-50, 50), (-65, 65)),
    "collar": ((-30, 30), (-20, 40), (-30, 30)),
    "shoulder": ((-160, 170), (-89, 89), (-170, 175)),
    "elbow": ((-165, 10), (-15, 35), (-90, 90)),
    "wrist": ((-85, 110), (-70, 70), (-120, 105)),
    "hand": ((-90, 60), (-20, 20), (-20, 20)),
}  # fmt: skip

AXES = "xyz"
#: Component of the SMPL frame that each URDF axis is: x is SMPL's z, y its x, z its y.
SMPL_FROM_URDF_AXIS = (2, 0, 1)
#: [3, 3] takes vectors from the SMPL body frame into the URDF's link axes. A link's orientation in a frame F is
#: ``R_F_smpl @ URDF_FROM_SMPL.T``.
URDF_FROM_SMPL = torch.eye(3)[list(SMPL_FROM_URDF_AXIS)]

#: Below this cos(middle angle) the outer two angles cannot be told apart in float32.
LOCK_COS = 1e-5
#: Damping of :func:`angle_rates`; where cos(middle angle) is this small, rates come out at about half of what they are.
_RATE_DAMPING = 0.03


def joint_kind(joint: int) -> str:
    """Name without the side: ``left_knee`` -> ``knee``."""
    return JOINT_NAMES[joint].removeprefix("left_").removeprefix("right_")


#: Axis letters of joints 1..23, chain order.
JOINT_AXES = tuple(AXIS_ORDERS[joint_kind(j)] for j in range(1, NUM_JOINTS))
#: Names of the 69 joints: ``<smpl joint>_<axis>``, e.g. ``left_knee_y`` (positive bends the knee).
JOINT_ANGLE_NAMES = tuple(f"{JOINT_NAMES[j + 1]}_{axis}" for j, order in enumerate(JOINT_AXES) for axis in order)
NUM_ANGLES = len(JOINT_ANGLE_NAMES)

# One batched formula serves every joint: entries of R that it needs, as flat indices, and the parity of the order.
_A, _B, _C = (torch.tensor([SMPL_FROM_URDF_AXIS[AXES.index(order[k])] for order in JOINT_AXES]) for k in range(3))
#: +1 for the even permutations xyz, yzx, zxy, else -1.
_PARITY = torch.tensor([1.0 if order in ("xyz", "yzx", "zxy") else -1.0 for order in JOINT_AXES])
_ENTRIES = torch.stack(
    [3 * _A + _C, 3 * _B + _C, 3 * _C + _C, 3 * _A + _B, 3 * _A + _A, 3 * _B + _A, 3 * _B + _B], dim=-1
)
#: [23, 3] the axes of each joint as components of the SMPL frame; [69, 3] the same as vectors.
AXIS_COMPONENTS = torch.stack([_A, _B, _C], dim=-1)
_AXIS_VECTORS = torch.eye(3)[AXIS_COMPONENTS.reshape(-1)]
#: [69, 3, 3] matrices K of the cross products with them, and K K.
_AXIS_CROSSED = (torch.linalg.cross(torch.eye(3)[None], _AXIS_VECTORS[:, None], dim=-1),)
_AXIS_CROSSED += (_AXIS_CROSSED[0] @ _AXIS_CROSSED[0],)
_TURN = 2.0 * math.pi


def angles_from_rotations(rotations: torch.Tensor, previous: torch.Tensor | None = None) -> torch.Tensor:
    """Joint angles of one or many independent poses.

    Args:
        rotations: [..., 24, 3, 3] local rotations in SMPL order; entry 0, the root, is not used.
        previous: [..., 69] angles of the previous frame [rad]. The solution closest to them is returned, so that
            a stream stays continuous; angles may then leave (-pi, pi]. None: the principal solution, outer angles in
            (-pi, pi], middle one in [-pi/2, pi/2].

    Returns:
        [..., 69] angles [rad] in the order of :data:`JOINT_ANGLE_NAMES`.
    """
    if compiler.serves(rotations):
        return _by_machine_code(rotations, previous)
    last = None if previous is None else previous.reshape(*previous.shape[:-1], NUM_JOINTS - 1, 3)
    angles, _ = _principal(rotations, last)
    if last is not None:
        same, other = _nearest_turn(angles, last), _nearest_turn(other_solution(angles), last)
        flip = (other - last).square().sum(-1) < (same - last).square().sum(-1)
        angles = torch.where(flip[..., None], other, same)
    return angles.flatten(-2)


def angle_trajectory(rotations: torch.Tensor, previous: torch.Tensor | None = None) -> torch.Tensor:
    """Joint angles [T, 69] of a motion [T, 24, 3, 3], continuous over time from ``previous`` [69] on.

    The same result as frame by frame with :func:`angles_from_rotations`, in one go: going to the other
    branch is an isometry, so whether two neighbours lie on the same branch depends on neither's own branch.
    """
    angles, locked = _principal(rotations, None)
    if bool(locked.any()):  # exactly in lock the split between the outer angles is inherited from the previous frame
        return _frame_by_frame(rotations, previous)
    if previous is None:
        first = angles[0]
    else:
        first = angles_from_rotations(rotations[0], previous).reshape(NUM_JOINTS - 1, 3)
    now, previous = angles[1:], angles[:-1]
    same = _wrap(now - previous).square().sum(-1)
    other = _wrap(other_solution(now) - previous).square().sum(-1)
    flips = torch.cumsum((other < same).long(), dim=0) % 2 == 1
    on_other = _wrap(first - angles[0]).abs().amax(-1) > 1e-3  # the first frame's branch, from `previous`
    branch = torch.where((flips ^ on_other)[..., None], other_solution(now), now)
    steps = _wrap(torch.diff(torch.cat([first[None], branch]), dim=0))
    return torch.cat([first[None], first + torch.cumsum(steps, dim=0)]).flatten(-2)


def rotations_from_angles(angles: torch.Tensor) -> torch.Tensor:
    """Local rotations [..., 23, 3, 3] in the SMPL frame of joints 1..23, from angles [..., 69] in rad."""
    if compiler.serves(angles):
        from diffmocap.body.joint_angles_kernel import joint_turns

        given = angles.detach().contiguous().numpy()
        turned = np.empty((*given.shape[:-1], NUM_JOINTS - 1, 3, 3), given.dtype)
        joint_turns(given.reshape(-1, NUM_ANGLES), AXIS_COMPONENTS.numpy(), turned.reshape(-1, NUM_JOINTS - 1, 3, 3))
        return torch.from_numpy(turned)
    crossed, squared = (part.to(angles) for part in _AXIS_CROSSED)
    angles = angles[..., None, None]
    # Rodrigues: the axes are fixed, and so are the matrices of their cross products.
    turns = torch.eye(3).to(angles) + angles.sin() * crossed + (1.0 - angles.cos()) * squared
    turns = turns.unflatten(-3, (NUM_JOINTS - 1, 3))
    return turns[..., 0, :, :] @ turns[..., 1, :, :] @ turns[..., 2, :, :]


def angle_rates(angles: torch.Tensor, angular_velocity: torch.Tensor) -> torch.Tensor:
    """Rates [..., 69] rad/s of the angles [..., 69] of joints that turn with [..., 24, 3] rad/s, row 0 not used.

    Angular velocities are those of the local rotations in the joint's own axes, d/dt R = R [w]. Within some degrees of
    gimbal lock the rates are damped, so that they stay bounded where no rates exist (damped least squares, Nakamura
    and Hanafusa 1986).
    """
    axes = _AXIS_VECTORS.to(angles).unflatten(0, (-1, 3))
    turns = roma.rotvec_to_rotmat(angles.unflatten(-1, (-1, 3))[..., 1:, None] * axes[:, 1:])  # [..., 23, 2, 3, 3]
    middle, last = turns.unbind(-3)
    first = (axes[:, None, 0] @ middle @ last)[..., 0, :]  # row vectors: R^T a
    columns = torch.stack([first, (axes[:, None, 1] @ last)[..., 0, :], axes[:, 2].expand_as(first)], -1)
    normal = columns.mT @ columns + _RATE_DAMPING**2 * torch.eye(3).to(angles)
    rates = torch.linalg.solve(normal, columns.mT @ angular_velocity[..., 1:, :, None])
    return rates[..., 0].flatten(-2)


def angle_limits() -> torch.Tensor:
    """Lower and upper limits [69, 2] in rad."""
    rows = []
    for j, order in enumerate(JOINT_AXES, start=1):
        right = JOINT_NAMES[j].startswith("right_")
        for axis, (low, high) in zip(order, LIMITS_DEG[joint_kind(j)], strict=True):
            rows.append((-high, -low) if right and axis != "y" else (low, high))
    return torch.deg2rad(torch.tensor(rows))


def limit_excess(rotations: torch.Tensor) -> torch.Tensor:
    """How far [..., 69] in rad each angle of poses [..., 24, 3, 3] lies outside its limits; 0 inside.

    Principal angles decide: middle angles are limited to less than 90 degrees, so no other solution can be inside.
    """
    angles, limits = angles_from_rotations(rotations), angle_limits().to(rotations)
    return torch.maximum(limits[:, 0] - angles, angles - limits[:, 1]).clamp_min(0.0)


def _by_machine_code(rotations: torch.Tensor, previous: torch.Tensor | None) -> torch.Tensor:
    from diffmocap.body.joint_angles_kernel import nearest_angles

    batch = rotations.shape[:-3]
    dtype = rotations.dtype if previous is None else torch.promote_types(rotations.dtype, previous.dtype)
    last = rotations.new_empty(0, NUM_ANGLES) if previous is None else previous.expand(*batch, -1)
    turned, last = (x.detach().to(dtype).contiguous() for x in (rotations, last))
    angles = torch.empty(*batch, NUM_ANGLES, dtype=dtype)
    nearest_angles(
        turned.view(-1, NUM_JOINTS, 9).numpy(), last.view(-1, NUM_ANGLES).numpy(), _ENTRIES.numpy(), _PARITY.numpy(),
        LOCK_COS, angles.view(-1, NUM_ANGLES).numpy(),
    )  # fmt: skip
    return angles


def _principal(rotations: torch.Tensor, last: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
    """Principal angles [..., 23, 3] and whether the joint [..., 23] is in lock; there the last angle is taken over."""
    flat = rotations[..., 1:, :, :].flatten(-2)
    entries = _ENTRIES.to(flat.device).expand(*flat.shape[:-1], 7)
    ac, bc, cc, ab, aa, ba, bb = flat.gather(-1, entries).unbind(-1)
    parity = _PARITY.to(flat)
    cos_b = torch.hypot(aa, ab)
    a = torch.atan2(-parity * bc, cc)
    b = torch.atan2(parity * ac, cos_b)
    c = torch.atan2(-parity * ab, aa)
    locked = cos_b < LOCK_COS
    # In lock only c + parity sign(b) a is known.
    inherited = torch.zeros_like(c) if last is None else last[..., 2].expand_as(c)
    a_locked = _wrap(parity * torch.sign(b) * (torch.atan2(parity * ba, bb) - inherited))
    a, c = torch.where(locked, a_locked, a), torch.where(locked, inherited, c)
    return torch.stack([a, b, c], dim=-1), locked


def other_solution(angles: torch.Tensor) -> torch.Tensor:
    """The second solution [..., 3] of the same rotation, whole turns aside, for angles [..., 3] rad of a joint."""
    a, b, c = angles.unbind(-1)
    return torch.stack([a + math.pi, math.pi - b, c + math.pi], dim=-1)


def _wrap(angles: torch.Tensor) -> torch.Tensor:
    return angles - _TURN * torch.round(angles / _TURN)


def _nearest_turn(angles: torch.Tensor, last: torch.Tensor) -> torch.Tensor:
    return last + _wrap(angles - last)


def _frame_by_frame(rotations: torch.Tensor, previous: torch.Tensor | None) -> torch.Tensor:
    frames = []
    for frame in rotations:
        previous = angles_from_rotations(frame, previous)
        frames.append(previous)
    return torch.stack(frames)
