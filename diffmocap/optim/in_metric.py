"""A task in coordinates in which a given metric is the identity, so that every optimizer begins with its inverse.

A quasi-Newton method that begins with the identity first has to learn which parameters are stiff. Where the problems of
a family have much of their curvature M in common, that is known before: in y with x = x_0 + M^(-1/2) y the gradient
step -g is the step -M^-1 g, and BFGS that begins with B^0 = I there begins with B^0 = M^-1 (Nocedal and Wright 2006,
section 6.1). So does Optimus, whose B^0 is the identity (Gärtner et al. 2022, section 4).
"""

from __future__ import annotations

import torch

from diffmocap.errors import SettingsError
from diffmocap.optim.task import Task


class InMetric(Task):
    """The task ``task`` in coordinates y: the loss at y is that of ``task`` at ``origin`` + y ``root``.

    Args:
        origin: [B, N] where y is zero, which is where runs begin. root: M^(-1/2) [N, N], symmetric; the same for all
            problems of the task. Both on one device.

    Points of the task are in the dtype of ``root``; losses and gradients in that of y. The unit of first steps
    (``scale``) stays the task's, a cautious one: the natural first step is as long as the gradient.

    Raises:
        SettingsError: a matrix of another size, or one that is not symmetric.
    """

    def __init__(self, task: Task, origin: torch.Tensor, root: torch.Tensor) -> None:
        n = task.dimension
        if root.shape != (n, n) or origin.shape[1:] != (n,):
            raise SettingsError(
                f"{n} parameters want a matrix [{n}, {n}] and an origin [B, {n}]; got {list(root.shape)} and "
                f"{list(origin.shape)}"
            )
        if not bool((root - root.mT).abs().max() <= 1e-6 * root.abs().max()):
            raise SettingsError("the inverse square root of a metric must be symmetric")
        self.task, self.origin, self.root = task, origin.to(root), root
        self.shape, self.minimum, self.scale = task.shape, task.minimum, task.scale

    def point(self, y: torch.Tensor) -> torch.Tensor:
        """Parameters [B, N] of the task itself at y [B, N], in the dtype of the matrix."""
        return self.origin + y.to(self.root) @ self.root

    def init(self, count: int, generator: torch.Generator | None = None) -> torch.Tensor:
        if count != len(self.origin):
            raise SettingsError(f"this task holds {len(self.origin)} origins, and as many starts; asked for {count}")
        return torch.zeros_like(self.origin)

    def loss(self, x: torch.Tensor) -> torch.Tensor:
        return self.task.loss(self.point(x)).to(x)

    def loss_and_gradient(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        loss, gradient = self.task.loss_and_gradient(self.point(x))
        return loss.to(x), (gradient.to(self.root) @ self.root).to(x)

    def row(self, index: int) -> Task:
        return InMetric(self.task.row(index), self.origin[index : index + 1], self.root)

    def context(self, x: torch.Tensor) -> torch.Tensor | None:
        return self.task.context(self.point(x))
