"""How exact the keypoints are, judged by their own image: the evidence of several levels of noise.

Keypoints hang together: a head or a foot is rigid, limbs have lengths, and the network's errors have a measured
covariance. So the residual that the network's pose leaves tells whether the keypoints are exact, noisy, or have the
errors of the detector. Every candidate is weighed by its marginal likelihood (MacKay 1992, "Bayesian interpolation"),
and the noise that is used is the candidates' mean by these weights.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from diffmocap.lifting.correction.error_covariance import IMAGE_ROWS, ROWS
from diffmocap.lifting.correction.outliers import inflation_of

#: Independent noise: standard deviations over the box's half-size; of depths [m].
IMAGE_NOISE = (0.0015, 0.005, 0.015, 0.04)
DEPTH_NOISE_M = (0.003, 0.02, 0.06, 0.15)
#: Noise like the detector's: factors of its measured standard deviations.
DETECTOR_SCALES = (0.5, 1.0, 2.0)
#: The network's errors in this image, as factors of the measured covariance.
ERROR_SCALES = (1.0, 4.0)


@dataclass(frozen=True)
class NoiseLevel:
    """Noise of B observations: ``diag(independent) + detector * D`` with the detector's covariance D.

    Attributes:
        independent: [B, n] variances. detector: [B] factors of D. errors: [B] factors of the network's covariance.
    """

    independent: torch.Tensor
    detector: torch.Tensor
    errors: torch.Tensor

    def variances(self, detector: torch.Tensor) -> torch.Tensor:
        """[B, n] of the rows, for D [n, n]."""
        return self.independent + self.detector[:, None] * detector.diagonal()

    def covariance(self, used: torch.Tensor, detector: torch.Tensor, inflation: torch.Tensor) -> torch.Tensor:
        """[B, n, n] for D [n, n], each row's standard deviation times ``inflation`` [B, n].

        What is not ``used`` [B, n] bool has a variance of 1 and is independent.
        """
        factor = used * inflation
        S = (factor[:, :, None] * factor[:, None]) * (self.detector[:, None, None] * detector)
        S.diagonal(dim1=-2, dim2=-1).add_(torch.where(used, self.independent * inflation.square(), 1.0))
        return S


class NoiseCandidates:
    """The candidates for n rows: noise [M, n, n] and the network's error scale [M], all as likely beforehand but that
    each kind of noise has half of the weight.

    Args:
        detector: [75, 75] covariance of the detector's errors.
        rows: n, 50 or 75.
    """

    def __init__(self, detector: torch.Tensor, rows: int) -> None:
        device = detector.device
        image = torch.tensor(IMAGE_NOISE, dtype=torch.float64, device=device)
        depth = torch.tensor(DEPTH_NOISE_M if rows == ROWS else DEPTH_NOISE_M[:1], dtype=torch.float64, device=device)
        pairs = torch.cartesian_prod(image, depth)
        counts = torch.tensor((IMAGE_ROWS, rows - IMAGE_ROWS), device=device)
        independent = pairs.square().repeat_interleave(counts, 1)  # [I, n]
        scales = torch.tensor(DETECTOR_SCALES, dtype=torch.float64, device=device).square()
        i, d, e = len(independent), len(scales), len(ERROR_SCALES)
        # The floor of the detector's noise is that of the most exact keypoints.
        independent = torch.cat([independent, independent[:1].expand(d, -1)])
        factors = torch.cat([torch.zeros_like(independent[:i, 0]), scales])
        prior = torch.cat([torch.full_like(factors[:i], 1 / i), torch.full_like(scales, 1 / d)]).log()
        self.independent, self.factors = independent.repeat(e, 1), factors.repeat(e)
        self.errors = torch.tensor(ERROR_SCALES, dtype=torch.float64, device=device).repeat_interleave(i + d)
        self.log_prior = prior.repeat(e)
        self.detector = detector[:rows, :rows]

    def weigh(
        self, residual: torch.Tensor, from_errors: torch.Tensor, from_body: torch.Tensor, used: torch.Tensor,
        relative_noise: torch.Tensor, wrong: torch.Tensor,
    ) -> NoiseLevel:  # fmt: skip
        """The mean noise level by evidence.

        Args:
            residual: [B, n], 0 where not used.
            from_errors: [B, n, n] covariance of the residual by the network's errors; from_body: by place and shape.
            used: [B, n] bool. relative_noise: [B, n], see :class:`Observation`.
            wrong: [B, n] probability that a row is wrong altogether.
        """
        used = used[:, None]
        independent = self.independent * relative_noise[:, None].square()  # [B, M, n]
        inflation = inflation_of(independent + self.factors[:, None] * self.detector.diagonal(), wrong[:, None]) * used
        S = (self.factors[:, None, None] * self.detector) * (inflation[..., None] * inflation[..., None, :])
        S += self.errors[:, None, None] * from_errors[:, None]
        S += from_body[:, None]
        S.diagonal(dim1=-2, dim2=-1).add_(torch.where(used, independent * inflation.square(), 1.0))
        factor, failed = torch.linalg.cholesky_ex(S)
        white = torch.linalg.solve_triangular(factor, residual[:, None, :, None].expand(*S.shape[:3], 1), upper=False)
        evidence = -factor.diagonal(dim1=-2, dim2=-1).log().sum(-1) - 0.5 * white[..., 0].square().sum(-1)
        evidence = torch.where((failed == 0) & evidence.isfinite(), evidence + self.log_prior, -1e30)
        weights = evidence.softmax(-1)  # [B, M]
        independent = (weights[:, None] @ independent)[:, 0]
        return NoiseLevel(independent, weights @ self.factors, (weights @ self.errors.log()).exp())
