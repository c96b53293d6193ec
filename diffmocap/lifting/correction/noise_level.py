"""How exact the keypoints are, judged by their own image: the evidence of several levels of noise.

Keypoints hang together: a head or a foot is rigid, limbs have lengths, and the network's errors have a measured
covariance. So the residual that the network's pose leaves tells whether the keypoints are exact, noisy, or have the
errors of the detector. Every candidate is weighed by its marginal likelihood (MacKay 1992, "Bayesian interpolation"),
and the noise that is used is the candidates' mean by these weights.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from diffmocap.body.skeleton import NUM_KEYPOINTS
from diffmocap.lifting.correction.outliers import inflation, wrong_variance

#: Independent noise: standard deviations over the box's half-size; of depths [m].
IMAGE_NOISE = (0.0015, 0.006, 0.02, 0.05)
DEPTH_NOISE_M = (0.003, 0.02, 0.06, 0.15)
#: Noise like the detector's: factors of its measured standard deviations.
DETECTOR_SCALES = (0.6, 1.5)
#: The network's errors in this image: factors of the measured covariance.
ERROR_SCALES = (1.0, 4.0)

_IMAGE = 2 * NUM_KEYPOINTS


@dataclass(frozen=True)
class NoiseLevel:
    """Noise of B observations: ``diag(independent) + detector * D`` with the detector's covariance D.

    Attributes:
        independent: [B, n] variances. detector: [B] factors of D. errors: [B] factors of the network's covariance.
    """

    independent: torch.Tensor
    detector: torch.Tensor
    errors: torch.Tensor


class NoiseCandidates:
    """The candidates for n rows. Both kinds of noise, independent and the detector's, are as likely beforehand.

    Args:
        detector: [75, 75] covariance of the detector's errors, float64.
        rows: n, 50 or 75.
    """

    def __init__(self, detector: torch.Tensor, rows: int) -> None:
        def tensor(values: tuple[float, ...]) -> torch.Tensor:
            return torch.tensor(values, dtype=torch.float64, device=detector.device)

        self.detector, self.wrong_variance = detector[:rows, :rows], wrong_variance(rows, detector.device)
        self._variance = self.detector.diagonal()
        self._image, self._depth = tensor(IMAGE_NOISE).square(), tensor(DEPTH_NOISE_M).square()
        self._scales, self._errors = tensor(DETECTOR_SCALES).square(), tensor(ERROR_SCALES)
        # The detector's noise has a floor, that of the most exact keypoints.
        self._floor = self._image[:1].repeat(rows)
        self._floor[_IMAGE:] = self._depth[0]

    def rough(self, relative_noise: torch.Tensor) -> NoiseLevel:
        """Independent noise as large as the detector's, for rows of this relative noise [B, n]."""
        ones = torch.ones_like(relative_noise[:, 0])
        return NoiseLevel(self._variance * relative_noise.square(), torch.zeros_like(ones), ones)

    def inflation(self, level: NoiseLevel, wrong: torch.Tensor) -> torch.Tensor:
        """[B, n] factors of the rows' standard deviations for their probabilities [B, n] to be wrong."""
        return inflation(self.variances(level), wrong, self.wrong_variance)

    def variances(self, level: NoiseLevel) -> torch.Tensor:
        """[B, n] of the rows."""
        return level.independent + level.detector[:, None] * self._variance

    def covariance(self, level: NoiseLevel, used: torch.Tensor, inflated: torch.Tensor) -> torch.Tensor:
        """[B, n, n], each row's standard deviation times ``inflated`` [B, n].

        What is not ``used`` [B, n] bool has a variance of 1 and is independent.
        """
        return _noise(level.independent, level.detector, self.detector, used, inflated)

    def weigh(
        self, residual: torch.Tensor, from_errors: torch.Tensor, from_body: torch.Tensor, used: torch.Tensor,
        relative_noise: torch.Tensor, wrong: torch.Tensor,
    ) -> NoiseLevel:  # fmt: skip
        """The mean of the candidates by their evidence.

        Args:
            residual: [B, n], 0 where not used.
            from_errors: [B, n, n] covariance of the residual by the network's errors; from_body: by place and shape.
            used: [B, n] bool. relative_noise: [B, n], see :class:`Observation`.
            wrong: [B, n] probability that a row is wrong altogether.
        """
        relative = relative_noise.square()
        base = self._errors[:, None, None] * from_errors[:, None] + from_body[:, None]  # [B, E, n, n]
        independent = self._of_independent(base, residual, used, relative, wrong)  # [B, E, I, D]
        detector = self._of_detector(base, residual, used, relative, wrong)  # [B, E, S]
        B, E, images, depths = independent.shape
        shares = math.log(images * depths), math.log(len(self._scales))
        evidence = torch.cat([independent.flatten(2) - shares[0], detector - shares[1]], 2)
        weights = evidence.nan_to_num(nan=-1e30, neginf=-1e30).flatten(1).softmax(1).view(B, E, -1)
        errors = (weights.sum(2) @ self._errors.log()).exp()
        weights = weights.sum(1)
        of_pairs, of_scales = weights[:, : images * depths].view(B, images, depths), weights[:, images * depths :]
        variance = (of_pairs.sum(2) @ self._image)[:, None].expand(-1, _IMAGE)
        if residual.shape[1] > _IMAGE:
            depth = (of_pairs.sum(1) @ self._depth)[:, None].expand(-1, NUM_KEYPOINTS)
            variance = torch.cat([variance, depth], 1)
        variance = (variance + of_scales.sum(1, keepdim=True) * self._floor) * relative
        return NoiseLevel(variance, of_scales @ self._scales, errors)

    def _of_independent(
        self, base: torch.Tensor, residual: torch.Tensor, used: torch.Tensor, relative: torch.Tensor,
        wrong: torch.Tensor,
    ) -> torch.Tensor:  # fmt: skip
        """[B, E, I, D] log evidence of independent noise: of the image rows, and of the depths given these."""

        def diagonal(levels: torch.Tensor, rows: slice) -> torch.Tensor:
            """[B, levels, rows]"""
            variance = levels[:, None] * relative[:, None, rows]
            factor = inflation(variance, wrong[:, None, rows], self.wrong_variance[rows])
            return torch.where(used[:, None, rows], variance * factor.square(), 1.0)

        image, depth = slice(0, _IMAGE), slice(_IMAGE, None)
        S = base[:, :, None, image, image] + diagonal(self._image, image)[:, None].diag_embed()
        factor = torch.linalg.cholesky_ex(S)[0]
        known = residual[:, None, None, image, None].expand(*S.shape[:-1], 1)
        if residual.shape[1] == _IMAGE:
            return _log_density(factor, torch.linalg.solve_triangular(factor, known, upper=False))[..., None]
        across = base[:, :, None, image, depth].expand(*S.shape[:-1], -1)
        white = torch.linalg.solve_triangular(factor, torch.cat([known, across], -1), upper=False)
        known, across = white[..., :1], white[..., 1:]
        rest = base[:, :, None, depth, depth] - across.mT @ across  # [B, E, I, 25, 25]
        error = residual[:, None, None, depth, None] - across.mT @ known
        rest = rest[:, :, :, None] + diagonal(self._depth, depth)[:, None, None].diag_embed()
        below = torch.linalg.cholesky_ex(rest)[0]
        white = torch.linalg.solve_triangular(below, error[:, :, :, None].expand(*rest.shape[:-1], 1), upper=False)
        return _log_density(factor, known)[..., None] + _log_density(below, white)

    def _of_detector(
        self, base: torch.Tensor, residual: torch.Tensor, used: torch.Tensor, relative: torch.Tensor,
        wrong: torch.Tensor,
    ) -> torch.Tensor:  # fmt: skip
        """[B, E, S] log evidence of noise like the detector's."""
        scales, used, independent = self._scales[:, None], used[:, None], (self._floor * relative)[:, None]
        inflated = inflation(independent + scales * self._variance, wrong[:, None], self.wrong_variance)
        S = base[:, :, None] + _noise(independent, self._scales, self.detector, used, inflated)[:, None]
        factor = torch.linalg.cholesky_ex(S)[0]
        known = residual[:, None, None, :, None].expand(*S.shape[:-1], 1)
        return _log_density(factor, torch.linalg.solve_triangular(factor, known, upper=False))


def _noise(
    independent: torch.Tensor, scale: torch.Tensor, detector: torch.Tensor, used: torch.Tensor, inflated: torch.Tensor
) -> torch.Tensor:
    """[..., n, n] for variances, bool and factors [..., n], and scale [...]."""
    factor = used * inflated
    noise = (factor[..., None] * factor[..., None, :]) * (scale[..., None, None] * detector)
    return noise + torch.where(used, independent * inflated.square(), 1.0).diag_embed()


def _log_density(factor: torch.Tensor, white: torch.Tensor) -> torch.Tensor:
    """Of normal vectors, up to a constant: Cholesky factors [..., n, n], whitened vectors [..., n, 1]."""
    return -factor.diagonal(dim1=-2, dim2=-1).log().sum(-1) - 0.5 * white[..., 0].square().sum(-1)
