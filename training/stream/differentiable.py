"""What a step sees of its window, as functions that gradients go through.

The window loss gives its value and gradient by hand-written machine code. The derivative of that gradient along a
vector, which backpropagation through a step needs, is a difference of two gradients; the Hessian is symmetric, so this
is the vector-Jacobian product as well. Products with the metric and with the quasi-Newton matrix are symmetric, too,
and their pairs are held fixed.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from diffmocap.refinement.stream.task import LiveTask

#: Largest change of an unknown in the difference of gradients.
_REACH = 2e-3


class LossAndGradient(torch.autograd.Function):
    """Losses [B] and gradients [B, N] of B tasks of one window each at x [B, N]."""

    @staticmethod
    def forward(ctx, x: torch.Tensor, tasks: list[LiveTask]) -> tuple[torch.Tensor, torch.Tensor]:
        losses, gradients = gradients_at(x, tasks)
        ctx.tasks = tasks
        ctx.save_for_backward(x, gradients)
        return losses, gradients

    @staticmethod
    def backward(ctx, of_losses, of_gradients):
        x, gradients = ctx.saved_tensors
        return of_losses[:, None] * gradients + hessian_times(x, of_gradients, ctx.tasks), None


def gradients_at(x: torch.Tensor, tasks: list[LiveTask]) -> tuple[torch.Tensor, torch.Tensor]:
    """Losses [B] and gradients [B, N]."""
    found = [task.loss_and_gradient(row[None]) for task, row in zip(tasks, x.detach(), strict=True)]
    return torch.cat([loss for loss, _ in found]), torch.cat([gradient for _, gradient in found])


def hessian_times(x: torch.Tensor, vectors: torch.Tensor, tasks: list[LiveTask]) -> torch.Tensor:
    """[B, N] second derivatives of the losses at x [B, N] along vectors [B, N], by central differences."""
    size = vectors.abs().amax(-1, keepdim=True).clamp_min(1e-30)
    moved = _REACH * vectors / size
    ahead, behind = gradients_at(x + moved, tasks)[1], gradients_at(x - moved, tasks)[1]
    return torch.nan_to_num((ahead - behind) * (0.5 * size / _REACH))


class Symmetric(torch.autograd.Function):
    """A symmetric matrix of each row times vectors [B, N]; ``products`` give it for a float64 vector [N]."""

    @staticmethod
    def forward(ctx, vectors: torch.Tensor, products: list[Callable[[np.ndarray], np.ndarray]]) -> torch.Tensor:
        ctx.products = products
        return _times(vectors, products)

    @staticmethod
    def backward(ctx, above):
        return _times(above, ctx.products), None


def _times(vectors: torch.Tensor, products: list[Callable[[np.ndarray], np.ndarray]]) -> torch.Tensor:
    rows = [product(row) for row, product in zip(vectors.detach().double().numpy(), products, strict=True)]
    return torch.from_numpy(np.stack(rows)).to(vectors)
