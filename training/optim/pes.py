"""Persistent evolution strategies (Vicol, Metz & Sohl-Dickstein 2021): the gradient of long runs from short pieces.

A learned optimizer's loss over a run is noisy and its gradient explodes, so it is smoothed by perturbing theta. Instead
of whole runs, each of P pairs of runs takes one piece (a truncation) at theta + eps and theta - eps. A pair remembers
the sum of all its perturbations since its run began, which is what makes the estimate unbiased: a piece's loss depends
on all of them, through the state that it starts from. When a run ends its sum starts again from zero.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

#: From parameters [2P, D] and the states of 2P runs to the loss [2P] of one piece of each and the states after it. The
#: first P rows are the positive halves of the pairs, the others the negative ones.
Unroll = Callable[[torch.Tensor, Any], tuple[torch.Tensor, Any]]


@dataclass
class PesStep:
    """One estimate. ``gradient`` [D], ``accumulators`` [P, D], ``states`` after the piece and its ``losses`` [2P]."""

    gradient: torch.Tensor
    accumulators: torch.Tensor
    states: Any
    losses: torch.Tensor


def pes_gradient(
    unroll: Unroll, theta: torch.Tensor, states: Any, accumulators: torch.Tensor, noise: torch.Tensor, sigma: float
) -> PesStep:
    """The estimate from one piece of every pair; nothing is changed and nothing is drawn here.

    Args:
        theta: [D]. states: of the 2P runs, for ``unroll``. accumulators: [P, D] sum of each pair's perturbations before
            this piece. noise: [P, D] this piece's, from N(0, sigma^2).

    Its mean over the noise, summed over the pieces of a run, is the gradient of the run's loss smoothed by that noise:
    1 / (2 sigma^2 P) sum_p xi_p (L_p^+ - L_p^-) with xi_p the sum of perturbations, this piece's included.
    """
    pairs = len(noise)
    losses, states = unroll(torch.cat([theta + noise, theta - noise]), states)
    accumulators = accumulators + noise
    difference = losses[:pairs] - losses[pairs:]
    gradient = (accumulators * difference[:, None]).mean(0) / (2 * sigma**2)
    return PesStep(gradient, accumulators, states, losses)


def without_finished(accumulators: torch.Tensor, finished: torch.Tensor) -> torch.Tensor:
    """Accumulators [P, D] for the next pieces, where the runs of the pairs ``finished`` [P] begin anew."""
    return torch.where(finished[:, None], 0.0, accumulators)
