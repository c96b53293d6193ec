"""The cheapest way through states: Viterbi's algorithm ("Error bounds for convolutional codes", 1967)."""

from __future__ import annotations

import torch


def cheapest_path(costs: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:
    """[T] int64 states whose costs, with those of the steps between them, sum to the least.

    Args:
        costs: [T, K] of being in a state; inf where it cannot be.
        steps: [T-1, K, K] of going from a state (second dimension) to the next frame's (third).
    """
    cost, back = costs[0], []
    for step, own in zip(steps, costs[1:], strict=True):
        cost, best = (cost[:, None] + step).min(0)
        back.append(best)
        cost = cost + own
    path = [int(cost.argmin())]
    for best in reversed(back):
        path.append(int(best[path[-1]]))
    return torch.tensor(path[::-1])
