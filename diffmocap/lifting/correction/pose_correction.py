"""From the network's pose to the likeliest pose given what it saw: a few steps of Gauss-Newton.

The prior is the network's pose with the measured covariance of the network's errors; the observation are keypoints and,
where told, their depths; place and shape of the body are unknown. A step is the iterated extended Kalman filter's
update (Bell and Cathey 1993): it needs the prior's covariance and no inverse of it, so that a prior may be as tight as
it likes. All of it is float64: an unknown place and exact keypoints lie eight digits apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from diffmocap.body.model import BodyModel
from diffmocap.lifting.correction.error_covariance import IMAGE_ROWS, ROWS, TANGENT
from diffmocap.lifting.correction.keypoint_jacobian import KeypointKinematics
from diffmocap.lifting.correction.noise_level import NoiseCandidates, NoiseLevel
from diffmocap.lifting.correction.observation import Observation
from diffmocap.lifting.correction.outliers import inflation_of, outlier_probability
from diffmocap.lifting.correction.tangent import exponential

#: Standard deviation of the body's place about where the network's pose must stand [m]: next to no prior.
PLACE_M = 1.0
#: Standard deviation of the ten numbers of the body's shape, which is neither known nor estimated.
SHAPE = 0.8
#: No joint turns farther in one step [rad].
LARGEST_TURN = 1.0
#: Independent noise at which wrong keypoints are looked for before the noise is known: over the half-size; of depths.
ROUGH_NOISE, ROUGH_DEPTH_M = 0.03, 0.1


@dataclass(frozen=True)
class CorrectedPose:
    """Of B poses.

    Attributes:
        rotations: [B, 24, 3, 3], pelvis: [B, 3] m, in the frame that came in, float64.
        changed: [B] bool, False where nothing better was found than the pose that came in.
        level: the noise. wrong: [B, n] probability of each row of the observation to be wrong altogether.
    """

    rotations: torch.Tensor
    pelvis: torch.Tensor
    changed: torch.Tensor
    level: NoiseLevel
    wrong: torch.Tensor


class PoseCorrection:
    """For one body.

    Args:
        detector: [75, 75] covariance of the detector's errors (:class:`ErrorCovariances`).
    """

    def __init__(self, body: BodyModel, detector: torch.Tensor) -> None:
        self._kinematics = KeypointKinematics(body)
        self._candidates = {rows: NoiseCandidates(detector, rows) for rows in (IMAGE_ROWS, ROWS)}

    @torch.no_grad()
    def __call__(
        self, rotations: torch.Tensor, pelvis: torch.Tensor, observation: Observation, covariance: torch.Tensor,
        iterations: int = 2, level: NoiseLevel | None = None,
    ) -> CorrectedPose:  # fmt: skip
        """Corrects B poses, each on its own.

        Args:
            rotations: [B, 24, 3, 3], the root's and pelvis [B, 3] m in the camera frame of the observation.
            covariance: [B or 1, 72, 72] of the error of these rotations, right tangent vectors [rad^2].
            iterations: steps, from 1.
            level: the noise where it is known; else it is found from the residual.
        """
        start, place, covariance = rotations.double(), pelvis.double(), covariance.double()
        candidates = self._candidates[observation.values.shape[1]]
        # What was tried: steps from the start, their information vectors (step = prior covariance @ information), and
        # the residuals that they leave.
        step = information = start.new_zeros(len(start), TANGENT + 3)
        tried, residuals = [(step, information)], []
        wrong = torch.zeros_like(observation.values)
        for i in range(iterations):
            turn, jacobian = exponential(step[:, :TANGENT].unflatten(1, (-1, 3)))
            posed, here = self._kinematics(start @ turn), place + step[:, TANGENT:]
            residual = observation.values - observation.predicted(posed, here)
            residuals.append(residual)
            used = observation.usable(posed, here)
            by_joints, by_place, by_shape = (
                d * used[..., None]
                for d in observation.derivatives(self._kinematics, posed, here, posed.global_rotations @ jacobian)
            )
            J = torch.cat([by_joints, by_place], -1)
            expected = residual * used + (J @ step[..., None])[..., 0]
            spread = by_joints @ covariance
            from_errors = spread @ by_joints.mT
            unknown = torch.cat([PLACE_M * by_place, SHAPE * by_shape], -1)
            from_body = unknown @ unknown.mT
            if level is None:
                rough = _rough(observation)
                wrong = self._wrong(expected, from_errors, from_body, used, rough, wrong, candidates)
                level = candidates.weigh(expected, from_errors, from_body, used, observation.relative_noise, wrong)
            wrong = self._wrong(expected, from_errors, from_body, used, level, wrong, candidates)
            inflation = inflation_of(level.variances(candidates.detector), wrong)
            noise = level.covariance(used, candidates.detector, inflation)
            S = level.errors[:, None, None] * from_errors + from_body + noise
            gain = torch.cholesky_solve(expected[..., None], torch.linalg.cholesky_ex(S)[0])
            target_information = (J.mT @ gain)[..., 0]
            target = torch.cat(
                [level.errors[:, None] * (spread.mT @ gain)[..., 0], PLACE_M**2 * target_information[:, TANGENT:]], 1
            )
            share = _share(target - step)
            step, information = step + share * (target - step), information + share * (target_information - information)
            tried.append((step, information))
        posed = self._kinematics(start @ exponential(step[:, :TANGENT].unflatten(1, (-1, 3)))[0])
        residuals.append(observation.values - observation.predicted(posed, place + step[:, TANGENT:]))
        shape = SHAPE * by_shape
        best = _best(residuals, tried, observation.seen, noise + shape @ shape.mT)
        step = torch.stack([s for s, _ in tried], 1)[torch.arange(len(start), device=start.device), best]
        turn = exponential(step[:, :TANGENT].unflatten(1, (-1, 3)))[0]
        return CorrectedPose(start @ turn, place + step[:, TANGENT:], best > 0, level, wrong)

    @staticmethod
    def _wrong(
        expected: torch.Tensor, from_errors: torch.Tensor, from_body: torch.Tensor, used: torch.Tensor,
        level: NoiseLevel, wrong: torch.Tensor, candidates: NoiseCandidates,
    ) -> torch.Tensor:  # fmt: skip
        """[B, n] probability of each row to be wrong, given the one before."""
        nominal = level.variances(candidates.detector)
        inflation = inflation_of(nominal, wrong)
        covariance = level.covariance(used, candidates.detector, inflation)
        covariance = covariance + level.errors[:, None, None] * from_errors + from_body
        return outlier_probability(covariance, expected, nominal * inflation.square(), nominal, used)


def _rough(observation: Observation) -> NoiseLevel:
    values = observation.values
    noise = torch.full_like(values, ROUGH_NOISE**2)
    noise[:, IMAGE_ROWS:] = ROUGH_DEPTH_M**2
    return NoiseLevel(noise, torch.zeros_like(values[:, 0]), torch.ones_like(values[:, 0]))


def _share(change: torch.Tensor) -> torch.Tensor:
    """[B, 1] how much of a change of the step [B, 75] is made, so that no joint turns too far."""
    largest = torch.linalg.vector_norm(change[:, :TANGENT].unflatten(1, (-1, 3)), dim=-1).amax(1, keepdim=True)
    return (LARGEST_TURN / largest.clamp_min(LARGEST_TURN)).nan_to_num()


def _best(
    residuals: list[torch.Tensor], tried: list[tuple[torch.Tensor, torch.Tensor]], seen: torch.Tensor,
    noise: torch.Tensor,
) -> torch.Tensor:  # fmt: skip
    """[B] which of the steps has the highest posterior; the start, where one is no better or not finite."""
    factor = torch.linalg.cholesky_ex(noise)[0]
    white = torch.linalg.solve_triangular(factor, torch.stack(residuals, -1) * seen[..., None], upper=False)
    prior = torch.stack([(step * information).sum(1) for step, information in tried], 1)
    cost = white.square().sum(1) + prior
    return torch.where(cost.isfinite(), cost, torch.inf).argmin(1)
