"""Weights of pose hypotheses over time, and which of them are one and the same pose.

The hypotheses are the particles of a marginal particle filter (Klaas, de Freitas, Doucet, "Toward Practical N^2 Monte
Carlo: the Marginal Particle Filter", UAI 2005): a sample's weight counts all hypotheses that it may have moved from,
so nobody has to decide which one it continues, and the order of the samples does not matter. Beliefs fade with time,
so a wrong one can be left.

Distances between poses are root mean squares over the joints' positions about the pelvis [m].
"""

from __future__ import annotations

import torch


def pose_distances(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """[A, B] m between joints [A, J, 3] and [B, J, 3] m that are given about their pelvis."""
    # cdist's default goes through products for many rows, and loses half the digits of small distances.
    exact = "donot_use_mm_for_euclid_dist"
    return torch.cdist(a.flatten(1), b.flatten(1), compute_mode=exact) / a.shape[1] ** 0.5


def start_weights(evidence: torch.Tensor, distances: torch.Tensor, spread_m: float) -> torch.Tensor:
    """Log-weights [K] of samples of which nothing is known but their evidence [K] in nats."""
    return (evidence - _crowd(distances, spread_m)).log_softmax(0)


def continued_weights(
    log_weights: torch.Tensor,
    moved: torch.Tensor,
    evidence: torch.Tensor,
    distances: torch.Tensor,
    spread_m: float,
    keep: float,
    birth: float,
) -> torch.Tensor:
    """Log-weights of this image's samples, normalised.

    Args:
        log_weights: [L] normalised, of the hypotheses before.
        moved: [K, L] m, distances of the samples from those.
        evidence: [K] nats that the samples would have if this image were all that was ever seen.
        distances: [K, K] m among the samples.
        spread_m: standard deviation of the distance by which a hypothesis moves.
        keep: share of the belief that is kept, 0 to 1; the image has the rest.
        birth: nats, log-probability of a pose that follows from none before.
    """
    carried = (keep * log_weights).log_softmax(0)
    prior = torch.logsumexp(carried - 0.5 * (moved / spread_m) ** 2, 1)
    prior = torch.logaddexp(prior, torch.full_like(prior, birth))
    return (prior + (1.0 - keep) * evidence - _crowd(distances, spread_m)).log_softmax(0)


def votes(distances: torch.Tensor, fresh: torch.Tensor, spread_m: float) -> torch.Tensor:
    """[K] log-share of the samples ``fresh`` [K] bool, drawn from the image alone, that look like each sample.

    Half a vote is added for and against (Jeffreys), as the fresh ones are few.
    """
    near = torch.exp(-0.5 * (distances[:, fresh] / spread_m) ** 2).sum(1)
    return torch.log((near + 0.5) / (fresh.sum() + 1.0))


def strongest_rival(
    log_weights: torch.Tensor, distances: torch.Tensor, followed: int, radius_m: float
) -> tuple[int, float]:
    """The sample that stands for the heaviest other pose, and how much heavier that pose is [nats].

    A pose is all samples within ``radius_m`` of one. Without another it is minus infinity.
    """
    near = distances < radius_m
    own = near[followed]
    rest = log_weights.masked_fill(own, -torch.inf)
    weight = torch.logsumexp(rest.masked_fill(~near, -torch.inf), 1).masked_fill(own, -torch.inf)
    pose = int(weight.argmax())
    ratio = weight[pose] - torch.logsumexp(log_weights[own], 0)
    return int(rest.masked_fill(~near[pose], -torch.inf).argmax()), float(ratio)


def representatives(log_weights: torch.Tensor, distances: torch.Tensor, radius_m: float) -> torch.Tensor:
    """[K] bool: samples that no heavier one within ``radius_m`` stands for."""
    heavier = log_weights[None, :] > log_weights[:, None]
    return ~(heavier & (distances < radius_m)).any(1)


def _crowd(distances: torch.Tensor, spread_m: float) -> torch.Tensor:
    """[K] log of how many samples stand at each one's place: many samples of one pose are not more evidence for it."""
    return torch.logsumexp(-0.5 * (distances / spread_m) ** 2, 1)
