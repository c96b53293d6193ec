"""The PES gradient: unbiased where the truth is known, and biased without its accumulators."""

from __future__ import annotations

import torch

from training.optim.pes import pes_gradient, without_finished

D, HORIZON, PIECE, PAIRS, SIGMA = 3, 6, 2, 60_000, 0.1
TARGET = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
THETA = torch.tensor([0.3, 0.1, -0.4], dtype=torch.float64)
CURVATURE = torch.tensor([1.0, 2.0, 0.5], dtype=torch.float64)


def inner_step(x: torch.Tensor, theta: torch.Tensor, t: int) -> torch.Tensor:
    """Linear in x and theta, so that the loss of a run is a quadratic of theta and smoothing leaves its gradient."""
    return 0.7 * x + (1 + 0.1 * t) * theta


def loss_of(x: torch.Tensor) -> torch.Tensor:
    return (CURVATURE * (x - TARGET).square()).sum(-1) / 2


def unroll(theta: torch.Tensor, states: tuple[torch.Tensor, int]) -> tuple[torch.Tensor, tuple[torch.Tensor, int]]:
    x, t = states
    total = torch.zeros(len(x), dtype=x.dtype)
    for _ in range(PIECE):
        x, t = inner_step(x, theta, t), t + 1
        total = total + loss_of(x)
    return total, (x, t)


def true_gradient() -> torch.Tensor:
    theta = THETA.clone().requires_grad_(True)
    x, total = torch.zeros(D, dtype=torch.float64), 0.0
    for t in range(HORIZON):
        x = inner_step(x, theta, t)
        total = total + loss_of(x)
    return torch.autograd.grad(total, theta)[0]


def estimate(keep: bool, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Summed over the pieces of a run: mean over many pairs, and its standard error."""
    generator = torch.Generator().manual_seed(seed)
    states = (torch.zeros(2 * PAIRS, D, dtype=torch.float64), 0)
    accumulators, samples = torch.zeros(PAIRS, D, dtype=torch.float64), 0.0
    for _ in range(HORIZON // PIECE):
        noise = SIGMA * torch.randn(PAIRS, D, generator=generator, dtype=torch.float64)
        step = pes_gradient(unroll, THETA, states, accumulators, noise, SIGMA)
        difference = (step.losses[:PAIRS] - step.losses[PAIRS:])[:, None]
        samples = samples + step.accumulators * difference / (2 * SIGMA**2)
        states = step.states
        accumulators = step.accumulators if keep else torch.zeros_like(accumulators)
    return samples.mean(0), samples.std(0) / PAIRS**0.5


def test_the_estimate_is_unbiased() -> None:
    mean, error = estimate(keep=True)
    assert ((mean - true_gradient()).abs() < 4 * error).all()
    assert (error < 0.03 * true_gradient().abs().max()).all()


def test_forgetting_the_perturbations_of_earlier_pieces_is_not() -> None:
    mean, error = estimate(keep=False)
    assert ((mean - true_gradient()).abs() > 10 * error).any()


def test_one_piece_is_an_antithetic_difference() -> None:
    noise = torch.tensor([[0.1, 0.0, -0.2], [0.05, 0.3, 0.0]], dtype=torch.float64)
    start = torch.zeros(4, D, dtype=torch.float64)
    before = 0.5 * torch.ones(2, D, dtype=torch.float64)
    step = pes_gradient(unroll, THETA, (start, 0), before, noise, 0.2)
    rows = []
    for eps in noise:
        plus, _ = unroll((THETA + eps)[None], (start[:1], 0))
        minus, _ = unroll((THETA - eps)[None], (start[:1], 0))
        rows.append((0.5 + eps) * (plus - minus) / (2 * 0.2**2))
    assert torch.allclose(step.gradient, torch.stack(rows).mean(0)) and torch.equal(step.accumulators, before + noise)
    assert torch.equal(before, torch.full_like(before, 0.5)) and step.losses.shape == (4,) and step.states[1] == PIECE


def test_estimates_of_groups_of_pairs_average_to_that_of_all() -> None:
    """What lets processes share the pairs: each takes some, and the mean of their gradients is the gradient."""
    generator = torch.Generator().manual_seed(1)
    noise = SIGMA * torch.randn(6, D, generator=generator, dtype=torch.float64)
    x, before = torch.zeros(12, D, dtype=torch.float64), torch.zeros(6, D, dtype=torch.float64)
    whole = pes_gradient(unroll, THETA, (x, 0), before, noise, SIGMA).gradient
    halves = [pes_gradient(unroll, THETA, (x[:6], 0), before[:3], part, SIGMA).gradient for part in noise.split(3)]
    assert torch.allclose(whole, (halves[0] + halves[1]) / 2)


def test_accumulators_of_finished_runs_start_again() -> None:
    left = without_finished(torch.ones(3, 2), torch.tensor([False, True, False]))
    assert left.tolist() == [[1, 1], [0, 0], [1, 1]]
