"""The result of a run, with the loss of every evaluation."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass
class Result:
    """Runs on B problems side by side; T is the largest number of evaluations that one of them needed.

    A problem that ended earlier repeats its last entries, so that rows may be averaged.

    Attributes:
        x: [B, N] the best point that was evaluated. loss: [B] its loss.
        last: [B, N] the point where the run ended.
        losses: [T, B] loss of every evaluation in its order, those of line searches included; NaN is
            stored as infinity.
        iterations: [T, B] number of the step that each evaluation belongs to, 0 for the start.
        seconds: [T, B] time since the beginning of the run, after each evaluation. Problems that ran side by side share
            theirs.
        evaluations: [B] how many each problem needed.
        reasons: why each problem ended: ``budget``, ``criterion``, or what the solver says.
    """

    x: torch.Tensor
    loss: torch.Tensor
    last: torch.Tensor
    losses: torch.Tensor
    iterations: torch.Tensor
    seconds: torch.Tensor
    evaluations: torch.Tensor
    reasons: list[str]

    def best_so_far(self) -> torch.Tensor:
        """Least loss [T, B] up to each evaluation."""
        return self.losses.cummin(0).values

    def by_iteration(self) -> torch.Tensor:
        """Least loss [K + 1, B] up to the end of each iteration 0 .. K, K being the most that a problem took."""
        best, rows = self.best_so_far(), []
        for k in range(int(self.iterations.max()) + 1):
            last = (self.iterations <= k).sum(0) - 1
            rows.append(best.gather(0, last[None])[0])
        return torch.stack(rows)

    def then(self, other: Result) -> Result:
        """This run followed by another on the same problems, as one; the later one's reasons stand.

        Going from where this one ended to the other's start counts as an iteration.
        """
        pieces = []
        for b in range(len(self.loss)):
            mine, theirs = int(self.evaluations[b]), int(other.evaluations[b])
            pieces.append((
                torch.cat([self.losses[:mine, b], other.losses[:theirs, b].to(self.losses)]),
                torch.cat([self.iterations[:mine, b], self.iterations[mine - 1, b] + 1 + other.iterations[:theirs, b]]),
                torch.cat([self.seconds[:mine, b], self.seconds[mine - 1, b] + other.seconds[:theirs, b]]),
            ))  # fmt: skip
        losses, iterations, seconds = (pad(column) for column in zip(*pieces))
        better = other.loss < self.loss
        return Result(
            torch.where(better[:, None], other.x, self.x), torch.where(better, other.loss, self.loss), other.last,
            losses, iterations, seconds, self.evaluations + other.evaluations, other.reasons,
        )  # fmt: skip


def pad(columns: tuple[torch.Tensor, ...] | list[torch.Tensor]) -> torch.Tensor:
    """Histories of different lengths side by side, [T, B]: the shorter ones repeat their last entry."""
    length = max(len(c) for c in columns)
    return torch.stack([torch.cat([c, c[-1:].expand(length - len(c))]) for c in columns], 1)
