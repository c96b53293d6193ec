"""One step of the correction against the textbook: whole matrices, inverses and automatic derivatives."""

from __future__ import annotations

import numpy as np
import pytest
import roma
import torch
from scipy.special import expit, softmax

from diffmocap.body.model import BodyModel
from diffmocap.lifting.correction.observation import Observation
from diffmocap.lifting.correction.pose_correction import PoseCorrection
from tests.lifting.golden_correction import covariances
from tests.lifting.test_keypoint_jacobian import in_double, turned

#: Standard deviations over the box's half-size and [m] of depths, as docs and settings have them.
IMAGE, DEPTH, DETECTOR, ERRORS = (0.0015, 0.006, 0.02, 0.05), (0.003, 0.02, 0.06, 0.15), (0.6, 1.5), (1.0, 4.0)
MISSING, WRONG = 4, 11


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return BodyModel.load()


class Dense:
    """Of one image with ``rows`` rows of which ``used`` [rows] count; a row is normal, or wrong altogether."""

    def __init__(self, used: np.ndarray, relative_noise: np.ndarray, detector: np.ndarray) -> None:
        rows = len(used)
        self.used, self.relative = used, relative_noise**2
        self.detector = detector[:rows, :rows]
        self.gross = np.repeat([0.25, 0.25, 0.5], 25)[:rows] ** 2
        self.image = np.arange(rows) < 50

    def noise(self, independent: np.ndarray, scale: float, wrong: np.ndarray) -> np.ndarray:
        """Covariance of all rows; each row's precision is the mean of a right and a wrong one's."""
        variance = independent + scale * self.detector.diagonal()
        larger = np.sqrt(1 / ((1 - wrong) / variance + wrong / self.gross) / variance)
        return (np.diag(independent) + scale * self.detector) * np.outer(larger, larger)

    def log_density(self, covariance: np.ndarray, residual: np.ndarray) -> float:
        """Of the used rows."""
        S, r = covariance[np.ix_(self.used, self.used)], residual[self.used]
        return -0.5 * (np.linalg.slogdet(S)[1] + r @ np.linalg.solve(S, r))

    def wrong(self, covariance: np.ndarray, residual: np.ndarray) -> np.ndarray:
        """Each keypoint's, and depth's, probability to be wrong: normal densities given all other rows."""
        found = np.zeros(len(residual))
        blocks = [[k, 25 + k] for k in range(25)] + [[k] for k in range(50, len(residual))]
        for block in blocks:
            if not self.used[block].all():
                continue
            rest = [i for i in np.flatnonzero(self.used) if i not in block]
            across = covariance[np.ix_(block, rest)] @ np.linalg.inv(covariance[np.ix_(rest, rest)])
            error = residual[block] - across @ residual[rest]
            C = covariance[np.ix_(block, block)] - across @ covariance[np.ix_(rest, block)]
            density = []
            for added in (0.0, self.gross[block[0]]):
                S = C + added * np.eye(len(block))
                density.append(-0.5 * (np.linalg.slogdet(S)[1] + error @ np.linalg.solve(S, error)))
            found[block] = expit(density[1] - density[0] + np.log(0.02 / 0.98))
        return found

    def level(self, errors: np.ndarray, place: np.ndarray, residual: np.ndarray, wrong: np.ndarray) -> tuple:
        """The candidates' mean by their evidence: independent variances, factors of the detector's covariance and of
        the errors."""
        candidates = [(e, np.where(self.image, i**2, d**2), 0.0, 1 / 16) for e in ERRORS for i in IMAGE for d in DEPTH]
        floor = np.where(self.image, IMAGE[0] ** 2, DEPTH[0] ** 2)
        candidates += [(e, floor, s**2, 1 / 2) for e in ERRORS for s in DETECTOR]
        evidence = [
            self.log_density(e * errors + place + self.noise(own * self.relative, s, wrong), residual) + np.log(prior)
            for e, own, s, prior in candidates
        ]
        share = softmax(evidence)
        independent = sum(p * own * self.relative for p, (_, own, _, _) in zip(share, candidates))
        scale = sum(p * s for p, (_, _, s, _) in zip(share, candidates))
        return independent, scale, np.exp(sum(p * np.log(e) for p, (e, _, _, _) in zip(share, candidates)))


@pytest.mark.parametrize("depth", [False, True])
def test_a_step_is_kalmans(body, depth):
    """Whatever is known: with a missing keypoint, a wrong one, and one that is told to be noisy."""
    g, rows = torch.Generator().manual_seed(4), 75 if depth else 50
    double, of_errors = in_double(body), covariances()
    covariance, detector = of_errors.poses[0].numpy(), of_errors.detector.numpy()
    truth = roma.rotvec_to_rotmat(0.3 * torch.randn(24, 3, generator=g, dtype=torch.float64))
    truth[0] = torch.tensor([1.0, -1.0, -1.0]).double().diag() @ truth[0]
    start = turned(truth, 0.06 * torch.randn(72, generator=g, dtype=torch.float64))
    place, half_size = torch.tensor([0.2, 0.1, 3.0], dtype=torch.float64), 0.33

    def predicted(rotations: torch.Tensor, place: torch.Tensor, shape: torch.Tensor) -> torch.Tensor:
        x, y, z = double.keypoints(rotations[None], place[None], shape[None])[0].unbind(-1)
        return torch.cat([x / z / half_size, y / z / half_size, z - z[8]])[:rows]

    def of_step(step: torch.Tensor) -> torch.Tensor:
        return predicted(turned(start, step[:72]), place + step[72:75], step[75:])

    values = predicted(truth, place + 0.02, torch.zeros(10).double())
    values = (values + 0.004 * torch.randn(rows, generator=g, dtype=torch.float64)).numpy()
    values[WRONG] += 0.5
    confidence, relative = np.ones(25), np.ones(25)
    confidence[MISSING], relative[2] = 0.0, 3.0
    seen = np.tile(confidence > 0, rows // 25)
    values[~seen] = 0.0
    observation = Observation(values[None], seen[None], np.array([half_size]), np.tile(relative, rows // 25)[None])
    correction = PoseCorrection(body, detector)
    found = correction(start.numpy()[None, None], place.numpy()[None, None], observation, covariance[None], 1)

    J = torch.autograd.functional.jacobian(of_step, torch.full((85,), 1e-9, dtype=torch.float64)).numpy()
    residual = np.where(seen, values - of_step(torch.zeros(85).double()).numpy(), 0.0)
    errors = J[:, :72] @ covariance @ J[:, :72].T
    body_part = J[:, 72:75] @ J[:, 72:75].T + 0.8**2 * J[:, 75:] @ J[:, 75:].T
    dense = Dense(seen, observation.relative_noise[0], detector)
    rough = dense.noise(detector.diagonal()[:rows] * dense.relative, 0.0, np.zeros(rows))
    wrong = dense.wrong(errors + body_part + rough, residual)
    np.testing.assert_allclose(found.wrong[0, 0], wrong, atol=1e-6)
    assert wrong[WRONG] > 0.9 and wrong[MISSING] == 0.0 and np.median(wrong) < 0.1
    independent, scale, factor = dense.level(errors, body_part, residual, wrong)
    np.testing.assert_allclose(found.independent[0, 0], independent, rtol=1e-5)
    np.testing.assert_allclose(found.factors[0, 0], [scale, factor], rtol=1e-5, atol=1e-9)
    S = factor * errors + body_part + dense.noise(independent, scale, wrong)
    S[~seen], S[:, ~seen] = 0.0, 0.0
    S[~seen, ~seen] = 1.0
    gain = np.linalg.solve(S, residual)
    step = np.concatenate([factor * covariance @ J[:, :72].T @ gain, J[:, 72:75].T @ gain])
    assert found.changed[0, 0] and 0.05 < np.abs(step[:72]).max() < 0.5
    np.testing.assert_allclose(found.rotations[0, 0], turned(start, torch.from_numpy(step[:72])), atol=1e-6)
    np.testing.assert_allclose(found.pelvis[0, 0], place.numpy() + step[72:], atol=1e-6)
