"""A capsule around the skin of each link: what physics engines and planners collide instead of a mesh.

Of all capsules that hold the share :data:`ENCLOSED` of a link's skin, it is the smallest. The rest of the skin, around
the joints, lies in the capsules of the neighbours, which overlap there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from diffmocap.body.link_meshes import link_skin
from diffmocap.body.model import BodyModel
from diffmocap.body.skeleton import JOINT_NAMES

#: Share of a link's skin inside its capsule. With all of it single vertices would decide, such as the nose's tip.
ENCLOSED = 0.95
#: From the left side to the right one, in the URDF's axes.
MIRROR = np.array([1.0, -1.0, 1.0])
#: What :func:`smallest_capsule` may change: all, or what leaves a capsule symmetric, across the body or in its middle.
FREE = np.ones(6, bool)
ACROSS = np.array([True, False, True, False, True, False])
IN_MIDDLE_PLANE = np.array([True, False, True, True, False, True])
#: The search: first steps, when to end one, how often to begin again.
_FIRST_STEP_M, _PRECISION_M, _MOST_SEARCHES = 0.02, 5e-4, 10


@dataclass(frozen=True)
class Capsule:
    """All points within ``radius`` of the segment from ``start`` to ``end``.

    Attributes:
        start, end: [3] m in the link's frame (URDF axes, origin at the joint).
        radius: m.
    """

    start: np.ndarray
    end: np.ndarray
    radius: float

    @property
    def centre(self) -> np.ndarray:
        """[3] m, the middle of the segment."""
        return 0.5 * (self.start + self.end)

    @property
    def length(self) -> float:
        """Of the segment, without the round ends [m]."""
        return float(np.linalg.norm(self.end - self.start))

    @property
    def volume(self) -> float:
        """m^3."""
        return math.pi * self.radius**2 * (self.length + 4.0 / 3.0 * self.radius)

    def outside(self, points: np.ndarray) -> np.ndarray:
        """Distance [N] of points [N, 3] from the surface [m], negative inside."""
        return np.sqrt(_squared_distances(points, self.start, self.end)) - self.radius


def link_capsules(body: BodyModel, betas: torch.Tensor | None = None) -> dict[str, Capsule]:
    """The capsule of each link, by the link's name; left and right ones mirror each other, those between are symmetric.

    Args:
        body: whose skin.
        betas: [1, 10] shape; None is the mean shape.
    """
    skin, capsules = link_skin(body, betas), {}
    for name in JOINT_NAMES:
        other = name.replace("left_", "right_")
        if name.startswith("right_"):
            continue
        both = np.concatenate([skin[name], skin[other] * MIRROR])
        if other == name:
            fits = [smallest_capsule(both, free) for free in (ACROSS, IN_MIDDLE_PLANE)]
            capsules[name] = min(fits, key=lambda capsule: capsule.volume)
        else:
            capsules[name] = left = smallest_capsule(both)
            capsules[other] = Capsule(left.start * MIRROR, left.end * MIRROR, left.radius)
    return {name: capsules[name] for name in JOINT_NAMES}


def smallest_capsule(points: np.ndarray, free: np.ndarray = FREE, enclosed: float = ENCLOSED) -> Capsule:
    """The smallest capsule around the share ``enclosed`` of points [N, 3] m.

    Nelder and Mead's simplex, from the points' longest axis on and begun again until nothing improves: the volume is no
    smooth function of the place.

    Args:
        free: [6] bool, which of the segment's centre and half (x, y, z each) may differ from 0.
    """
    from scipy.optimize import minimize  # reading a URDF does not need SciPy

    middle = points.mean(axis=0)
    _, _, axes = np.linalg.svd(points - middle, full_matrices=False)
    low, high = np.quantile((points - middle) @ axes[0], [0.15, 0.85])
    last = min(math.ceil(enclosed * len(points)), len(points)) - 1

    def capsule(values: np.ndarray) -> Capsule:
        centre, half = placed = np.zeros((2, 3))
        placed.reshape(6)[free] = values
        squared = _squared_distances(points, centre - half, centre + half)
        return Capsule(centre - half, centre + half, math.sqrt(np.partition(squared, last)[last]))

    values = np.concatenate([middle + 0.5 * (low + high) * axes[0], 0.5 * (high - low) * axes[0]])[free]
    best = capsule(values)
    for _ in range(_MOST_SEARCHES):
        found = minimize(
            lambda values: capsule(values).volume, values, method="Nelder-Mead",
            options={
                "initial_simplex": values + _FIRST_STEP_M * np.eye(len(values) + 1, len(values), -1),
                "xatol": _PRECISION_M, "fatol": 1e-3 * best.volume, "adaptive": True,
            },
        )  # fmt: skip
        values, previous, best = found.x, best, capsule(found.x)
        if best.volume > (1.0 - 2e-3) * previous.volume:
            break
    return best


def _squared_distances(points: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """[N] m^2 from points [N, 3] to the segment."""
    along, offset = end - start, points - start
    share = np.clip(offset @ along / max(float(along @ along), 1e-12), 0.0, 1.0)
    offset = offset - share[:, None] * along
    return np.einsum("ni,ni->n", offset, offset)
