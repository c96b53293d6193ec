"""Velocity of the URDF's root link."""

from __future__ import annotations

import numpy as np
import roma
import torch

from diffmocap.types import BodyState


def root_twist(state: BodyState, before: BodyState | None) -> np.ndarray:
    """[6] float64 in the axes of the optical frame: of the root's origin [m/s], and angular [rad/s].

    Those of the physics where it ran without a lag, else over the step from ``before``; zero without one.
    """
    physics = state.physics
    R = state.rotations[0].double()
    if physics is not None and physics.pelvis_velocity is not None and physics.angular_velocity is not None:
        angular = R @ physics.angular_velocity[0].double()
        return torch.cat([physics.pelvis_velocity.double(), angular]).numpy()
    if before is None:
        return np.zeros(6)
    dt_s = (state.stamp_ns - before.stamp_ns) * 1e-9
    turn = roma.rotmat_to_rotvec(R @ before.rotations[0].double().mT)
    return (torch.cat([state.pelvis.double() - before.pelvis.double(), turn]) / dt_s).numpy()
