"""Waits one image for a joint that leaves its motion: one wrong keypoint throws no limb.

What differs from where the motion of the last images leads by more than a threshold is not followed at once. If the
next image says the same it is followed, one image late; if not it was an error, and nothing was published of it.
Motion of people stays below: at 30 Hz half a radian more or less than foreseen in one image is an acceleration of
450 rad/s^2.
"""

from __future__ import annotations

import numpy as np
import torch

from diffmocap.body.joint_angles import rotations_from_angles
from diffmocap.body.skeleton import NUM_JOINTS

#: Interval that thresholds are given at [s], and the share of one below which none falls at a higher rate.
_INTERVAL_S, _LEAST = 1.0 / 30.0, 0.5
#: Longer intervals have no foreseen pose: nothing is waited for [s].
_LONGEST_S = 0.15


class OutlierGate:
    """Of each of the 23 joints, whether it was waited for in the image before."""

    def __init__(self) -> None:
        self._waited = np.zeros(NUM_JOINTS - 1, bool)

    def reset(self) -> None:
        """Nothing is waited for."""
        self._waited[:] = False

    def waits(self, angles: np.ndarray, foreseen: np.ndarray, dt_s: float, threshold: float) -> np.ndarray:
        """[23] bool: the joints that are not to be followed in this image.

        Args:
            angles, foreseen: [69] rad of this image, and where the motion before leads.
            threshold: rad at 30 Hz; 0: none is waited for.
        """
        waits = np.zeros(NUM_JOINTS - 1, bool)
        most = threshold * max(dt_s / _INTERVAL_S, _LEAST)
        if threshold > 0.0 and dt_s <= _LONGEST_S:
            # The three angles of a joint turn it by no more than their sum.
            waits = np.abs(angles - foreseen).reshape(-1, 3).sum(-1) > most
            if waits.any():
                waits &= _apart(angles, foreseen) > most
                waits &= ~self._waited
        self._waited = waits
        return waits


def _apart(angles: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Angle [23] rad between the rotations of joints."""
    a, b = rotations_from_angles(torch.from_numpy(np.stack([angles, others]))).numpy()
    return np.arccos(np.clip(0.5 * (np.einsum("jab,jab->j", a, b) - 1.0), -1.0, 1.0))
