"""What Optimus remembers of a stream, and the step that it takes: the same for a batch in training and for one live."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from diffmocap.refinement.stream.metric_descent import FULL, bounded
from diffmocap.refinement.stream.optimus.network import Encoded, Seen, StreamOptimus, through_factors
from diffmocap.refinement.stream.sliding_unknowns import without_first_knot
from diffmocap.refinement.stream.task import LiveTask

#: Times a symmetric matrix of each window: [B, N] to [B, N].
Product = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class StreamMemory:
    """What B streams carry from step to step and from frame to frame; not changed, replaced.

    Attributes:
        last: [B, N] the last step. start: [B, N] where the frame began. way: [B, N] what the last frame moved by.
        factors: [B, F, N] u_j in spreads, weights: [B, F]; the newest last.
        encoded: what the encoders said when the knots moved on the last time, None before they ran. stale: [B] bool
            where they are to run again. steps: taken in this frame.
    """

    last: torch.Tensor
    start: torch.Tensor
    way: torch.Tensor
    factors: torch.Tensor
    weights: torch.Tensor
    stale: torch.Tensor
    encoded: Encoded | None = None
    steps: int = 0

    @classmethod
    def empty(cls, x: torch.Tensor, factors: int) -> StreamMemory:
        """Of streams that begin at ``x`` [B, N]."""
        nothing = torch.zeros_like(x)
        many = nothing[:, None].expand(-1, factors, -1).clone()
        every = torch.ones(len(x), dtype=torch.bool)
        return cls(nothing, x, nothing, many, nothing[:, :factors].clone(), every)

    def moved_on(self, rows: torch.Tensor) -> StreamMemory:
        """The windows of ``rows`` [B] bool have lost their first knot and gained one, which nothing is known of."""

        def shifted(vectors: torch.Tensor, repeat: bool = False) -> torch.Tensor:
            here = rows.view(-1, *[1] * (vectors.dim() - 1))
            return torch.where(here, without_first_knot(vectors, repeat), vectors)

        return replace(
            self, last=shifted(self.last), start=shifted(self.start, repeat=True), factors=shifted(self.factors),
            stale=self.stale | rows,
        )  # fmt: skip

    def forgotten(self, rows: torch.Tensor, x: torch.Tensor) -> StreamMemory:
        """The streams of ``rows`` [B] bool begin anew at ``x`` [B, N]."""
        fresh, here = StreamMemory.empty(x, self.factors.shape[1]), rows[:, None]
        return replace(
            self, last=torch.where(here, fresh.last, self.last), start=torch.where(here, x, self.start),
            factors=torch.where(here[..., None], fresh.factors, self.factors),
            weights=torch.where(here, fresh.weights, self.weights), stale=self.stale | rows,
        )  # fmt: skip

    def told(self, new: Encoded) -> StreamMemory:
        """The encoders have run: what they say holds for the streams that were stale, and their factors come to those;
        as many as before are kept."""
        here, kept = self.stale[:, None], self.factors.shape[1]
        factors = torch.cat([self.factors, new.factors], 1)[:, -kept:]
        weights = torch.cat([self.weights, torch.ones_like(new.factors[..., 0])], 1)[:, -kept:]
        old = self.encoded or new
        encoded = Encoded(
            torch.where(here[..., None], new.context, old.context), new.factors,
            torch.where(here, new.share, old.share),
        )  # fmt: skip
        return replace(
            self, factors=torch.where(here[..., None], factors, self.factors),
            weights=torch.where(here, weights, self.weights), encoded=encoded, stale=torch.zeros_like(self.stale),
        )  # fmt: skip

    def after(self, step: torch.Tensor) -> StreamMemory:
        """A step [B, N] was taken."""
        return replace(self, last=step, steps=self.steps + 1)

    def next_frame(self, x: torch.Tensor, fade: torch.Tensor, encode: torch.Tensor) -> StreamMemory:
        """A frame begins at ``x`` [B, N]; what was before fades. ``encode``: [B] bool where the encoders are to run, as
        in windows that are so short that each is another problem."""
        way, weights = x - self.start, self.weights * fade
        return replace(self, start=x, way=way, weights=weights, stale=self.stale | encode, steps=0)


def facts_of(losses: list[float], tasks: list[LiveTask], lengths: list[float], steps: int) -> list[list[float]]:
    """What a step is told of its windows beside vectors, five numbers each; see :class:`~.network.Seen`, where
    two more follow from the vectors."""
    return [
        [
            math.log10(max(loss, 1e-3)), steps / 4.0, task.window.frames / 32.0, float(task.physics.weighs_forces),
            length / FULL,
        ]
        for loss, task, length in zip(losses, tasks, lengths, strict=True)
    ]  # fmt: skip


def places_of(task: LiveTask) -> torch.Tensor:
    """[Q, 3] of a window's knots: how far from the newest, how many of its frames each moves, how much the newest."""
    spline = task.parameters.spline
    age = torch.arange(spline.shape[1] - 1, -1, -1, dtype=spline.dtype)
    return torch.stack([(-0.5 * age).exp(), spline.sum(0) / 4.0, spline[-1]], -1)


def step_of(
    network: StreamOptimus, memory: StreamMemory, x: torch.Tensor, gradient: torch.Tensor, spread: torch.Tensor,
    facts: torch.Tensor, places: torch.Tensor, lengths: torch.Tensor, metric: Product, quasi: Product,
) -> tuple[torch.Tensor, StreamMemory]:  # fmt: skip
    """The step [B, N] from ``x`` with that gradient [B, N], and the memory after it.

    Args:
        spread: [B, N], see :attr:`diffmocap.refinement.window.metric.WindowMetric.spread`.
        facts, places: of :func:`facts_of` and :func:`places_of`. lengths: [B, 1] of the quasi-Newton step.
        metric: times H^-1. quasi: times the inverse Hessian of limited-memory BFGS that begins with it.
    """
    # A window without a gradient, such as one of NaN, takes no step and leaves nothing in memory.
    whole = gradient.detach().isfinite().all(-1, keepdim=True)
    gradient = torch.where(whole, gradient, 0.0)
    newton = quasi(gradient)
    seen = Seen.of(gradient, metric(gradient), newton, memory.last, memory.way, x, spread, facts, places)
    if bool(memory.stale.any()):
        memory = memory.told(network.encode(seen))
    encoded = memory.encoded
    s, gate, momentum = network.gates(seen, encoded)
    from_factors = through_factors(s, memory.factors, memory.weights)
    learned = metric(s * seen.scale / spread) + spread * seen.scale * from_factors + momentum * memory.last
    # Where the loss has risen the network is trusted less, as the quasi-Newton step is.
    step = torch.where(whole, bounded(lengths / FULL * learned - lengths * encoded.share * gate * newton), 0.0)
    return step, memory.after(step)
