"""From the network's pose to the likeliest pose given what it saw: a few steps of Gauss-Newton.

The prior is the network's pose with the measured covariance of the network's errors; the observation are keypoints and,
where told, their depths; place and shape of the body are unknown. The law itself is machine code, in
:mod:`diffmocap.lifting.correction.gauss_newton`.
"""

from __future__ import annotations

import threading
from typing import NamedTuple

import numpy as np

from diffmocap.body.model import BodyModel
from diffmocap.lifting.correction.gauss_newton import correct, correct_by_gain
from diffmocap.lifting.correction.keypoint_jacobian import keypoint_body
from diffmocap.lifting.correction.keypoint_noise import CANDIDATES, candidates
from diffmocap.lifting.correction.observation import Observation
from diffmocap.lifting.correction.records import Workspace, workspace


class CorrectedPoses(NamedTuple):
    """K poses of each of B images.

    Attributes:
        rotations: [B, K, 24, 3, 3], pelvis: [B, K, 3] m, in the frame that came in.
        changed: [B, K] bool, False where nothing better was found than the pose that came in.
        independent: [B, K, n] variances of the rows' noise found. factors: [B, K, 2], of the detector's covariance,
            which comes to it, and of the network's errors.
        wrong: [B, K, n] probability of each row of the observation to be wrong altogether.
    """

    rotations: np.ndarray
    pelvis: np.ndarray
    changed: np.ndarray
    independent: np.ndarray
    factors: np.ndarray
    wrong: np.ndarray


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
    ) -> CorrectedPoses:  # fmt: skip
        """Corrects K poses of each of B images.

        Args:
            rotations: [B, K, 24, 3, 3], the root's and pelvis [B, K, 3] m in the camera frame of the observation; all
                float64.
            covariance: [B, 72, 72] of the error of these rotations, right tangent vectors [rad^2].
            steps: from 1.
            mean_first: each image's other poses are near to its first one and are corrected by its last step's gain, in
                one step, which is a tenth of the work. Their noise is that of the first one.
        """
        B, K, rows = *rotations.shape[:2], observation.values.shape[1]
        found = CorrectedPoses(
            np.empty((B, K, 24, 3, 3)), np.empty((B, K, 3)), np.zeros((B, K), bool), np.empty((B, K, rows)),
            np.empty((B, K, 2)), np.empty((B, K, rows)),
        )  # fmt: skip
        work = self._workspace(steps)
        for b in range(B):
            seen = observation.values[b], observation.seen[b], observation.half_size[b], observation.relative_noise[b]
            for k in range(1 if mean_first else K):
                start, place = rotations[b, k], pelvis[b, k]
                best = correct(self._body, self._candidates, *seen, start, place, covariance[b], steps, work)
                found.rotations[b, k] = work.tried.rotations[best] if best else start
                found.pelvis[b, k] = place + work.tried.step[best, -3:]
                found.changed[b, k] = best > 0
                rest = slice(k, None if mean_first else k + 1)
                found.factors[b, rest] = work.level.factors
                found.independent[b, rest], found.wrong[b, rest] = (
                    work.level.independent[:rows],
                    work.level.wrong[:rows],
                )
            if mean_first and K > 1:
                correct_by_gain(
                    self._body, seen[0], seen[2], rotations[b, 1:], pelvis[b, 1:], covariance[b], work,
                    found.rotations[b, 1:], found.pelvis[b, 1:], found.changed[b, 1:],
                )  # fmt: skip
        return found

    def _workspace(self, steps: int) -> Workspace:
        """The calling thread's, with room for so many steps."""
        if self._own.steps < steps:
            self._own.work, self._own.steps = workspace(len(self._body.joint), CANDIDATES, steps), steps
        return self._own.work


class _Own(threading.local):
    """What a thread works in, made for so many steps."""

    work: Workspace | None = None
    steps = 0
