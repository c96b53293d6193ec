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
from diffmocap.body.skeleton import NUM_KEYPOINTS
from diffmocap.lifting.correction.error_covariance import TANGENT
from diffmocap.lifting.correction.keypoint_jacobian import KeypointKinematics
from diffmocap.lifting.correction.noise_level import NoiseCandidates, NoiseLevel
from diffmocap.lifting.correction.observation import Observation
from diffmocap.lifting.correction.outliers import wrong_probability
from diffmocap.lifting.correction.tangent import exponential

#: Standard deviation of the body's place about where the network's pose must stand [m]: next to no prior.
PLACE_M = 1.0
#: Standard deviation of the ten numbers of the body's shape, which is neither known nor estimated.
SHAPE = 0.8
#: No joint turns farther in one step [rad].
LARGEST_TURN = 1.0


@dataclass(frozen=True)
class Gain:
    """What a pose's last step was made with, for other poses of the same image.

    Attributes:
        rows: [B, n, 75] covariance of the rows with the step. factor: [B, n, n] the Cholesky factor of the rows' own.
        used: [B, n] bool, rows that count.
        whitening: [B, n, n] lower triangular; its inverse takes a residual to independent numbers of unit variance.
    """

    rows: torch.Tensor
    factor: torch.Tensor
    used: torch.Tensor
    whitening: torch.Tensor

    def step(self, residual: torch.Tensor) -> torch.Tensor:
        """[B, 75] Kalman's step for a residual [B, n]."""
        return (self.rows.mT @ torch.cholesky_solve(residual[..., None], self.factor))[..., 0]

    def repeat(self, times: int) -> Gain:
        """Every row ``times`` times, its copies side by side."""
        parts = self.rows, self.factor, self.used, self.whitening
        return Gain(*(x.repeat_interleave(times, 0) for x in parts))


@dataclass(frozen=True)
class CorrectedPose:
    """Of B poses.

    Attributes:
        rotations: [B, 24, 3, 3], pelvis: [B, 3] m, in the frame that came in, float64.
        changed: [B] bool, False where nothing better was found than the pose that came in.
        level: the noise. wrong: [B, n] probability of each row of the observation to be wrong altogether.
        gain: of the last step.
    """

    rotations: torch.Tensor
    pelvis: torch.Tensor
    changed: torch.Tensor
    level: NoiseLevel
    wrong: torch.Tensor
    gain: Gain


class PoseCorrection:
    """For one body.

    Args:
        detector: [75, 75] covariance of the detector's errors (:class:`ErrorCovariances`).
    """

    def __init__(self, body: BodyModel, detector: torch.Tensor) -> None:
        self._kinematics = KeypointKinematics(body)
        self._candidates = {k * NUM_KEYPOINTS: NoiseCandidates(detector, k * NUM_KEYPOINTS) for k in (2, 3)}
        deviation = torch.tensor([PLACE_M] * 3 + [SHAPE] * 10, dtype=torch.float64, device=detector.device)
        self._body_deviation = deviation

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
        # What was tried: steps from the start, their information vectors (step = prior covariance @ information), the
        # rotations, and the residuals that they leave.
        step = information = start.new_zeros(len(start), TANGENT + 3)
        turned, wrong, known = start, None, level is not None
        posed = self._kinematics(start)
        turns = posed.global_rotations
        residual = observation.values - observation.predicted(posed, place)
        tried = [(residual, step, information, turned)]
        for i in range(iterations):
            here = place + step[:, TANGENT:]
            used = observation.usable(posed, here)
            J = observation.derivatives(self._kinematics, posed, here, turns) * used[..., None]
            by_joints, by_body = J[..., :TANGENT], J[..., TANGENT:] * self._body_deviation
            expected = residual * used
            if i:
                expected = expected + (J[..., : TANGENT + 3] @ step[..., None])[..., 0]
            spread = by_joints @ covariance
            from_errors, from_body = spread @ by_joints.mT, by_body @ by_body.mT
            # The first pose may be far off, where a straight line says little: all is judged again at each next one.
            so_far = level if level is not None else candidates.rough(observation.relative_noise)
            wrong = _wrong(candidates, so_far, wrong, expected, from_errors, from_body, used)
            if not known:
                level = candidates.weigh(expected, from_errors, from_body, used, observation.relative_noise, wrong)
            inflated = candidates.inflation(level, wrong)
            noise = candidates.covariance(level, used, inflated)
            S = level.errors[:, None, None] * from_errors + from_body + noise
            factor = torch.linalg.cholesky_ex(S)[0]
            gain = torch.cholesky_solve(expected[..., None], factor)
            target_information = (J[..., : TANGENT + 3].mT @ gain)[..., 0]
            target = torch.cat(
                [level.errors[:, None] * (spread.mT @ gain)[..., 0], PLACE_M**2 * target_information[:, TANGENT:]], 1
            )
            # A row that could not be solved keeps what it has.
            solved = target.isfinite().all(1, keepdim=True) & target_information.isfinite().all(1, keepdim=True)
            target = torch.where(solved, target, step)
            target_information = torch.where(solved, target_information, information)
            share = _share(target - step)
            step, information = torch.lerp(step, target, share), torch.lerp(information, target_information, share)
            turn, jacobian = exponential(step[:, :TANGENT].unflatten(1, (-1, 3)))
            turned = start @ turn
            posed = self._kinematics(turned)
            turns = posed.global_rotations @ jacobian
            residual = observation.values - observation.predicted(posed, place + step[:, TANGENT:])
            tried.append((residual, step, information, turned))
        residuals, steps, informations, rotations = (torch.stack(values, 1) for values in zip(*tried))
        shape = by_body[..., 3:]
        whitening = torch.linalg.cholesky_ex(noise + shape @ shape.mT)[0]
        best = _best(residuals * observation.seen[:, None], (steps * informations).sum(-1), whitening)
        rows = torch.arange(len(start), device=start.device)
        by_row = torch.cat([level.errors[:, None, None] * spread, PLACE_M**2 * J[..., TANGENT : TANGENT + 3]], -1)
        gain = Gain(by_row, factor, used, whitening)
        return CorrectedPose(rotations[rows, best], place + steps[rows, best, TANGENT:], best > 0, level, wrong, gain)

    @torch.no_grad()
    def by_gain(
        self, rotations: torch.Tensor, pelvis: torch.Tensor, observation: Observation, gain: Gain
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Poses near one that was corrected, corrected in one step by its gain: a tenth of the work.

        Args:
            rotations: [B, 24, 3, 3], pelvis: [B, 3] m, as in a call. gain: of the pose that each is near to.

        Returns:
            Rotations [B, 24, 3, 3], float64, and [B] bool, False where the step brought nothing and was not made.
        """
        start, place = rotations.double(), pelvis.double()
        residual = (observation.values - observation.predicted(self._kinematics(start), place)) * gain.used
        step = gain.step(residual)
        step = step * _share(step)
        turned = start @ exponential(step[:, :TANGENT].unflatten(1, (-1, 3)))[0]
        left = observation.values - observation.predicted(self._kinematics(turned), place + step[:, TANGENT:])
        both = torch.stack([residual, left * gain.used], -1)
        white = torch.linalg.solve_triangular(gain.whitening, both, upper=False).square().sum(1)
        better = (white[:, 1] < white[:, 0]) & step.isfinite().all(1)
        return torch.where(better[:, None, None, None], turned, start), better


def _wrong(
    candidates: NoiseCandidates, level: NoiseLevel, before: torch.Tensor | None, expected: torch.Tensor,
    from_errors: torch.Tensor, from_body: torch.Tensor, used: torch.Tensor,
) -> torch.Tensor:  # fmt: skip
    """[B, n] probability of each row to be wrong, given the one before."""
    nominal = candidates.variances(level)
    inflated = torch.ones_like(nominal) if before is None else candidates.inflation(level, before)
    covariance = candidates.covariance(level, used, inflated)
    covariance = covariance + level.errors[:, None, None] * from_errors + from_body
    return wrong_probability(covariance, expected, nominal * (inflated.square() - 1), used)


def _share(change: torch.Tensor) -> torch.Tensor:
    """[B, 1] how much of a change of the step [B, 75] is made, so that no joint turns too far."""
    largest = torch.linalg.vector_norm(change[:, :TANGENT].unflatten(1, (-1, 3)), dim=-1).amax(1, keepdim=True)
    return (LARGEST_TURN / largest.clamp_min(LARGEST_TURN)).nan_to_num()


def _best(residuals: torch.Tensor, prior: torch.Tensor, whitening: torch.Tensor) -> torch.Tensor:
    """[B] which of T poses has the highest posterior: residuals [B, T, n] that ``whitening`` [B, n, n], the Cholesky
    factor of their covariance, makes independent; prior costs [B, T].

    The first one, where none is better or finite.
    """
    white = torch.linalg.solve_triangular(whitening, residuals.mT, upper=False)
    cost = white.square().sum(1) + prior
    return torch.where(cost.isfinite(), cost, torch.inf).argmin(1)
