"""Forward dynamics of the body: 24 rigid segments on spherical joints and a free pelvis.

Velocities are the pelvis's own and the segments' *absolute* angular ones, all in the motion's axes,
``u = (v_pelvis, omega_0 .. omega_23)`` [25, 3]. In these the accelerations need no joint axes and no recursion, and the
equations are those of augmented bodies (Wittenburg 2008, section 5.5): with b_ij the vector, fixed in segment i, from
joint i to the next joint on the way to joint j, and s_j that from joint j to everything beyond it, weighted by mass,

    M_ij = -[b_ij]x [s_j]x   for i on the way to j,    M_jj = R_j I_j R_j^T,    M_vj = -[s_j]x,    M_vv = m 1,

where I_j counts what lies beyond j as masses at the joints next to it. b, s and I are constants of the body, turned
with their segments, so the state is 24 global rotations and the position of the pelvis, and a step takes some sixty
operations on a whole batch, forward kinematics included. What is implicit (drives, contacts) adds to M.

Why plain batched torch: it is what the rest of the package runs on, CPU and GPU, float32 and float64, and its gradients
are exact, those of the friction and the drives included. At batch one it is the overhead of the operations that counts.
So on the CPU a step and its gradient are machine code beside it (:mod:`diffmocap.physics.compiled`), 29 times faster
for one clip of a second and six times for sixteen. NVIDIA Warp launches a kernel in 7 us on a CPU and is 390 MB; Numba,
which the live refinement needs anyway, launches the whole simulation at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from diffmocap.body.skeleton import NUM_JOINTS, PARENTS
from diffmocap.physics.contact_points import ContactPoints
from diffmocap.physics.segments import BodySegments
from diffmocap.physics.tree import ancestor_matrix

#: Velocities of a body: the pelvis's and 24 angular ones, three numbers each.
NUM_VELOCITIES = 3 * (1 + NUM_JOINTS)


def _skew_tensor() -> torch.Tensor:
    """E [3, 3, 3] with ([x]x)_rc = sum_m E_mrc x_m."""
    e = torch.zeros(3, 3, 3, dtype=torch.float64)
    for m, r, c in ((0, 2, 1), (1, 0, 2), (2, 1, 0)):
        e[m, r, c], e[m, c, r] = 1.0, -1.0
    return e


@dataclass(frozen=True)
class Configuration:
    """What follows from a pose alone; the batch is [B].

    Attributes:
        rotations: [B, 24, 3, 3] global. pelvis: [B, 3] m.
        positions: [B, 24 + P, 3] of the joints and the contact points' centres [m].
        jacobian: [B, 24 + P, 3, 75] of their velocities with respect to u.
        moment: [B, 24, 3] s_j, mass beyond each joint times where it is from there [kg m].
        inertia: [B, 24, 3, 3] of the augmented segments about their joints, in the motion's axes [kg m^2].
    """

    rotations: torch.Tensor
    pelvis: torch.Tensor
    positions: torch.Tensor
    jacobian: torch.Tensor
    moment: torch.Tensor
    inertia: torch.Tensor


class ArticulatedBody:
    """The constants of one body, with the contact points that ride on it.

    Args:
        segments, points: of the same dtype and device, which become those of everything computed.

    Attributes:
        moment: [24, 3] kg m, s of each joint. inertia: [24, 3, 3] kg m^2, I of each; both in the segments' own axes.
    """

    def __init__(self, segments: BodySegments, points: ContactPoints) -> None:
        self.segments, self.points = segments, points
        like = segments.mass
        self.parents = torch.tensor([max(p, 0) for p in PARENTS], device=like.device)
        ancestors = ancestor_matrix(like.device, like.dtype)
        beyond = ancestors.T @ segments.mass  # mass of each subtree
        children = torch.zeros(NUM_JOINTS, NUM_JOINTS).to(like)
        for joint, parent in enumerate(PARENTS[1:], 1):
            children[parent, joint] = 1.0
        #: [24, 24] the angular velocity relative to the parent's from the absolute ones; the pelvis keeps its own.
        self.relative = torch.eye(NUM_JOINTS).to(like) - children.T
        self._parent = children.T
        self._ancestors = ancestors
        moment = segments.mass[:, None] * segments.centre + children @ (beyond[:, None] * segments.offsets)
        self.moment = moment
        self.inertia = (
            segments.inertia
            + segments.mass[:, None, None] * _point_inertia(segments.centre)
            + torch.einsum("pj,j,jrc->prc", children, beyond, _point_inertia(segments.offsets))
        )
        # [24, 3, 24 + P]: column q holds, row by row, what each segment on the way to point q adds to its position.
        path = torch.zeros(NUM_JOINTS, 3, NUM_JOINTS + len(points.names)).to(like)
        for q, owner in enumerate([*range(NUM_JOINTS), *points.segment.tolist()]):
            if q >= NUM_JOINTS:
                path[owner, :, q] = points.offset[q - NUM_JOINTS]
            while owner > 0:
                path[PARENTS[owner], :, q] = segments.offsets[owner]
                owner = PARENTS[owner]
        self._path = path
        skew = _skew_tensor().to(like)
        self._skew = skew.reshape(3, 9)
        self._skew_rows = -skew.permute(1, 2, 0).reshape(9, 3).contiguous()  # minus: the Jacobian is -[b]x
        self._root = torch.eye(3).to(like)[None, None].expand(1, path.shape[-1], 3, 3)
        self._root_mass = torch.zeros(NUM_VELOCITIES, 3).to(like)
        self._root_mass[:3] = 0.5 * segments.total_mass * torch.eye(3).to(like)
        pairs = torch.einsum("ja,jb->jab", self.relative, self.relative)
        rates = torch.einsum("jab,rc->jarbc", pairs, torch.eye(3).to(like)).reshape(NUM_JOINTS, 72, 72)
        self._rates = torch.nn.functional.pad(rates, (3, 0, 3, 0)).flatten(1)
        self._own_blocks = torch.arange(NUM_JOINTS, device=like.device) * (NUM_JOINTS + 2) + 1

    @property
    def dtype(self) -> torch.dtype:
        """Floating-point type of everything computed."""
        return self.segments.mass.dtype

    @property
    def device(self) -> torch.device:
        """Where the constants are."""
        return self.segments.mass.device

    def skew(self, x: torch.Tensor) -> torch.Tensor:
        """Matrices [..., 3, 3] of the cross product with x [..., 3]."""
        return (x @ self._skew).unflatten(-1, (3, 3))

    def configuration(self, rotations: torch.Tensor, pelvis: torch.Tensor) -> Configuration:
        """Kinematics of the pose with global rotations [B, 24, 3, 3] and the pelvis [B, 3] m."""
        batch, count = len(rotations), self._path.shape[-1]
        turned = rotations @ self._path
        positions = turned.sum(1).transpose(1, 2) + pelvis[:, None]
        limbs = ((self._skew_rows @ rotations) @ self._path).view(batch, NUM_JOINTS, 3, 3, count)
        limbs = limbs.permute(0, 4, 2, 1, 3).reshape(batch, count, 3, 3 * NUM_JOINTS)
        jacobian = torch.cat([self._root.expand(batch, -1, -1, -1), limbs], -1)
        moment = (rotations @ self.moment[..., None])[..., 0]
        return Configuration(
            rotations, pelvis, positions, jacobian, moment, rotations @ self.inertia @ rotations.transpose(-1, -2)
        )

    def mass_matrix(self, at: Configuration) -> torch.Tensor:
        """M [B, 75, 75]: half of the kinetic energy's second derivative with respect to u, times two."""
        batch = len(at.moment)
        joints = at.jacobian[:, :NUM_JOINTS].transpose(-1, -2)  # [B, 24, 75, 3]: 1, then [b_ij]x
        half = joints @ -self.skew(at.moment)
        half = half.reshape(batch, NUM_JOINTS * (NUM_JOINTS + 1), 3, 3)  # the block of joint j with velocity i
        half = half.index_add(1, self._own_blocks, at.inertia, alpha=0.5)
        half = half.view(batch, NUM_JOINTS, NUM_VELOCITIES, 3).transpose(1, 2).reshape(batch, NUM_VELOCITIES, -1)
        half = torch.cat([self._root_mass.expand(batch, -1, -1), half], -1)
        return half + half.transpose(-1, -2)

    def bias(self, at: Configuration, u: torch.Tensor, gravity: torch.Tensor) -> torch.Tensor:
        """Generalised force [B, 75] that keeping the velocities u [B, 25, 3] takes, under gravity [3] m/s^2."""
        omega = u[:, 1:]
        edges = self.relative @ at.positions[:, :NUM_JOINTS]  # the pelvis's own is idle: it has no parent that spins
        spins = torch.cat([omega, self._parent @ omega], 1)
        centripetal = torch.linalg.cross(spins, torch.linalg.cross(spins, torch.cat([at.moment, edges], 1)))
        beyond, steps = centripetal.split(NUM_JOINTS, 1)
        reached = self._ancestors @ steps - gravity  # acceleration of each joint, less gravity
        moments = torch.linalg.cross(
            torch.cat([at.moment, omega], 1), torch.cat([reached, (at.inertia @ omega[..., None])[..., 0]], 1)
        )
        own = moments[:, :NUM_JOINTS] + moments[:, NUM_JOINTS:]
        weight = (self.segments.total_mass * -gravity).expand(len(u), 1, 3)
        joints = at.jacobian[:, :NUM_JOINTS].flatten(1, 2)
        return (beyond.flatten(1)[:, None] @ joints)[:, 0] + torch.cat([weight, own], 1).flatten(1)

    def joint_force(self, torque: torch.Tensor) -> torch.Tensor:
        """Generalised force [B, 75] of torques [B, 24, 3] N m on each child, and against its parent, in the motion's
        axes; entry 0 acts on the pelvis from outside."""
        return torch.nn.functional.pad(self.relative.T @ torque, (0, 0, 1, 0)).flatten(1)

    def joint_matrix(self, resistance: torch.Tensor) -> torch.Tensor:
        """Matrix [B, 75, 75] that resistances [B, 24] N m s/rad of the joints to their relative rates are in u."""
        return (resistance @ self._rates).view(-1, NUM_VELOCITIES, NUM_VELOCITIES)

    def point_velocity(self, at: Configuration, u: torch.Tensor) -> torch.Tensor:
        """Velocities [B, P, 3] m/s of the contact points' centres."""
        jacobian = at.jacobian[:, NUM_JOINTS:].flatten(1, 2)
        return (jacobian @ u.flatten(1)[..., None]).view(len(u), -1, 3)

    def turn(self, rotations: torch.Tensor, omega: torch.Tensor, dt_s: float) -> torch.Tensor:
        """Rotations [B, 24, 3, 3] after dt_s seconds of the angular velocities omega [B, 24, 3].

        Cayley's map of a vector lengthened so that its angle is right to the fifth order: exactly orthogonal, without a
        singularity and without trigonometry.
        """
        half = 0.5 * dt_s * omega
        square = half.square().sum(-1, keepdim=True)
        half = half * (1.0 + square / 3.0)  # tan x = x + x^3 / 3
        cross = self.skew(half)
        turn = cross + cross @ cross
        scale = 2.0 / (1.0 + half.square().sum(-1))
        return rotations + (scale[..., None, None] * turn) @ rotations


class SolvePositive(torch.autograd.Function):
    """x [B, N] with A x = y for symmetric positive definite A [B, N, N]; the backward pass reuses the factor."""

    @staticmethod
    def forward(ctx, a: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        factor = torch.linalg.cholesky_ex(a).L
        x = torch.cholesky_solve(y[..., None], factor)[..., 0]
        ctx.save_for_backward(factor, x)
        return x

    @staticmethod
    def backward(ctx, grad: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        factor, x = ctx.saved_tensors
        y = torch.cholesky_solve(grad[..., None], factor)[..., 0]
        return -y[..., :, None] * x[..., None, :], y


def _point_inertia(x: torch.Tensor) -> torch.Tensor:
    """Inertia [..., 3, 3] of a unit mass at x [..., 3] about the origin."""
    return x.square().sum(-1)[..., None, None] * torch.eye(3).to(x) - x[..., :, None] * x[..., None, :]
