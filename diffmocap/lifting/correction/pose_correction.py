"""From the network's pose to the likeliest pose given what it saw: a few steps of Gauss-Newton.

The prior is the network's pose with the measured covariance of the network's errors; the observation are keypoints and,
where told, their depths; place and shape of the body are unknown. The law itself is machine code, in
:mod:`diffmocap.lifting.correction.gauss_newton`.
"""

from __future__ import annotations

import threading

import numpy as np

from diffmocap.body.model import BodyModel
from diffmocap.lifting.correction.gauss_newton import correct_all
from diffmocap.lifting.correction.keypoint_jacobian import keypoint_body
from diffmocap.lifting.correction.noise_level import CANDIDATES, candidates
from diffmocap.lifting.correction.observation import Observation
from diffmocap.lifting.correction.records import Found, Workspace, workspace


class PoseCorrection:
    """For one body. Threads may call it at once: each works in memory of its own.

    Args:
        detector: [75, 75] covariance of the detector's errors (:class:`ErrorCovariances`).
    """

    def __init__(self, body: BodyModel, detector: np.ndarray) -> None:
        self._body, self._candidates = keypoint_body(body), candidates(detector)
        self._own = _Own()

    def __call__(
        self, rotations: np.ndarray, pelvis: np.ndarray, observation: Observation, covariance: np.ndarray,
        steps: int = 2, mean_first: bool = False,
    ) -> Found:  # fmt: skip
        """Corrects K poses of each of B images.

        Args:
            rotations: [B, K, 24, 3, 3] float64, the root's and pelvis [B, K, 3] m in the camera frame of the observation.
            covariance: [B, 72, 72] of the error of these rotations, right tangent vectors [rad^2].
            steps: from 1.
            mean_first: each image's other poses are near to its first one and are corrected by its last step's gain, in
                one step, which is a tenth of the work. Their noise is that of the first one.
        """
        B, K, rows = *rotations.shape[:2], observation.values.shape[1]
        found = Found(
            np.empty((B, K, 24, 3, 3)), np.empty((B, K, 3)), np.empty((B, K), bool), np.empty((B, K, rows)),
            np.empty((B, K, 2)), np.empty((B, K, rows)),
        )  # fmt: skip
        if self._own.steps < steps:
            self._own.work, self._own.steps = workspace(len(self._body.joint), CANDIDATES, steps), steps
        correct_all(
            self._body, self._candidates, observation, rotations, pelvis, covariance, steps, mean_first,
            self._own.work, found,
        )  # fmt: skip
        return found


class _Own(threading.local):
    """What a thread works in, made for so many steps."""

    work: Workspace | None = None
    steps = 0
