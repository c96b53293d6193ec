"""Gravity and floor of a whole motion in the camera's optical frame, and the world frame that they make."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from diffmocap.physics.ground import Ground, find_ground
from diffmocap.physics.tree import global_poses
from diffmocap.refinement.stream.ground_watch import GroundWatch
from diffmocap.refinement.stream.known_ground import KnownGround
from diffmocap.refinement.window.body_points import BodyPoints

#: Frames that the watch looks at together [s].
_WINDOW_S = 0.8


@dataclass(frozen=True)
class Floor:
    """Where the floor is; ``trusted`` says that it was given, or found from feet that rested in places far enough
    apart. One that is not trusted serves to stand the motion up, but no force comes from it."""

    ground: Ground
    trusted: bool


def floor_of(
    points: BodyPoints, rotations: torch.Tensor, pelvis: torch.Tensor, seen: torch.Tensor, dt_s: float,
    known: KnownGround,
) -> Floor:  # fmt: skip
    """The floor under a motion [T, 24, 3, 3], [T, 3] m in the optical frame, as far as ``known`` does not give it.

    ``seen``: [T] bool, frames that were observed.
    """
    watch = GroundWatch(*known.tensors())
    turned, joints = global_poses(rotations, pelvis, points.bones)
    soles = points.soles(turned, pelvis)
    length = max(round(_WINDOW_S / dt_s), 3)
    for start in range(0, len(pelvis) - length + 1, length):
        part = slice(start, start + length)
        if bool(seen[part].any()):
            watch.observe(soles[part], joints[part], dt_s, seen[part])
    if watch.ground is not None:
        return Floor(watch.ground, True)
    up, height = known.tensors()
    return Floor(find_ground(soles[seen], dt_s, up, height, joints[seen]), False)


def world_from_optical(ground: Ground, origin: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Rotation [3, 3] and translation [3] m into the world frame of a motion file.

    z points up and is 0 on the floor; y is the viewing direction along the floor, x points to the image's right; the
    origin lies below ``origin`` [3] m of the optical frame.
    """
    up = torch.nn.functional.normalize(ground.up.double(), dim=0)
    ahead = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    if float((ahead - (ahead @ up) * up).norm()) < 1e-3:  # the camera looks straight down or up
        ahead = torch.tensor([0.0, -1.0, 0.0], dtype=torch.float64)
    y = torch.nn.functional.normalize(ahead - (ahead @ up) * up, dim=0)
    R = torch.stack([torch.linalg.cross(y, up), y, up])
    moved = R @ origin.double()
    return R.float(), torch.stack([-moved[0], -moved[1], -ground.height.double()]).float()
