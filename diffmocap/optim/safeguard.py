"""A way back for optimizers without a line search: to the best point, when a step has gone wrong.

A learned step may overshoot, and where it lands nothing may be as it was in training. A point is therefore given up if
its loss is above all of the last few accepted ones (after the non-monotone rule of Grippo, Lampariello & Lucidi 1986,
without its sufficient decrease, with the ten of Raydan 1997): small rises, by which valleys and local minima are
crossed, are let pass. The way back to the best point is a step like any other, from which the optimizer learns how the
gradient changed. The best loss then counts as accepted once more, and the next step is half as long as the last try.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

#: Accepted losses that a new one is compared with.
RECENT = 10
#: What the length of steps is multiplied by after a point was given up, and after one that stayed, up to 1. The return
#: to the best point is one that stays, so the next try has SHORTER * LONGER of the length.
SHORTER, LONGER = 0.25, 2.0


@dataclass
class Safeguard:
    """``best`` [B, N] with ``best_loss`` [B]; ``recent`` [B, RECENT] accepted losses; ``trust`` [B, 1], what steps are
    multiplied by. Not changed by its methods."""

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
        """Where to go from ``x`` [B, N] with its ``loss`` [B]: along ``step`` [B, N], or back. A step that is no number
        is not taken."""
        accepted, after = self.accept(x, loss)
        step = torch.where(step.isfinite().all(-1, keepdim=True), step, 0.0)
        return torch.where(accepted[:, None], x + after.trust * step, after.best), after

    @torch.no_grad()
    def accept(self, x: torch.Tensor, loss: torch.Tensor) -> tuple[torch.Tensor, Safeguard]:
        """Whether ``x`` [B, N] with its ``loss`` [B] may stay [B], and the safeguard after it. A first loss may."""
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
