"""The compiled simulation as one function of autograd."""

from __future__ import annotations

import numpy as np
import torch
from torch.autograd.function import once_differentiable

from diffmocap.body.skeleton import NUM_JOINTS
from diffmocap.compiler import array
from diffmocap.physics.articulated import ArticulatedBody
from diffmocap.physics.compiled.rollout import simulate
from diffmocap.physics.compiled.rollout_gradient import simulate_vjp
from diffmocap.physics.ground_contact import GroundContact
from diffmocap.physics.joint_drives import JointDrives


class Constants:
    """Body, drives and ground as the arrays that the compiled simulation takes.

    Args:
        body: with its contact points. drives: its joint drives. law: the ground's.
        up: [3], normal of the ground. height: [] m, of the ground along it. gravity: [3] m/s^2.
    """

    def __init__(
        self, body: ArticulatedBody, drives: JointDrives, law: GroundContact, up: torch.Tensor, height: torch.Tensor,
        gravity: torch.Tensor,
    ) -> None:  # fmt: skip
        points = body.points
        self.body = (
            array(body.segments.offsets), points.segment.numpy().astype(np.int64), array(points.offset),
            array(points.radius), array(body.moment), array(body.inertia), float(body.segments.total_mass),
        )  # fmt: skip
        self.drives = tuple(array(x) for x in (drives.stiffness, drives.damping, drives.strength))
        self.ground = (
            array(up), float(height), array(gravity), float(law.stiffness(body)),
            law.softening_m, law.relaxation_s, law.friction, law.slip_m_s,
        )  # fmt: skip


class Simulated(torch.autograd.Function):
    """Rotations [B, F + 1, 24, 3, 3], pelvis [B, F + 1, 3], velocity [B, F + 1, 25, 3] at the frames and the drives'
    torque [B, F, 24, 3] at their ends, for a first state and targets; differentiable once.

    Gradients of rotations are those of turns: what comes through a matrix that is no rotation is left out.
    """

    @staticmethod
    def forward(ctx, rotations, pelvis, velocity, aims, rates, constants, dt):
        batch, frames, steps = aims.shape[:3]
        count = frames * steps
        start, targets = [array(x) for x in (rotations, pelvis, velocity)], [array(x) for x in (aims, rates)]
        sizes = (count + 1, NUM_JOINTS, 3, 3), (count + 1, 3), (count + 1, NUM_JOINTS + 1, 3)
        kept = [np.empty((batch, *size)) for size in sizes] + [np.empty((batch, count, NUM_JOINTS + 1, 3))]
        torque = np.zeros((batch, frames, NUM_JOINTS, 3))
        for b in range(batch):
            simulate(
                *(x[b] for x in start), *(x[b] for x in targets), constants.body, constants.drives, constants.ground,
                dt, *(x[b] for x in kept), torque[b],
            )  # fmt: skip
        ctx.kept, ctx.targets, ctx.constants, ctx.dt, ctx.steps = kept, targets, constants, dt, steps
        found = [torch.from_numpy(x[:, ::steps].copy()).to(pelvis) for x in kept[:3]]
        ctx.save_for_backward(found[0], aims, rates)
        return *found, torch.from_numpy(torque).to(pelvis)

    @staticmethod
    @once_differentiable
    def backward(ctx, of_rotations, of_pelvis, of_velocity, of_torque):
        rotations, aims, rates = ctx.saved_tensors
        turns = torch.linalg.cross(rotations, of_rotations, dim=-2).sum(-1)
        above = [array(x) for x in (turns, of_pelvis, of_velocity, of_torque)]
        below = [np.empty(tuple(x.shape)) for x in (aims, rates)]
        batch = len(rotations)
        below += [np.empty((batch, *size)) for size in ((NUM_JOINTS, 3), (3,), (NUM_JOINTS + 1, 3))]
        c = ctx.constants
        for b in range(batch):
            simulate_vjp(
                *(x[b] for x in ctx.targets), c.body, c.drives, c.ground, ctx.dt, *(x[b] for x in ctx.kept),
                *(x[b] for x in above), *(x[b] for x in below),
            )  # fmt: skip
        of_aims, of_rates, of_turns, of_pelvis, of_velocity = (torch.from_numpy(x).to(rotations) for x in below)
        first = 0.5 * torch.linalg.cross(of_turns[..., None].expand_as(rotations[:, 0]), rotations[:, 0], dim=-2)
        return first, of_pelvis, of_velocity, of_aims, of_rates, None, None
