"""Where a body meets itself: capsules around its segments, and how deep they overlap.

The capsules are those of the URDF (:mod:`diffmocap.body.link_capsules`), which hold nearly all of a segment's skin: so
they overlap a little before the skin does, and where flesh yields. Neighbours, which overlap always, are no pair.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch.autograd.function import once_differentiable

from diffmocap.body.joint_angles import URDF_FROM_SMPL
from diffmocap.body.link_capsules import link_capsules
from diffmocap.body.model import BodyModel
from diffmocap.body.rotations import gradient_from_turns
from diffmocap.body.skeleton import JOINT_NAMES, NUM_JOINTS, PARENTS
from diffmocap.compiler import array
from diffmocap.errors import SettingsError

#: Segments with fewer joints between them are neighbours.
_NEIGHBOURS = 3
#: Overlap that is none [m]. Captured people's forearms overlap their thighs by 2 cm in one frame of twenty.
TOLERANCE_M = 0.03


@dataclass(frozen=True)
class SelfContact:
    """Capsules of one body and the pairs that must not overlap.

    Attributes:
        ends: [2, 24, 3] m of each capsule's line, relative to the segment's joint, in the segment's axes.
        radius: [24] m. pairs: [P, 2] int, of segments. tolerance_m: overlap that does not count.
    """

    ends: np.ndarray
    radius: np.ndarray
    pairs: np.ndarray
    tolerance_m: float = TOLERANCE_M

    def __post_init__(self) -> None:
        if self.ends.shape != (2, NUM_JOINTS, 3) or self.radius.shape != (NUM_JOINTS,):
            raise SettingsError(
                f"capsules need ends [2, 24, 3] and radius [24], got {self.ends.shape}, {self.radius.shape}"
            )

    @classmethod
    def of_body(cls, body: BodyModel, betas: torch.Tensor | None = None) -> SelfContact:
        """Of a body of a shape [1, 10], None: the mean one; takes a second. Pairs are all segments that are no
        neighbours and do not overlap in the rest pose."""
        capsules, turn = link_capsules(body, betas), URDF_FROM_SMPL.double().numpy()
        ends = np.stack([[getattr(capsules[name], end) @ turn for name in JOINT_NAMES] for end in ("start", "end")])
        radius = np.array([capsules[name].radius for name in JOINT_NAMES])
        rest = body.rest_joints(betas).detach().cpu().double()
        pose = torch.eye(3).double().repeat(1, 1, NUM_JOINTS, 1, 1), rest[None]
        far = [(a, b) for a in range(NUM_JOINTS) for b in range(a) if _joints_between(a, b) >= _NEIGHBOURS]
        apart = [pair for pair in far if float(cls(ends, radius, np.array([pair]), 0.0).squares(*pose)) == 0.0]
        return cls(ends, radius, np.array(apart))

    def squares(self, rotations: torch.Tensor, joints: torch.Tensor) -> torch.Tensor:
        """m^2 [B] of how deep pairs overlap beyond the tolerance, summed over pairs, the mean over frames.

        Differentiable once; gradients of rotations are those of turns.

        Args:
            rotations: [B, T, 24, 3, 3] global. joints: [B, T, 24, 3] m.
        """
        return _Squares.apply(rotations, joints, self)


class _Squares(torch.autograd.Function):
    """Overlaps [B] from global rotations and joints."""

    @staticmethod
    def forward(ctx, rotations, joints, contact):
        from diffmocap.physics.compiled.self_contact import overlap_squares  # compiling may take a while

        turns, moves = (np.empty(tuple(joints.shape)) for _ in range(2))
        rows = zip(array(rotations), array(joints), turns, moves, strict=True)
        found = [
            overlap_squares(turned, placed, contact.ends, contact.radius, contact.pairs, contact.tolerance_m, *below)
            for turned, placed, *below in rows
        ]
        ctx.save_for_backward(rotations)
        ctx.below = turns, moves
        return torch.tensor(found, dtype=torch.float64).to(joints)

    @staticmethod
    @once_differentiable
    def backward(ctx, above):
        (rotations,) = ctx.saved_tensors
        turns, moves = (torch.from_numpy(x).to(rotations) * above[:, None, None, None] for x in ctx.below)
        return gradient_from_turns(turns, rotations), moves, None


def _joints_between(a: int, b: int) -> int:
    """Joints on the way from one segment to another."""
    return len(_way_up(a) ^ _way_up(b))


def _way_up(joint: int) -> set[int]:
    way = set()
    while joint >= 0:
        way.add(joint)
        joint = PARENTS[joint]
    return way
