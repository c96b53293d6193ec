"""The curvature of the window loss, roughly: what makes steps of a live refinement count when there is time for few.

Most terms are squares of something linear in the motion: ``c sum_t |D_q A p(t)|^2`` with a difference D_q of order q in
time and points p of the body. In the unknowns, whose spline S does the same to all 75 entries of a knot, that is a
Kronecker product ``(D_q S)^T (D_q S) x J^T J`` with the Jacobian J of the points. A basis of the knots that
diagonalises the products of orders 0 and 3 exactly, and those between nearly, takes the sum apart into one 75 x 75
matrix for each of its vectors: their Cholesky factors cost less than an evaluation of the loss. (Gauss-Newton, Nocedal
and Wright 2006, section 10.3, with the mean over some poses for each.)
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import torch

from diffmocap.body.skeleton import NUM_JOINTS
from diffmocap.physics.motion import MIN_FRAMES
from diffmocap.physics.tree import global_poses, subtree_matrix
from diffmocap.physics.wrench import STANDARD_GRAVITY
from diffmocap.refinement.kernels.units import KNOT_SIZE, PELVIS_UNIT, ROTATION_UNIT
from diffmocap.refinement.window.body_points import BodyPoints
from diffmocap.refinement.window.data import INDEPENDENT_JOINTS
from diffmocap.refinement.window.weights import RefinementWeights
from diffmocap.refinement.window.window import Window

#: Of differences between neighbouring knots, in shares of a knot's support: those at the ends, which few frames
#: support, follow the others.
_RIDGE = 1.0
#: Share of the force and moment about the centre of mass that contacts do not take over.
_UNSUPPORTED = 0.5
#: Rate at which poses turn [1/s]: an increment that is constant in time moves contacts, too.
_TURNING = 2.0
#: Of all unknowns, in shares of the mean curvature of their vector of knots: what the model does not see.
_DAMPING = 0.2
#: Orders of differences in time.
_ORDERS = 4


@dataclass(frozen=True)
class WindowMetric:
    """An approximate Hessian of the loss of one window in its unknowns x [75 knots].

    Attributes:
        basis: [knots, knots] its columns are the vectors of knots.
        inverses: [knots, 75, 75] of the matrix of each.
    """

    basis: np.ndarray
    inverses: np.ndarray

    @classmethod
    def of(
        cls, window: Window, points: BodyPoints, poses: tuple[torch.Tensor, torch.Tensor], touching: torch.Tensor,
        weights: RefinementWeights, spline: torch.Tensor,
    ) -> WindowMetric:  # fmt: skip
        """The metric of a window of batch 1.

        Args:
            poses: rotations [F, 24, 3, 3] and pelvis [F, 3] m of frames that stand for all.
            touching: [T, P] bool contacts. spline: [T, knots].
        """
        basis, spectrum = _knot_basis(tuple(map(tuple, spline.tolist())))
        spectrum = spectrum.to(spline) / window.dt_s ** (2.0 * torch.arange(_ORDERS)[:, None]).to(spline)
        blocks = _blocks(window, points, poses, touching, weights)
        matrices = torch.einsum("qk,qij->kij", spectrum, blocks)
        ridge = _DAMPING * matrices.diagonal(dim1=-2, dim2=-1).mean(-1)[:, None].expand(-1, KNOT_SIZE) + 1e-3
        factors = torch.linalg.cholesky_ex((matrices + torch.diag_embed(ridge)).double())[0]
        return cls(basis.numpy(), torch.cholesky_inverse(factors).numpy())

    @classmethod
    def along(
        cls, window: Window, points: BodyPoints, motion: tuple[torch.Tensor, torch.Tensor], touching: torch.Tensor,
        weights: RefinementWeights, spline: torch.Tensor, spacing: int,
    ) -> WindowMetric:  # fmt: skip
        """:meth:`of` a motion, rotations [T, 24, 3, 3] and pelvis [T, 3] m with a knot every ``spacing`` frames: a mean
        over the poses of every other knot."""
        some = slice(None, None, 2 * spacing)
        return cls.of(window, points, (motion[0][some], motion[1][some]), touching, weights, spline)

    @cached_property
    def spread(self) -> np.ndarray:
        """[N] root of the diagonal of H^-1: what each unknown moves by where this curvature alone holds it."""
        return np.sqrt(np.einsum("km,mii->ki", self.basis**2, self.inverses)).ravel()

    def solve(self, gradient: np.ndarray) -> np.ndarray:
        """H^-1 g [N] for a gradient [N]."""
        in_basis = self.basis.T @ gradient.reshape(-1, KNOT_SIZE)
        return (self.basis @ (self.inverses @ in_basis[..., None])[..., 0]).ravel()


def jacobian(points: BodyPoints, rotations: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """d points / d unknowns [F, N, 3, 75] of poses with local rotations [F, 24, 3, 3], in metres per unit of a knot,
    and the points [F, N, 3] relative to the pelvis.

    A joint's turn moves what it carries about the joint: each point is a sum of columns of global rotations, and those
    of the joint's subtree turn.
    """
    turned, _ = global_poses(rotations, rotations.new_zeros(len(rotations), 3), points.bones)
    parts = turned @ points.matrix.view(NUM_JOINTS, 3, -1)  # [F, 24, 3, N] of each segment in each point
    carried = subtree_matrix(rotations.device, rotations.dtype)
    levers = (carried @ parts.flatten(2)).view(parts.shape)
    axes = turned.transpose(-1, -2)[..., None]  # [F, 24, axis, xyz, 1]
    turns = torch.linalg.cross(*torch.broadcast_tensors(axes, levers[:, :, None]), dim=3)
    turns = turns.flatten(1, 2).permute(0, 3, 2, 1) * ROTATION_UNIT
    moves = (PELVIS_UNIT * torch.eye(3).to(rotations)).expand(*turns.shape[:2], 3, 3)
    return torch.cat([turns, moves], -1), parts.sum(1).transpose(1, 2)


def _blocks(
    window: Window, points: BodyPoints, poses: tuple[torch.Tensor, torch.Tensor], touching: torch.Tensor,
    weights: RefinementWeights,
) -> torch.Tensor:  # fmt: skip
    """[4, 75, 75] what differences of each order in time weigh."""
    rotations, pelvis = poses
    moved, places = jacobian(points, rotations)
    joints, masses, contacts, keypoints = moved.split(points.sizes, 1)
    blocks, count = moved.new_zeros(_ORDERS, KNOT_SIZE, KNOT_SIZE), len(rotations)
    lifted = window.lifted[0]
    # Hypotheses: the curvature of one Gaussian.
    spread = torch.where(lifted[:, None], window.rotation_spread[0], torch.inf)
    precision = spread.square().reciprocal().mean(0) * (INDEPENDENT_JOINTS / NUM_JOINTS * ROTATION_UNIT**2)
    blocks[0, :-3, :-3] = weights.hypotheses * torch.diag(precision.repeat_interleave(3))
    pelvis_precision = torch.where(lifted[:, None, None], window.pelvis_precision[0], 0.0).mean(0)
    blocks[0, -3:, -3:] = weights.hypotheses * PELVIS_UNIT**2 * pelvis_precision
    # Reprojection: what moves along the ray does not count.
    camera, eye = window.T_camera_motion[0], torch.eye(3).to(moved)
    ray = torch.nn.functional.normalize((pelvis @ camera[:, :3].T + camera[:, 3]) @ camera[:, :3], dim=-1)
    across = eye - ray[:, :, None] * ray[:, None]
    seen = (window.confidence[0].mean(0) / (keypoints.shape[1] * count)).expand(count, -1)
    blocks[0] += 2.0 * weights.reprojection * _gram(across[:, None] @ keypoints, seen)
    # Contacts: the mean over those that touch; about half of them are inside the ground.
    held = touching.to(moved)
    share = (held.sum(0) / held.sum().clamp_min(1.0) / count).expand(count, -1)
    up = window.ground.up[0]
    level = weights.contact_gap + 0.5 * float(held.sum(1).mean()) * weights.penetration
    blocks[0] += 2.0 * level * _gram(up[None, None, None] @ contacts, share)
    slip = 2.0 * weights.slip * _gram((eye - up[:, None] * up) @ contacts, share)
    blocks[0] += _TURNING**2 * slip
    blocks[1] += slip
    # Forces: accelerations of the centre of mass and of the moments about it, and its place over the contacts.
    mass = points.mass / points.total_mass
    centre = torch.einsum("n,fnck->fck", mass, masses)
    place = places.split(points.sizes, 1)[1]
    arms = (place - (mass[:, None] * place).sum(1, keepdim=True))[..., None].expand_as(masses)
    turning = torch.einsum("n,fnck->fck", mass, torch.linalg.cross(arms, masses, dim=2))
    free = 2.0 * _UNSUPPORTED / count
    blocks[2] += free * (weights.root_force * _square(centre) + weights.root_moment * _square(turning))
    standing = STANDARD_GRAVITY * (centre - count * torch.einsum("fn,fnck->fck", share, contacts))
    if bool(touching.any()):
        blocks[0] += free * weights.root_moment * _square((eye - up[:, None] * up) @ standing)
    every = moved.new_full((count, joints.shape[1]), 1.0 / (joints.shape[1] * count))
    blocks[3] += 2.0 * weights.jerk * _gram(joints, every)
    return blocks


def _square(rows: torch.Tensor) -> torch.Tensor:
    """[75, 75] J^T J for J [F, c, 75]."""
    flat = rows.flatten(0, 1)
    return flat.T @ flat


def _gram(moved: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """[75, 75] sum over points [F, N, c, 75] of J^T J, each with its weight [F, N]."""
    return _square((moved * weight.sqrt()[..., None, None]).flatten(0, 1))


@lru_cache(maxsize=512)
def _knot_basis(spline: tuple[tuple[float, ...], ...]) -> tuple[torch.Tensor, torch.Tensor]:
    """Basis [knots, knots], and [4, knots] how much of the differences of orders 0 to 3, means over frames, it has."""
    values = torch.tensor(spline, dtype=torch.float64)
    grams = []
    for order in range(_ORDERS):
        parts = values.diff(n=order, dim=0) if order else values
        grams.append(parts.T @ parts / max(len(parts), 1))
    identity = torch.eye(values.shape[1], dtype=torch.float64)
    between = identity.diff(dim=0)
    supported = grams[0] + grams[0].diagonal().mean() * (_RIDGE * between.T @ between + 1e-6 * identity)
    root = torch.linalg.cholesky(supported)
    highest = grams[3] if len(values) > MIN_FRAMES else supported
    half = torch.linalg.solve_triangular(root, highest, upper=False).T
    within = torch.linalg.solve_triangular(root, half, upper=False)
    basis = torch.linalg.solve_triangular(root.T, torch.linalg.eigh(within)[1], upper=True)
    spectrum = torch.stack([((basis.T @ gram) * basis.T).sum(-1) for gram in [supported, *grams[1:]]])
    return basis, spectrum.clamp_min(0.0)
