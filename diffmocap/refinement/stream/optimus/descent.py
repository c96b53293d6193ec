"""Steps of Optimus in the live refinement: memory, pairs and step length carry over from frame to frame.

The same step as :func:`diffmocap.refinement.stream.optimus.step.step_of`, which trains the network, for one stream and
without autograd: the encoders run as tensors when the knots move on, the rest as arrays and machine code.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from diffmocap.refinement.stream.metric_descent import FULL, SHORT, MetricDescent, bounded
from diffmocap.refinement.stream.optimus.network import FEATURES, MOST_EXPONENT, Seen, StreamOptimus
from diffmocap.refinement.stream.optimus.step import StreamMemory, facts_of, places_of
from diffmocap.refinement.stream.task import LiveTask
from diffmocap.refinement.window.metric import WindowMetric


@dataclass(frozen=True)
class _Weights:
    """The per-parameter network as arrays, inputs first."""

    of_vectors: np.ndarray
    of_facts: np.ndarray
    hidden: np.ndarray
    hidden_bias: np.ndarray
    out: np.ndarray
    out_bias: np.ndarray

    @classmethod
    def of(cls, network: StreamOptimus) -> _Weights:
        def array(x: torch.Tensor) -> np.ndarray:
            return np.ascontiguousarray(x.detach().numpy())

        return cls(
            array(network.vectors.weight.T), array(network.facts.weight.T), array(network.hidden.weight.T),
            array(network.hidden.bias), array(network.out.weight.T), array(network.out.bias),
        )  # fmt: skip


class OptimusDescent(MetricDescent):
    """A :class:`~diffmocap.refinement.stream.metric_descent.MetricDescent` whose steps the network shapes."""

    def __init__(self, network: StreamOptimus) -> None:
        super().__init__()
        self._network, self._weights = network, _Weights.of(network)
        self._memory: StreamMemory | None = None
        self._task: LiveTask | None = None

    def forget(self) -> None:
        super().forget()
        self._memory = None

    def knots_moved(self, by: int) -> None:
        super().knots_moved(by)
        if self._memory is not None:
            self._memory = self._memory.moved_on(torch.ones(1, dtype=torch.bool))

    def begin_frame(self, task: LiveTask, x: torch.Tensor) -> None:
        self.begin_steps(task, x, encode=task.window.frames <= SHORT)

    def begin_steps(self, task: LiveTask, x: torch.Tensor, encode: bool) -> None:
        """The next steps are of this problem, from x [1, N]; ``encode``: the encoders are to run before the first."""
        if self._memory is None or self._memory.last.shape != x.shape:
            self._memory = StreamMemory.empty(x, self._network.settings.factors)
        self._memory = self._memory.next_frame(x, self._network.fade, torch.tensor([encode]))
        self._task = task
        self._hold_factors()
        self._last, self._way = self._memory.last[0].numpy(), self._memory.way[0].numpy()

    def step(self, metric: WindowMetric, x: torch.Tensor, loss: float, gradient: torch.Tensor) -> torch.Tensor:
        if self._memory is None:  # forgotten within the frame
            self.begin_frame(self._task, x)
        g, spread = gradient.numpy().astype(np.float64), metric.spread
        if not np.isfinite(g).all():  # nothing may stay in memory of a gradient that is none
            self.forget()
            return torch.zeros_like(x[0])
        newton, quasi = metric.solve(g), self.direction(metric, g)
        scale = math.sqrt(max(float(g @ newton) / len(g), 1e-12))
        inverse = 1.0 / (spread * scale)
        vectors = np.empty((FEATURES, len(g)), np.float32)
        vectors[0] = g * (spread / scale)
        for row, part in enumerate((newton, quasi, self._last, self._way, x[0].numpy()), 1):
            np.multiply(part, inverse, out=vectors[row], casting="same_kind")
        facts = self._facts(loss, scale, g)
        if bool(self._memory.stale):
            self._encode(vectors, scale, facts)
        s, gate, momentum = self._gates(vectors, facts)
        learned = metric.solve(s * (scale / spread)) + (spread * scale) * self._through_factors(s)
        learned += momentum * self._last
        step = self.length * (learned / FULL - self._share * gate * quasi)
        taken = bounded(torch.from_numpy(step)).float()
        self._last, self._memory = taken.numpy(), self._memory.after(taken[None])
        return taken

    def _facts(self, loss: float, scale: float, g: np.ndarray) -> np.ndarray:
        known = facts_of([loss], [self._task], [self.length], self._memory.steps)[0]
        size = np.linalg.norm(g) * np.linalg.norm(self._last)
        cosine = float(g @ self._last) / size if size > 0 else 0.0
        return np.array([*known, math.log(scale), cosine], np.float32)

    def _encode(self, vectors: np.ndarray, scale: float, facts: np.ndarray) -> None:
        """What the encoders say of the window, and the factors that they add."""
        seen = Seen(
            torch.from_numpy(vectors.T)[None], torch.tensor([[scale]], dtype=torch.float32),
            torch.from_numpy(facts)[None], places_of(self._task)[None],
        )  # fmt: skip
        self._memory = self._memory.told(self._network.encode(seen))
        self._hold_factors()
        encoded = self._memory.encoded
        self._context, self._share = np.ascontiguousarray(encoded.context[0].T.numpy()), float(encoded.share)

    def _hold_factors(self) -> None:
        self._factors, self._of_factors = self._memory.factors[0].numpy(), self._memory.weights[0].numpy()

    def _gates(self, vectors: np.ndarray, facts: np.ndarray) -> np.ndarray:
        from diffmocap.refinement.stream.optimus.kernel import gates  # compiling may take a while

        w, c = self._weights, self._network.settings
        return gates(
            vectors, self._context, facts @ w.of_facts, w.of_vectors, w.hidden, w.hidden_bias, w.out, w.out_bias,
            np.float32(c.lambda_a), np.float32(c.lambda_b), np.float32(MOST_EXPONENT),
        )  # fmt: skip

    def _through_factors(self, s: np.ndarray) -> np.ndarray:
        return ((self._factors @ s) * (self._of_factors / len(s))) @ self._factors
