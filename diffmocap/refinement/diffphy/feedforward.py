"""First guess of the controls: targets that lead the motion by what its torques take.

A drive is a spring: it gives a torque only where the joint is off its target, and driven towards the observed poses
themselves a body sags. Inverse dynamics of the observed motion says which torques it takes, and so how far each target
must lead.
"""

from __future__ import annotations

import torch

from diffmocap.physics.ground import Ground
from diffmocap.physics.joint_drives import JointDrives
from diffmocap.physics.motion import MIN_FRAMES
from diffmocap.physics.tree import global_poses
from diffmocap.refinement.diffphy.controls import ControlTrajectory
from diffmocap.refinement.window.body_points import BodyPoints
from diffmocap.refinement.window.loss import WindowLoss
from diffmocap.refinement.window.window import Window

#: Torques beyond this share of a joint's strength are taken for it: drives saturate there, and what asks for more is
#: most often a contact that was not seen.
_MOST = 0.7
#: A window's last knots, which few of its frames depend on, are guessed anew for the next one.
_LOOSE_KNOTS = 2


def leading_turns(
    rotations: torch.Tensor, pelvis: torch.Tensor, dt_s: float, ground: Ground, touching: torch.Tensor,
    points: BodyPoints, drives: JointDrives,
) -> torch.Tensor:  # fmt: skip
    """Turns [T, 23, 3] rad of the targets, in the joints' own axes, for a motion [T, 24, 3, 3] (local), [T, 3] m.

    Args:
        ground: ``up`` [3]. touching: [T, P] bool, the body's contact points that touch it. points, drives: the body's.
    """
    if len(pelvis) < MIN_FRAMES:
        return pelvis.new_zeros(len(pelvis), rotations.shape[1] - 1, 3)
    whole = rotations[None].double(), pelvis[None].double()
    ground = Ground(ground.up[None].double(), ground.height[None].double(), ground.source, ground.gravity_m_s2)
    window = Window.of_motions(*whole, dt_s, ground)
    found = WindowLoss(window, points, *whole, touching=touching[None]).dynamics(*whole).torques[0].mT  # [T-2, 23, 3]
    torque = torch.cat([found[:1], found, found[-1:]])
    strength, stiffness = drives.strength[1:, None].double(), drives.stiffness[1:, None].double()
    size = torque.norm(dim=-1, keepdim=True).clamp_min(1e-9)
    share = (size / strength).clamp_max(_MOST)
    # What the spring must pull before it softens, see :meth:`JointDrives.torque`.
    pull = torque / size * strength * share / (1.0 - share.square()).sqrt()
    turned, _ = global_poses(*whole, points.bones.double())
    return ((turned[0, :, 1:].mT @ (pull / stiffness)[..., None])[..., 0]).to(pelvis)


def first_knots(controls: ControlTrajectory, leading: torch.Tensor | None, found: torch.Tensor) -> torch.Tensor:
    """Parameters [1, K * D] rad of the controls to begin with.

    Args:
        leading: [T, 23, 3] rad of :func:`leading_turns`; None: without one, the last knot that was found goes on, or
            the observed poses are the targets.
        found: [N, D] rad, the first of the knots, which another window has found; none where N is 0.
    """
    count, columns = controls.shape
    if leading is not None:
        guess = controls.fitted(leading).view(count, columns).to(found)
        found = found[: max(len(found) - _LOOSE_KNOTS, 0)]
        return torch.cat([found, guess[len(found) :]]).flatten()[None]
    last = found[-1:] if len(found) else found.new_zeros(1, columns)
    return torch.cat([found, last.expand(count - len(found), -1)]).flatten()[None]
