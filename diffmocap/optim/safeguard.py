"""Return to the best point when a step has gone wrong, for optimizers without a line search.

A learned step may overshoot to a point unlike any seen in training. A point is therefore rejected if its loss exceeds
all of the last ten accepted losses. This is the non-monotone rule of Grippo, Lampariello & Lucidi (1986) with the
memory of Raydan (1997) and without the sufficient-decrease condition: small increases, by which the iterate leaves
local minima and follows valleys, are accepted. The return to the best point is a step like any other, and the optimizer
learns from it how the gradient changed. The best loss then counts as accepted once more, and the next step has half the
rejected length.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

#: Number of accepted losses that a new one is compared with.
RECENT = 10
#: Factors of the step length after a rejected and after an accepted point; the length is at most 1. The return to the
#: best point is accepted, so that the next step has SHORTER * LONGER times the rejected length.
SHORTER, LONGER = 0.25, 2.0


@dataclass
class Safeguard:
    """``best`` [B, N] with ``best_loss`` [B]; ``recent`` [B, RECENT] accepted losses; ``trust`` [B, 1], the factor of
    the step length. Immutable: its methods return a new one."""

    best: torch.Tensor
    best_loss: torch.Tensor
    recent: torch.Tensor
    trust: torch.Tensor

    @classmethod
    def begin(cls, x: torch.Tensor) -> Safeguard:
        """For runs from ``x`` [B, N], whose losses are not known yet."""
        unknown = torch.full_like(x[:, 0], torch.inf)
        return cls(x, unknown, unknown[:, None].expand(-1, RECENT), torch.ones_like(x[:, :1]))

    def next(self, x: torch.Tensor, loss: torch.Tensor, step: torch.Tensor) -> tuple[torch.Tensor, Safeguard]:
        """The next point from ``x`` [B, N] with its ``loss`` [B]: along ``step`` [B, N], or the best one where ``x`` is
        rejected. A step that is NaN or infinite is not taken."""
        accepted, after = self.accept(x, loss)
        step = torch.where(step.isfinite().all(-1, keepdim=True), step, 0.0)
        return torch.where(accepted[:, None], x + after.trust * step, after.best), after

    @torch.no_grad()
    def accept(self, x: torch.Tensor, loss: torch.Tensor) -> tuple[torch.Tensor, Safeguard]:
        """Whether ``x`` [B, N] with its ``loss`` [B] is accepted [B], and the next safeguard. A first loss is."""
        loss = torch.nan_to_num(loss.to(self.best_loss), nan=torch.inf, posinf=torch.inf, neginf=torch.inf)
        accepted = loss <= self.recent.amax(-1)
        better = (loss < self.best_loss) & accepted
        recent = torch.where(self.recent.isinf(), loss[:, None], self.recent)
        recent = torch.cat([recent[:, 1:], loss[:, None]], 1)
        trust = torch.where(accepted[:, None], (LONGER * self.trust).clamp_max(1.0), SHORTER * self.trust)
        return accepted, Safeguard(
            torch.where(better[:, None], x.detach(), self.best), torch.where(better, loss, self.best_loss),
            torch.where(accepted[:, None], recent, self.recent), trust,
        )  # fmt: skip
