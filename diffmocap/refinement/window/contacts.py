"""Contacts of a window: when points of the body are taken to touch the ground."""

from __future__ import annotations

from dataclasses import astuple

import numpy as np
import torch

from diffmocap.compiler import array
from diffmocap.physics.contact_state import ContactLevels
from diffmocap.physics.ground import Ground
from diffmocap.refinement.window.body_points import BodyPoints

#: Levels for motions that come from a camera: twice as high and fast as those for motion capture, as a lifted foot that
#: rests is off the floor by centimetres, and what hovers is to come down.
LIFTED_LEVELS = ContactLevels(touch_height_m=0.06, leave_height_m=0.10, touch_speed_m_s=0.6, leave_speed_m_s=1.0)


def contacts_of(
    points: BodyPoints, rotations: torch.Tensor, pelvis: torch.Tensor, ground: Ground, dt_s: float,
    levels: ContactLevels,
) -> torch.Tensor:  # fmt: skip
    """Contact states [B, T, P] bool of motions [B, T, 24, 3, 3] and [B, T, 3] m, with hysteresis both ways in time."""
    from diffmocap.refinement.kernels.kinematics import place
    from diffmocap.refinement.kernels.motion import at_contacts, contact_motion

    body = points.constants
    matrix = np.ascontiguousarray(at_contacts(body.matrix, body))
    on = []
    for b, (turns, moves) in enumerate(zip(array(rotations), array(pelvis), strict=True)):
        _, places = place(turns, matrix)
        centres, up, height = places + moves[..., None], array(ground.up[b]), float(ground.height[b])
        motion = contact_motion(centres, body.radius, up, height, float(dt_s))
        on.append(state_of(*motion, levels))
    return torch.from_numpy(np.stack(on)).to(pelvis.device)


def state_of(gap: np.ndarray, steps: np.ndarray, levels: ContactLevels) -> np.ndarray:
    """Contact state [T, P] bool of gaps [T, P] m and velocities along the ground [T-1, 3, P] m/s."""
    from diffmocap.physics.compiled.contact_state import touching_state

    return touching_state(gap, steps, *astuple(levels))
