"""Forces at the contacts that explain the wrench a motion needs.

For every frame: ``min over u in cones  |w - G f|^2 / 2 + rho |u|^2 / 2  with f = a u``, where w is the needed wrench in
units of the body's weight (moments over :data:`MOMENT_ARM`), G collects forces into a wrench about the centre of mass,
and a is each point's activity in [0, 1]. The small rho shares forces out evenly where many distributions do; rho / a^2
grows as a point leaves the ground, which is the softened complementarity: a = 0 means no force, exactly.

With the residual ``z = w - G f`` optimality is ``u = P(a G_p^T z) / rho``, P the projection onto the cone. That leaves
six unknowns per frame, ``z + G P(G^T z) / rho = w``, the gradient of a strictly convex function: a semismooth Newton
method (Qi and Sun 1993) with a line search solves it for all frames side by side, however many the points. It begins at
the solution without cones, a linear system: often that is the solution, and on motion capture eight iterations do
from there where three times as many did from elsewhere, the solution of a motion near by included.

Gradients come from the implicit function theorem: they are exact at the solution and cost a 6 x 6 solve, where
differentiating the iterations would cost them all again.

The solver is :mod:`diffmocap.physics.compiled.contact_solver`, the cone
:mod:`diffmocap.physics.compiled.friction_cone`. The solver computes in float64, as rho asks for it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from diffmocap.physics.wrench import Wrench

#: Moments count as the forces that make them at this distance [m]: half the height of a person's centre of mass.
MOMENT_ARM = 0.5
#: Skin, shoe or sock on a usual floor.
FRICTION = 0.8


@dataclass(frozen=True)
class ContactForces:
    """What the ground does to the body, and what it cannot do.

    Attributes:
        force: [..., P, 3] on the body at each contact point, inside its friction cone [N].
        residual: the part of the needed wrench that no contact explains, about the centre of mass.
    """

    force: torch.Tensor
    residual: Wrench


def ground_axes(up: np.ndarray) -> np.ndarray:
    """[..., 3, 3] rows: the ground's normal ``up`` [..., 3] and two directions perpendicular to it and each other."""
    least = np.eye(3)[np.abs(up).argmin(-1)]
    tangent = np.cross(up, least)
    tangent = tangent / np.linalg.norm(tangent, axis=-1, keepdims=True)
    return np.stack([up, tangent, np.cross(up, tangent)], -2)
