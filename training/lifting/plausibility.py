"""Whether a body could take a pose: joints within their limits, limbs not inside one another or the trunk.

Both checks are meant for poses that were put together or disturbed; captured frames pass them but for about one in a
hundred, which shows how tight they are.
"""

from __future__ import annotations

import torch

from diffmocap.body.joint_angles import limit_excess
from diffmocap.body.model import BodyModel
from diffmocap.body.skeleton import JOINT_MIRROR

#: Points that must stay outside, on the left side: (joint, joint, share of the way from one to the other).
#: The elbow is left out: it rests against the ribs in everyday poses.
ARM_PROBES = ((18, 20, 0.5), (18, 20, 1.0), (20, 22, 1.0))
LEG_PROBES = ((4, 7, 0.0), (4, 7, 0.5), (4, 7, 1.0), (7, 10, 1.0))

#: Capsules that an arm's probes must stay out of: (joint, joint, radius m). Trunk, neck and head, thighs, shins.
BODY_CAPSULES = (
    (0, 3, 0.10), (3, 6, 0.10), (6, 9, 0.10), (9, 12, 0.08), (12, 15, 0.06),
    (1, 4, 0.06), (2, 5, 0.06), (4, 7, 0.06), (5, 8, 0.06),
)  # fmt: skip
#: The right side's, for probes of the left: forearm; thigh, shin, foot. Radii hold two limbs' flesh. They leave out the
#: closest 0.1 % or so of the captured frames.
FOREARM_CAPSULE = ((19, 21, 0.05),)
LEG_CAPSULES = ((2, 5, 0.12), (5, 8, 0.10), (8, 11, 0.08))


def _mirrored(rows: tuple) -> tuple:
    return tuple((JOINT_MIRROR[a], JOINT_MIRROR[b], x) for a, b, x in rows)


#: Every probe with every capsule it is held against, columns: probe's joints and share, capsule's joints and radius.
_PAIRS = tuple(
    zip(
        *(
            (*probe, *capsule)
            for probes, capsules in (
                (ARM_PROBES, BODY_CAPSULES + FOREARM_CAPSULE),
                (_mirrored(ARM_PROBES), BODY_CAPSULES + _mirrored(FOREARM_CAPSULE)),
                (LEG_PROBES, LEG_CAPSULES),
                (_mirrored(LEG_PROBES), _mirrored(LEG_CAPSULES)),
            )
            for probe in probes
            for capsule in capsules
        )
    )
)


def self_intersects(body: BodyModel, rotations: torch.Tensor) -> torch.Tensor:
    """[B] bool for poses [B, 24, 3, 3] of the mean body: a forearm or hand lies inside the trunk, head, a leg or the
    other forearm, or a lower leg or foot inside the other leg (capsules about the bones)."""
    device = rotations.device
    _, joints = body.forward_kinematics(rotations, torch.zeros(len(rotations), 3, device=device))
    a, b, share, c, d, radius = (torch.tensor(column, device=device) for column in _PAIRS)
    start = joints[:, c]
    axis = joints[:, d] - start
    offset = torch.lerp(joints[:, a], joints[:, b], share[:, None]) - start
    along = (offset * axis).sum(-1, keepdim=True) / axis.square().sum(-1, keepdim=True).clamp_min(1e-9)
    distance = (offset - along.clamp(0, 1) * axis).norm(dim=-1)
    return (distance < radius).any(1)


def within_limits(rotations: torch.Tensor) -> torch.Tensor:
    """[B, 24] bool for poses [B, 24, 3, 3]: the joint's three angles lie within the limits of
    :data:`diffmocap.body.joint_angles.LIMITS_DEG`. The root has none."""
    inside = (limit_excess(rotations) <= 0).unflatten(-1, (-1, 3)).all(-1)
    return torch.cat([torch.ones_like(inside[:, :1]), inside], 1)
