"""Runs of a learned optimizer, taken piece by piece, and what their loss is."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.nn.utils import vector_to_parameters

from diffmocap.optim.learned import LearnedOptimizer
from diffmocap.optim.optimizer import StepOptimizer
from diffmocap.optim.task import Task

#: Ratios to the start's excess below which nothing is gained, and to the reference above which nothing more is lost.
FLOOR, CEILING = 1e-20, 1e12
#: Share of its logarithm that the reference keeps in a step.
MEMORY = 0.9


@dataclass
class Episode:
    """A run of an optimizer on one problem's batch of starts, somewhere on its way.

    Attributes:
        state: the optimizer's. loss, gradient: [B] and [B, N] at ``state.x``. start: [B] loss of the starts.
        left: steps until it ends. reference: [B] what the next step's loss is compared with.
    """

    task: Task
    state: Any
    loss: torch.Tensor
    gradient: torch.Tensor
    start: torch.Tensor
    left: int
    reference: torch.Tensor

    @classmethod
    def begin(cls, optimizer: StepOptimizer, task: Task, x: torch.Tensor, horizon: int) -> Episode:
        """At the starts ``x`` [B, N], to end after ``horizon`` steps."""
        loss, gradient = task.loss_and_gradient(x)
        return cls(task, optimizer.init(task, x), loss, gradient, loss, horizon, loss)

    def after(self, state: Any, loss: torch.Tensor, gradient: torch.Tensor) -> Episode:
        """The episode after a step to ``state``."""
        loss = loss.detach()
        reference = followed(self.task, self.reference, loss, self.start)
        return replace(self, state=state, loss=loss, gradient=gradient, left=self.left - 1, reference=reference)


def least_excess(task: Task, start: torch.Tensor) -> torch.Tensor:
    """Excess [B] over the task's minimum below which nothing is gained, for starts with losses ``start`` [B].

    FLOOR of the start's, or what the digits of a loss near the minimum can tell.
    """
    kind = torch.finfo(start.dtype)
    return (FLOOR * (start - task.minimum)).clamp_min(max(8 * kind.eps * abs(task.minimum), kind.tiny))


def followed(task: Task, reference: torch.Tensor, loss: torch.Tensor, start: torch.Tensor) -> torch.Tensor:
    """The reference [B] after a step to ``loss`` [B]: it falls with the losses, about ten steps behind, never rises.

    Late steps are so worth as much as early ones. A task without a known minimum has its start for a reference.
    """
    if task.minimum is None:
        return reference
    least = least_excess(task, start)
    before = torch.maximum(reference - task.minimum, least)
    now = torch.nan_to_num(loss - task.minimum, nan=torch.inf, posinf=torch.inf)
    return before**MEMORY * torch.minimum(torch.maximum(now, least), before) ** (1 - MEMORY) + task.minimum


def meta_loss(
    task: Task, loss: torch.Tensor, start: torch.Tensor, reference: torch.Tensor | None = None
) -> torch.Tensor:
    """What losses [B] after a step are worth to a run that started at losses ``start`` [B].

    Functions differ by many orders of magnitude, in their scale and in how far they can be minimised. Where the minimum
    is known this counts the decades d that the excess over it has fallen by from ``reference`` [B], by default the
    start: -log(1 + d), with which half a decade on a function full of local minima is worth as much as several on a
    bowl, and -d where the excess has risen. Elsewhere it is the change over the size of the start's loss,
    f / |f_0| - sign(f_0), kept between -4 and 4.
    """
    if task.minimum is None:
        change = (loss - start) / start.abs().clamp_min(1e-12)
        return torch.nan_to_num(change, nan=4.0, posinf=4.0, neginf=-4.0).clamp(-4.0, 4.0)
    least = least_excess(task, start)
    excess = torch.maximum(loss - task.minimum, least)
    before = torch.maximum((start if reference is None else reference) - task.minimum, least)
    share = torch.nan_to_num(excess / before, nan=CEILING, posinf=CEILING)
    decades = -share.clamp(FLOOR, CEILING).log10()
    return -torch.where(decades > 0, decades.clamp_min(0.0).log1p(), decades)


def advance(optimizer: StepOptimizer, episode: Episode, steps: int) -> tuple[torch.Tensor, Episode]:
    """Mean meta-loss over the next ``steps`` steps and the starts, and the episode after them. No gradient."""
    with torch.no_grad():
        total, e = 0.0, episode
        for _ in range(steps):
            state = optimizer.step(e.state, e.loss, e.gradient)
            loss, gradient = e.task.loss_and_gradient(state.x)
            total = total + meta_loss(e.task, loss, e.start, e.reference).mean()
            e = e.after(state, loss, gradient)
    return total / steps, e


class PieceByPiece:
    """``unroll`` of :func:`~training.optim.pes.pes_gradient` for a learned optimizer: one episode a row of theta.

    Args:
        steps: of one piece.
    """

    def __init__(self, optimizer: LearnedOptimizer, steps: int) -> None:
        self.scratch, self.steps = copy.deepcopy(optimizer).requires_grad_(False), steps

    def __call__(self, thetas: torch.Tensor, episodes: list[Episode]) -> tuple[torch.Tensor, list[Episode]]:
        losses, after = [], []
        for theta, episode in zip(thetas, episodes):
            vector_to_parameters(theta, self.scratch.parameters())
            loss, episode = advance(self.scratch, episode, self.steps)
            losses.append(loss)
            after.append(episode)
        return torch.stack(losses).to(thetas), after


def backpropagated(
    optimizer: LearnedOptimizer,
    episodes: list[Episode],
    steps: int,
    second_order: bool = False,
    limit: float = 1.0,
) -> tuple[torch.Tensor, list[Episode]]:
    """Truncated backpropagation, the cheaper alternative to PES: leaves gradients of theta on the optimizer.

    The loss of a piece is differentiated through its steps, not through what came before it. With ``second_order`` also
    through the gradients that the optimizer sees, without which it does not learn what a step tells about the function.
    Returns the mean meta-loss and the episodes after the piece.
    """
    total, after = 0.0, []
    for e in episodes:
        piece = 0.0
        for k in range(steps):
            state = _stepped(optimizer, e, limit / (len(episodes) * len(e.start)))
            if second_order and k + 1 < steps:
                loss = e.task.loss(state.x)
                (gradient,) = torch.autograd.grad(loss.sum(), state.x, retain_graph=True, create_graph=True)
            else:  # a piece's last gradient is seen by the next piece alone
                loss, gradient = EvaluatedOnce.apply(state.x, e.task)
            piece = piece + meta_loss(e.task, loss, e.start, e.reference).mean()
            e = e.after(state, loss, gradient)
        piece = piece / steps / len(episodes)
        if piece.requires_grad:  # a piece beyond the clamps has no gradient
            piece.backward()
        total = total + piece.detach()
        after.append(_cut(e))
    return total, after


def supervised(optimizer: LearnedOptimizer, task: Task, x: torch.Tensor, steps: int) -> torch.Tensor:
    """Backpropagation through a whole run of a task whose truth is known, as Song et al. 2020 train learned gradient
    descent: leaves the gradient of theta on the optimizer. Returns the mean of ``task.error`` over the points after
    each of the steps.

    The gradients that the optimizer sees are inputs: nothing is differentiated twice.
    """
    state, total = optimizer.init(task, x), torch.zeros((), device=x.device)
    loss, gradient = task.loss_and_gradient(x)
    for k in range(steps):
        state = optimizer.step(state, loss, gradient)
        total = total + task.error(state.x).mean() / steps
        if k + 1 < steps:
            loss, gradient = task.loss_and_gradient(state.x)
    total.backward()
    return total.detach()


def side_by_side(
    optimizer: LearnedOptimizer, episodes: list[Episode], together: Callable[[Sequence[Task]], Task], limit: float = 1.0
) -> tuple[torch.Tensor, list[Episode]]:
    """:func:`backpropagated` for pieces of one step, all tasks evaluated as one: a simulation takes little longer for
    many bodies than for one, and runs at different iterations make better gradients than one run alone.

    Args:
        together: makes one task of those of the episodes, its rows in their order.
    """
    share = limit / sum(len(e.start) for e in episodes)
    states = [_stepped(optimizer, e, share) for e in episodes]
    sizes = [len(e.start) for e in episodes]
    found = EvaluatedOnce.apply(torch.cat([s.x for s in states]), together([e.task for e in episodes]))
    total, after = torch.zeros(()), []
    for e, state, loss, gradient in zip(episodes, states, *(part.split(sizes) for part in found)):
        total = total + meta_loss(e.task, loss, e.start, e.reference).mean() / len(episodes)
        after.append(_cut(e.after(state, loss, gradient)))
    if total.requires_grad:
        total.backward()
    return total.detach(), after


def _stepped(optimizer: LearnedOptimizer, e: Episode, limit: float) -> Any:
    """The optimizer's state after a step, with what flows back through it :func:`bounded`."""
    state = optimizer.step(e.state, e.loss, e.gradient)
    return replace(state, x=bounded(state.x, e.state.x, limit))


def _cut(e: Episode) -> Episode:
    """The episode without what led to it."""
    return replace(e, state=detached(e.state), gradient=e.gradient.detach())


class EvaluatedOnce(torch.autograd.Function):
    """Loss [B] and gradient [B, N] of a task at x [B, N], the loss differentiable by that very gradient.

    So a task is differentiated once for what the optimizer sees and for what trains it.
    """

    @staticmethod
    def forward(ctx, x: torch.Tensor, task: Task) -> tuple[torch.Tensor, torch.Tensor]:
        loss, gradient = task.loss_and_gradient(x)
        ctx.save_for_backward(gradient)
        ctx.mark_non_differentiable(gradient)
        return loss, gradient

    @staticmethod
    def backward(ctx, of_loss: torch.Tensor, of_gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        (gradient,) = ctx.saved_tensors
        return of_loss[:, None] * gradient, None


def bounded(x: torch.Tensor, before: torch.Tensor, limit: float) -> torch.Tensor:
    """The same x [B, N]. What flows back through it is kept so small that stretching the step from ``before`` by a
    factor 1 + c changes no problem's loss by more than ``limit`` c: one that explodes must not drown the others.

    A copy, so that the gradient at x, which the optimizer sees, is not touched.
    """
    if not x.requires_grad:
        return x
    step = torch.linalg.vector_norm(x.detach() - before.detach(), dim=-1, keepdim=True)
    largest = limit / step.clamp_min(1e-30)

    def bound(gradient: torch.Tensor) -> torch.Tensor:
        gradient = torch.nan_to_num(gradient, nan=0.0, posinf=0.0, neginf=0.0)
        length = torch.linalg.vector_norm(gradient, dim=-1, keepdim=True)
        return gradient * (largest / length.clamp_min(1e-30)).clamp_max(1.0)

    x.register_hook(bound)
    return x.clone()


def detached(state: Any) -> Any:
    """The same state, its tensors cut from the graph; dataclasses and objects with tensors are copied."""
    if isinstance(state, torch.Tensor):
        return state.detach()
    if isinstance(state, (list, tuple)):
        return type(state)(detached(part) for part in state)
    if hasattr(state, "__dict__"):
        other = copy.copy(state)
        vars(other).update({name: detached(part) for name, part in vars(state).items()})
        return other
    return state
