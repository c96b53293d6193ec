"""What the compiled loss takes of the joints: their strength and limits, as arrays."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch

from diffmocap.body.joint_angles import AXES, JOINT_AXES, SMPL_FROM_URDF_AXIS, angle_limits, joint_kind
from diffmocap.body.skeleton import NUM_JOINTS
from diffmocap.body.urdf import EFFORT
from diffmocap.compiler import array


def _chain() -> tuple[np.ndarray, np.ndarray]:
    """Places [5, 23] of the entries ac, bc, cc, ab, aa of R in a pose's 216 numbers, and signs [3, 23] of the sines."""
    places, signs = [], []
    for joint, order in enumerate(JOINT_AXES, start=1):
        a, b, c = (SMPL_FROM_URDF_AXIS[AXES.index(axis)] for axis in order)
        places.append([9 * joint + e for e in (3 * a + c, 3 * b + c, 3 * c + c, 3 * a + b, 3 * a + a)])
        parity = 1.0 if order in ("xyz", "yzx", "zxy") else -1.0
        signs.append([-parity, parity, -parity])
    return np.ascontiguousarray(np.transpose(places)), np.ascontiguousarray(np.transpose(signs))


@cache
def joint_constants() -> tuple[np.ndarray, ...]:
    """The last five fields of :class:`diffmocap.refinement.kernels.records.Body`, which all bodies share."""
    with torch.inference_mode(False):
        low, high = angle_limits().double().unflatten(0, (NUM_JOINTS - 1, 3)).permute(2, 1, 0)
    strength = np.array([EFFORT[joint_kind(j)] for j in range(1, NUM_JOINTS)])
    return strength, *_chain(), array(0.5 * (low + high)), array(0.5 * (high - low))
