"""The filters that refinement is compared with."""

from __future__ import annotations

import math

import pytest
import roma
import torch

from benchmarks.refinement.filters import Kalman, OneEuro, at_equal_jitter, smoother_matrix, tune

DT = 1 / 30


def turning(frames: int = 40, rate: float = 3.0) -> torch.Tensor:
    """Rotations [1, T, 3, 3] at a constant rate [rad/s], from somewhere."""
    axis = torch.nn.functional.normalize(torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64), dim=0)
    start = roma.rotvec_to_rotmat(torch.tensor([0.4, 1.0, -0.3], dtype=torch.float64))
    return (start @ roma.rotvec_to_rotmat(torch.arange(frames)[:, None] * DT * rate * axis))[None]


def noisy(x: torch.Tensor, size: float, seed: int = 0) -> torch.Tensor:
    g = torch.Generator().manual_seed(seed)
    return x @ roma.rotvec_to_rotmat(size * torch.randn(*x.shape[:-1], generator=g, dtype=x.dtype))


def angles(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return roma.rotmat_geodesic_distance(a, b)


def test_kalman_keeps_a_constant_rate_even_when_strong():
    """Through many turns of what a chart would wrap; the prior, whose mean rate is 0, costs a little at the start."""
    truth = turning(frames=90, rate=8.0)[:, :, None]
    found, _ = Kalman(strength=10.0)((truth, torch.zeros(1, 90, 3).double()), DT)
    assert float(angles(found, truth).max()) < 5e-3


def test_kalman_takes_noise_off_a_turn():
    """Strong enough to leave three numbers an axis, whose path is smooth though the axes turn by four radians."""
    truth = turning(frames=40, rate=3.0)[:, :, None]
    seen = noisy(truth, 0.1), torch.zeros(1, 40, 3).double()
    found, _ = Kalman(strength=10.0)(seen, DT)
    assert float(angles(found, truth).mean()) < 0.4 * float(angles(seen[0], truth).mean())
    assert float((found - truth).diff(n=3, dim=1).norm()) < 0.02


def test_kalman_is_an_ordinary_smoother_on_vectors():
    """The posterior mean of a linear Gaussian model, by one large least-squares problem over all states."""
    frames, cutoff = 12, 2.0
    g = torch.Generator().manual_seed(3)
    seen = torch.randn(1, frames, 3, generator=g, dtype=torch.float64)
    step = torch.tensor([[1, DT, DT**2 / 2], [0, 1, DT], [0, 0, 1]], dtype=torch.float64)
    density = (2 * math.pi * cutoff) ** 6 * DT
    jerk = density * torch.tensor([
        [DT**5 / 20, DT**4 / 8, DT**3 / 6], [DT**4 / 8, DT**3 / 3, DT**2 / 2], [DT**3 / 6, DT**2 / 2, DT]
    ], dtype=torch.float64)  # fmt: skip
    prior = torch.diag(torch.tensor([1.0, 1e2 / DT**2, 1e2 / DT**4], dtype=torch.float64))
    information, right = torch.zeros(3 * frames, 3 * frames, dtype=torch.float64), torch.zeros(3 * frames, 3).double()
    information[:3, :3] += torch.linalg.inv(prior)
    right[:3] += torch.linalg.inv(prior) @ torch.stack([seen[0, 0], *2 * [torch.zeros(3).double()]])
    for t in range(frames):
        information[3 * t, 3 * t] += 1.0
        right[3 * t] += seen[0, t]
        if t:
            both = torch.cat([-step, torch.eye(3).double()], 1)
            rows = slice(3 * t - 3, 3 * t + 3)
            information[rows, rows] += both.T @ torch.linalg.inv(jerk) @ both
    expected = torch.linalg.solve(information, right)[::3]
    torch.testing.assert_close(smoother_matrix(frames, cutoff, DT) @ seen[0], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", [OneEuro, Kalman])
def test_noise_becomes_less_and_a_stronger_filter_leaves_less_jitter(kind):
    truth = turning().expand(2, -1, -1, -1)[:, :, None]
    motions = noisy(truth, 0.1), torch.zeros(2, 40, 3, dtype=torch.float64)

    def jitter(x: torch.Tensor) -> float:
        return float(x.diff(n=3, dim=1).norm())

    weak, strong = (kind(strength=s)(motions, DT)[0] for s in (1.0, 4.0))
    assert float(angles(weak, truth).mean()) < 0.8 * float(angles(motions[0], truth).mean())
    assert jitter(strong) < jitter(weak) < 0.5 * jitter(motions[0])


@pytest.mark.parametrize("kind", [OneEuro, Kalman])
def test_the_strength_at_equal_jitter_is_found(kind):
    truth = turning()[:, :, None]
    motions = noisy(truth, 0.1), torch.zeros(1, 40, 3, dtype=torch.float64)

    def jitter(candidate) -> float:
        return float(candidate(motions, DT)[0].diff(n=3, dim=1).norm())

    wanted = 0.3 * jitter(kind())
    assert jitter(at_equal_jitter(kind(), jitter, wanted)) == pytest.approx(wanted, rel=2e-3)


def test_tuning_takes_the_candidate_of_least_error():
    assert tune(Kalman.grid(), lambda k: abs(k.rotation_hz - 2.2) + abs(k.pelvis_hz - 0.7)) == Kalman(2.2, 0.7)
