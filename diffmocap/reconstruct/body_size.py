"""A person's height as a shape of the body model, and what it makes of distances."""

from __future__ import annotations

import torch

from diffmocap.body.model import BodyModel
from diffmocap.lifting.translation import solve_translation
from diffmocap.reconstruct.settings import HEIGHT

#: Frames with fewer keypoints say nothing about size; SMPL's ankles and feet.
MIN_KEYPOINTS = 8
FEET = [7, 8, 10, 11]
#: Newton's method on a nearly linear function.
_ITERATIONS = 8


def standing_height(body: BodyModel, betas: torch.Tensor) -> float:
    """Height [m] of the body in its rest pose, from the lowest to the highest point of the skin; betas [10]."""
    y = (body.template + body.shape_dirs @ betas.to(body.template))[:, 1]
    return float(y.max() - y.min())


def betas_of_height(body: BodyModel, height_m: float, near: torch.Tensor | None = None) -> torch.Tensor:
    """[10] the shape of a body that is so high, nearest by the sum of squares to ``near`` [10], None: the mean shape.

    Raises:
        SettingsError: the height is outside of :data:`HEIGHT`.
    """
    HEIGHT.check("height", height_m)
    near = torch.zeros(body.shape_dirs.shape[-1]) if near is None else near
    betas = near
    for _ in range(_ITERATIONS):
        y = (body.template + body.shape_dirs @ betas)[:, 1]
        slope = body.shape_dirs[y.argmax(), 1] - body.shape_dirs[y.argmin(), 1]
        # The nearest point of the plane on which the linearised height is the one asked for.
        missing = height_m - float(y.max() - y.min()) + float(slope @ (betas - near))
        betas = near + slope * missing / slope.square().sum()
    return betas


def distance_ratio(
    body: BodyModel, rotations: torch.Tensor, betas: torch.Tensor, keypoints: torch.Tensor, K: torch.Tensor
) -> float:
    """How much farther from the camera a body of this shape stands than the mean one, over the same keypoints.

    The median over T frames with at least :data:`MIN_KEYPOINTS` keypoints; 1 where there are none.

    Args:
        rotations: [T, 24, 3, 3] in the optical frame. betas: [10].
        keypoints: [T, 25, 3] px and confidence, of an ideal pinhole camera K [3, 3].
    """
    weights = keypoints[..., 2]
    enough = (weights > 0).sum(1) >= MIN_KEYPOINTS
    if not bool(enough.any()):
        return 1.0
    rotations, weights = rotations[enough], weights[enough]
    rays = (keypoints[enough, :, :2] - K[:2, 2]) / K.diagonal()[:2]
    rays = torch.where(weights[..., None] > 0, rays, 0.0)
    origin = torch.zeros(len(rotations), 3)
    shapes = None, betas[None].expand(len(rotations), -1)
    mean, own = (solve_translation(body.keypoints(rotations, origin, shape), rays, weights)[:, 2] for shape in shapes)
    return float((own / mean).median())


def sole_drop(body: BodyModel, rotations: torch.Tensor, betas: torch.Tensor, up: torch.Tensor) -> float:
    """How much lower below the pelvis the lower foot of this shape is than that of the mean one [m], the median."""
    origin, up = torch.zeros(len(rotations), 3), up.to(rotations)
    low = [
        (body.forward_kinematics(rotations, origin, shape)[1][:, FEET] @ up).amin(1)
        for shape in (None, betas[None].expand(len(rotations), -1))
    ]
    return float((low[0] - low[1]).median())
