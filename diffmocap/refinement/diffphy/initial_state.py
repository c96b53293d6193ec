"""The initial state as unknowns: where the body is and how it moves at the first frame, around what was observed.

Zero is the observed state itself. Joints turn in their own axes, as the controls' targets do, so that a turned joint
takes along all that it carries; rates are those of each joint relative to its parent, for the same reason.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import roma
import torch

from diffmocap.body.skeleton import NUM_JOINTS
from diffmocap.physics.articulated import ArticulatedBody
from diffmocap.physics.simulation import BodyMotionState
from diffmocap.physics.tree import carry_outwards, global_poses

#: Numbers of one state: 24 turns, 24 rates, the pelvis and its velocity.
SIZE = 6 * NUM_JOINTS + 6
#: One unit of the pelvis [m], of a joint's rate [rad/s] and of the pelvis's velocity [m/s]; that of a turn is 1 rad, as
#: of the controls. So a tenth of a unit of each is about what refined windows are off by.
PELVIS_UNIT_M, RATE_UNIT_RAD_S, VELOCITY_UNIT_M_S = 0.2, 10.0, 2.0


@dataclass(frozen=True)
class StateChange:
    """How a state differs from the observed one.

    Attributes:
        turns: [B, 24, 3] rad of each joint in its own axes, of the pelvis's segment first.
        rates: [B, 24, 3] rad/s of each joint relative to its parent, in its own axes.
        pelvis: [B, 3] m. velocity: [B, 3] m/s of the pelvis.
    """

    turns: torch.Tensor
    rates: torch.Tensor
    pelvis: torch.Tensor
    velocity: torch.Tensor

    @classmethod
    def of(cls, x: torch.Tensor) -> StateChange:
        """Of unknowns [B, SIZE], in units."""
        turns, rates, pelvis, velocity = x.split([3 * NUM_JOINTS, 3 * NUM_JOINTS, 3, 3], 1)
        return cls(
            turns.unflatten(1, (NUM_JOINTS, 3)), RATE_UNIT_RAD_S * rates.unflatten(1, (NUM_JOINTS, 3)),
            PELVIS_UNIT_M * pelvis, VELOCITY_UNIT_M_S * velocity,
        )  # fmt: skip

    def of_state(self, observed: BodyMotionState, body: ArticulatedBody) -> BodyMotionState:
        """The observed state of B bodies, changed."""
        parents = observed.rotations.index_select(1, body.parents[1:])
        local = torch.cat([observed.rotations[:, :1], parents.mT @ observed.rotations[:, 1:]], 1)
        pelvis = observed.pelvis + self.pelvis
        turned, _ = global_poses(local @ roma.rotvec_to_rotmat(self.turns), pelvis, body.segments.offsets)
        spin = carry_outwards((turned @ self.rates[..., None])[..., 0])
        return BodyMotionState(turned, pelvis, observed.velocity + torch.cat([self.velocity[:, None], spin], 1))


def rows_of(columns: int) -> int:
    """Rows of so many columns that the unknowns of a state fill; what is left of the last one has no effect."""
    return math.ceil(SIZE / columns)
