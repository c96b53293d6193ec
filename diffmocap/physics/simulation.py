"""Simulation of the driven body on the ground, differentiable from the joints' targets to the motion.

A step is one linear system: drives, contacts and friction at its end (linearised), rotation and gravity at its
beginning, then positions with the new velocities,

    (M + dt (dt kp + kd) + dt J^T C J) (u' - u) = dt (tau + J^T f - bias).

Gradients are autograd's through every step: those of what is computed, exactly. They grow with the length of the
motion, as those of anything do that balances on its feet. On the CPU the same steps and their gradient are machine code
(:mod:`diffmocap.physics.compiled`), whose gradients with respect to rotations are those of turns.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import roma
import torch
from torch.utils.checkpoint import checkpoint

from diffmocap import compiler
from diffmocap.body.skeleton import NUM_JOINTS
from diffmocap.errors import SettingsError
from diffmocap.physics.articulated import ArticulatedBody, SolvePositive
from diffmocap.physics.ground import Ground
from diffmocap.physics.ground_contact import GroundContact
from diffmocap.physics.joint_drives import JointDrives
from diffmocap.physics.motion import MAX_RATE, rotation_steps
from diffmocap.physics.tree import global_poses

#: Least steps a second. Half of them track walks as well but let heels sink in on impact.
STEP_RATE_HZ = 120.0


@dataclass(frozen=True)
class BodyMotionState:
    """Where bodies are and how they move, in the motion's frame.

    Attributes:
        rotations: [B, 24, 3, 3] global. pelvis: [B, 3] m.
        velocity: [B, 25, 3] of the pelvis [m/s], then the segments' angular ones [rad/s].
    """

    rotations: torch.Tensor
    pelvis: torch.Tensor
    velocity: torch.Tensor

    @classmethod
    def of_motion(
        cls, rotations: torch.Tensor, pelvis: torch.Tensor, dt_s: float, body: ArticulatedBody
    ) -> BodyMotionState:
        """First frame of motions [B, T, 24, 3, 3] (local) and [B, T, 3], with the mean velocity of its first step."""
        turned, _ = global_poses(rotations[:, :2], pelvis[:, :2], body.segments.offsets)
        velocity = torch.cat([pelvis[:, :2].diff(dim=1) / dt_s, rotation_steps(turned, dt_s)[:, 0]], 1)
        return cls(turned[:, 0], pelvis[:, 0], velocity)


@dataclass(frozen=True)
class SimulatedMotion:
    """T frames of B bodies; the first is the state that the simulation began with.

    Attributes:
        rotations: [B, T, 24, 3, 3] global. pelvis: [B, T, 3] m. velocity: [B, T, 25, 3].
        positions: [B, T, 24 + P, 3] of the joints and contact points' centres [m].
        contact_force: [B, T, P, 3] of the ground on the body [N].
        torque: [B, T-1, 24, 3] N m of the drives on the children at the end of each frame's last step, in the
            motion's axes.
    """

    rotations: torch.Tensor
    pelvis: torch.Tensor
    velocity: torch.Tensor
    positions: torch.Tensor
    contact_force: torch.Tensor
    torque: torch.Tensor

    @property
    def joints(self) -> torch.Tensor:
        """[B, T, 24, 3] m."""
        return self.positions[..., :NUM_JOINTS, :]

    def local_rotations(self, body: ArticulatedBody) -> torch.Tensor:
        """[B, T, 24, 3, 3], entry 0 turns the body into the motion's frame."""
        parents = self.rotations.index_select(2, body.parents[1:])
        return torch.cat([self.rotations[:, :, :1], parents.transpose(-1, -2) @ self.rotations[:, :, 1:]], 2)

    @property
    def last(self) -> BodyMotionState:
        """The state to go on from."""
        return BodyMotionState(self.rotations[:, -1], self.pelvis[:, -1], self.velocity[:, -1])


class Simulator:
    """A body, its drives and a ground: ``simulate`` is a pure function of a state and of targets.

    Args:
        body: with its contact points. drives: None for :meth:`JointDrives.of_body`.
        ground: one plane for all bodies, ``up`` [3]. contact: the ground's law.
        step_rate_hz: least steps a second. checkpoint: keep the states of frames only and compute each frame again for
            its gradient: a third slower, memory of one frame instead of all. Machine code keeps states alone.
    """

    def __init__(
        self, body: ArticulatedBody, ground: Ground, drives: JointDrives | None = None,
        contact: GroundContact | None = None, step_rate_hz: float = STEP_RATE_HZ, checkpoint: bool = False,
    ) -> None:  # fmt: skip
        if ground.up.dim() != 1:
            raise SettingsError(f"a simulation has one ground, up of shape [3]; got {list(ground.up.shape)}")
        if not step_rate_hz > 0:
            raise SettingsError(f"the rate of steps must be positive, got {step_rate_hz} Hz")
        self.body, self.drives, self.contact = body, drives or JointDrives.of_body(body), contact or GroundContact()
        self.step_rate_hz, self.checkpoint = step_rate_hz, checkpoint
        self.up = ground.up.to(device=body.device, dtype=body.dtype)
        self.height = ground.height.to(device=body.device, dtype=body.dtype)
        self.gravity = -ground.gravity_m_s2 * self.up
        self._stiffness = self.contact.stiffness(body)
        self._normal = self.up[:, None] * self.up

    def simulate(self, state: BodyMotionState, targets: torch.Tensor, dt_s: float) -> SimulatedMotion:
        """Motion under local targets [B, T, 23, 3, 3] of the joints at frames dt_s apart, beginning at the first.

        Between frames targets turn evenly, and the drives know how fast. Differentiable in state and targets, once.
        """
        if targets.shape[2:] != (NUM_JOINTS - 1, 3, 3) or len(targets) != len(state.pelvis):
            raise SettingsError(f"targets must be [{len(state.pelvis)}, T, 23, 3, 3], got {list(targets.shape)}")
        steps = math.ceil(dt_s * self.step_rate_hz - 1e-6)
        dt = dt_s / steps
        between, rates = targets_between(targets, dt_s, steps)
        now = (state.rotations, state.pelvis, state.velocity)
        if self.body.device.type == "cpu" and not self._learns() and compiler.available():
            from diffmocap.physics.compiled.simulated import Constants, Simulated  # compiling may take a while

            constants = Constants(self.body, self.drives, self.contact, self.up, self.height, self.gravity)
            rotations, pelvis, velocity, torque = Simulated.apply(*now, between, rates, constants, dt)
            return SimulatedMotion(rotations, pelvis, velocity, *self._contacts_of(rotations, pelvis, velocity), torque)
        frames, torques = [now], []
        for aims, rate in zip(between.unbind(1), rates.unbind(1), strict=True):
            if self.checkpoint and torch.is_grad_enabled():
                *now, torque = checkpoint(self._frame, *now, aims, rate, dt, use_reentrant=False)
            else:
                *now, torque = self._frame(*now, aims, rate, dt)
            frames.append(tuple(now))
            torques.append(torque)
        rotations, pelvis, velocity = (torch.stack(x, 1) for x in zip(*frames, strict=True))
        positions, force = self._contacts_of(rotations, pelvis, velocity)
        empty = torques or [velocity.new_zeros(len(velocity), NUM_JOINTS, 3)]
        torque = torch.stack(empty, 1)[:, : len(torques)]
        return SimulatedMotion(rotations, pelvis, velocity, positions, force, torque)

    def _learns(self) -> bool:
        """Whether gradients of the body itself are asked for, which machine code does not have."""
        drives, segments = self.drives, self.body.segments
        parts = (drives.stiffness, drives.damping, drives.strength, segments.mass, self.body.moment, self.body.inertia,
                 segments.offsets, self.body.points.offset, self.up, self.height)  # fmt: skip
        return torch.is_grad_enabled() and any(part.requires_grad for part in parts)

    def _frame(
        self, rotations: torch.Tensor, pelvis: torch.Tensor, velocity: torch.Tensor, aims: torch.Tensor,
        rate: torch.Tensor, dt: float,
    ) -> tuple[torch.Tensor, ...]:  # fmt: skip
        for aim in aims.unbind(1):
            rotations, pelvis, velocity, torque = self._step(rotations, pelvis, velocity, aim, rate, dt)
        return rotations, pelvis, velocity, torque

    def _step(
        self, rotations: torch.Tensor, pelvis: torch.Tensor, u: torch.Tensor, aim: torch.Tensor, rate: torch.Tensor,
        dt: float,
    ) -> tuple[torch.Tensor, ...]:  # fmt: skip
        body, drives = self.body, self.drives
        at = body.configuration(rotations, pelvis)
        wanted = (rotations.index_select(1, body.parents) @ rate[..., None])[..., 0]
        relative = body.relative @ u[:, 1:]
        torque, stiffening = drives.torque(drives.error(rotations, aim, body), wanted, relative, dt)

        gap = at.positions[:, NUM_JOINTS:] @ self.up - (body.points.radius + self.height)
        force, resistance, drag = self.contact.forces(gap, body.point_velocity(at, u), self.up, self._stiffness, dt)
        jacobian = at.jacobian[:, NUM_JOINTS:]
        change = (resistance - drag)[..., None, None] * self._normal @ jacobian + drag[..., None, None] * jacobian
        jacobian = jacobian.flatten(1, 2)
        matrix = body.mass_matrix(at) + dt * (
            body.joint_matrix(stiffening) + jacobian.transpose(1, 2) @ change.flatten(1, 2)
        )
        total = body.joint_force(torque) - body.bias(at, u, self.gravity)
        total = total + (force.flatten(1)[:, None] @ jacobian)[:, 0]
        gain = SolvePositive.apply(matrix, dt * total).view_as(u)
        u = _bounded(u + gain)
        torque = torque - stiffening[..., None] * (body.relative @ gain[:, 1:])
        return body.turn(rotations, u[:, 1:], dt), pelvis + dt * u[:, 0], u, torque

    def _contacts_of(
        self, rotations: torch.Tensor, pelvis: torch.Tensor, velocity: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Positions [B, T, 24 + P, 3] and the ground's forces [B, T, P, 3] by its law, at states [B, T]."""
        body, shape = self.body, pelvis.shape[:2]
        at = body.configuration(rotations.flatten(0, 1), pelvis.flatten(0, 1))
        gap = at.positions[:, NUM_JOINTS:] @ self.up - (body.points.radius + self.height)
        moving = body.point_velocity(at, velocity.flatten(0, 1))
        force, _, _ = self.contact.forces(gap, moving, self.up, self._stiffness)
        return at.positions.unflatten(0, shape), force.unflatten(0, shape)


def targets_between(targets: torch.Tensor, dt_s: float, steps: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Targets at the ends of ``steps`` steps per frame, turning evenly, from those at frames [B, T, 23, 3, 3].

    Returns:
        Targets [B, T-1, steps, 23, 3, 3], and rates [B, T-1, 24, 3] rad/s in the parents' axes; none of the pelvis.
    """
    turning = roma.rotmat_to_rotvec(targets[:, 1:] @ targets[:, :-1].transpose(-1, -2))
    parts = torch.arange(1, steps + 1, dtype=targets.dtype, device=targets.device) / steps
    between = roma.rotvec_to_rotmat(turning[:, :, None] * parts[:, None, None]) @ targets[:, :-1, None]
    return between, torch.nn.functional.pad(turning / dt_s, (0, 0, 1, 0))


def _bounded(u: torch.Tensor) -> torch.Tensor:
    """Velocities [B, 25, 3] with angular ones below :data:`MAX_RATE`, smoothly; the pelvis's own are kept."""
    share = (u[:, 1:].square().sum(-1, keepdim=True) / MAX_RATE**2) ** 4
    return torch.cat([u[:, :1], u[:, 1:] * (1.0 + share) ** -0.125], 1)
