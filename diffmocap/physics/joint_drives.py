"""Proportional-derivative drives of the 23 joints; the pelvis has none, so nothing holds the body up but the ground.

A drive pulls its joint towards a target rotation like a damped spring. Where that would take more than the joint's
strength (:data:`diffmocap.body.urdf.EFFORT`), both gains soften: absurd targets give a strong person, not an explosion.
It is stable at any step: spring and damper are taken at the end of the step (Tan et al. 2011, "Stable
proportional-derivative controllers"), which adds ``dt (dt kp + kd)`` of the joints' relative rates to the mass matrix.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from diffmocap.body.joint_angles import joint_kind
from diffmocap.body.skeleton import NUM_JOINTS
from diffmocap.body.urdf import EFFORT
from diffmocap.errors import SettingsError
from diffmocap.physics.articulated import ArticulatedBody

#: Error at which a drive that did not soften would give the joint's full strength [rad]. Hips come to 1000 N m/rad,
#: ankles to 670, elbows to 330: the humanoids of DeepMimic (Peng et al. 2018) have 830, 670 and 500 at this weight.
FULL_EFFORT_ERROR = 0.3
#: Damping over stiffness [s]; DeepMimic's too.
DAMPING_TIME = 0.1
#: Weight of the strong adult that EFFORT is meant for [kg].
EFFORT_MASS = 75.0


@dataclass(frozen=True)
class JointDrives:
    """Gains of the joints, entry 0 (pelvis) zero.

    Attributes:
        stiffness: [24] N m/rad. damping: [24] N m s/rad. strength: [24] N m, bound of the spring's torque.
    """

    stiffness: torch.Tensor
    damping: torch.Tensor
    strength: torch.Tensor

    def __post_init__(self) -> None:
        for name in ("stiffness", "damping", "strength"):
            gain = getattr(self, name).detach()
            if gain.shape != (NUM_JOINTS,) or not bool((gain >= 0).all()) or float(gain[0]) != 0:
                raise SettingsError(f"{name} must be 24 numbers of at least 0, the pelvis's 0; got {gain.tolist()}")

    @classmethod
    def of_body(cls, body: ArticulatedBody, damping_time_s: float = DAMPING_TIME) -> JointDrives:
        """The same rule for every joint and body: strength in proportion to the person's mass."""
        efforts = [0.0] + [EFFORT[joint_kind(joint)] for joint in range(1, NUM_JOINTS)]
        strength = torch.tensor(efforts, dtype=body.dtype, device=body.device)
        strength = strength * (body.segments.total_mass / EFFORT_MASS)
        stiffness = strength / FULL_EFFORT_ERROR
        return cls(stiffness, damping_time_s * stiffness, strength)

    def error(self, rotations: torch.Tensor, targets: torch.Tensor, body: ArticulatedBody) -> torch.Tensor:
        """Chords [B, 24, 3] rad from global rotations [B, 24, 3, 3] to local targets [B, 23, 3, 3], in the motion's
        axes; entry 0 is zero."""
        parents = rotations.index_select(1, body.parents[1:])
        found = chord(parents @ targets @ rotations[:, 1:].transpose(-1, -2))
        return torch.nn.functional.pad(found, (0, 0, 1, 0))

    def torque(
        self, error: torch.Tensor, wanted: torch.Tensor, rate: torch.Tensor, dt_s: float = 0.0
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Torques [B, 24, 3] N m on the children, in the motion's axes, and their resistances [B, 24] N m s/rad.

        Args:
            error: see :meth:`error`. wanted: [B, 24, 3] the targets' own relative rates. rate: [B, 24, 3] the joints'
                [rad/s]. dt_s: look so far ahead, as a step of that length that ends with its torques does.
        """
        stiffness, damping = self.stiffness[:, None], self.damping[:, None]
        torque = stiffness * error + damping * (wanted - rate)
        share = (torque / self.strength[:, None].clamp_min(1e-9)).square().sum(-1)
        softer = (1.0 + share).rsqrt()
        torque = softer[..., None] * (torque - dt_s * stiffness * rate)
        return torque, softer * (dt_s * self.stiffness + self.damping)


def chord(rotation: torch.Tensor) -> torch.Tensor:
    """2 sin(angle / 2) about the axis [..., 3] of rotations [..., 3, 3]: the rotation vector where small, and smooth.

    It falls to zero in the last ten degrees before the half turn, whose axis has no direction.
    """
    m = rotation.flatten(-2)
    doubled = torch.stack([m[..., 7] - m[..., 5], m[..., 2] - m[..., 6], m[..., 3] - m[..., 1]], -1)  # 2 sin(angle)
    cosine = 1.0 + m[..., 0] + m[..., 4] + m[..., 8]  # 4 cos^2(angle / 2)
    return doubled * cosine.clamp_min(0.03).rsqrt()[..., None]
