"""Descent for a stream: limited-memory BFGS on a known metric; pairs and step length carry over between windows."""

from __future__ import annotations

import math
from collections import deque
from copy import copy
from typing import Self

import numpy as np
import torch

from diffmocap.refinement.stream.task import LiveTask
from diffmocap.refinement.window.metric import WindowMetric

#: Pairs of steps and changes of the gradient that correct the metric.
PAIRS = 6
#: Windows up to this length have a metric of their own in every frame, longer ones when their knots move on.
SHORT = 8
#: Longest entry of a step, in units of the unknowns.
_LONGEST = 0.5
_SHORTER, _LONGER, _SHORTEST = 0.4, 1.6, 0.02
#: Largest fraction of the metric's own step, as the metric is a mean over poses: on streams half lowers the loss most.
FULL = 0.5
#: A pair is used if the cosine between its parts is above this.
_LEAST_COSINE = 1e-4


class MetricDescent:
    """Steps of limited-memory BFGS (Nocedal and Wright 2006, algorithm 7.4) whose first matrix is a metric's inverse.

    Without a line search, as evaluating a trial step costs as much as taking the next: the step length shrinks where
    the loss rose and grows back where it fell. It carries over from window to window, as pairs do while their knots
    stay.
    """

    def __init__(self) -> None:
        self._pairs: deque[tuple[np.ndarray, np.ndarray]] = deque(maxlen=PAIRS)
        self._length = FULL

    def forget(self) -> None:
        """The next problem is unrelated: drops all pairs and takes the full step length."""
        self._pairs.clear()
        self._length = FULL

    def copied(self) -> Self:
        """The same as it is now, to go its own way; of the same class, too."""
        other = copy(self)
        other._pairs = deque(self._pairs, maxlen=PAIRS)
        return other

    def knots_moved(self, by: int) -> None:
        """The window has lost its first ``by`` unknowns and gained as many at its end: pairs are shifted alike."""
        for i, pair in enumerate(self._pairs):
            self._pairs[i] = tuple(np.concatenate([part[by:], np.zeros(by)]) for part in pair)

    def learn(self, step: torch.Tensor, change: torch.Tensor) -> None:
        """Stores a step [N] and the change of the gradient [N] along it, both of one loss."""
        self._pairs.append((step.double().numpy().copy(), change.double().numpy().copy()))

    def judged(self, fell: bool) -> None:
        """Whether the loss fell along the last step."""
        self._length = min(FULL, _LONGER * self._length) if fell else max(_SHORTEST, _SHORTER * self._length)

    @property
    def length(self) -> float:
        """Fraction of the direction that the next step takes."""
        return self._length

    def begin_frame(self, task: LiveTask, x: torch.Tensor) -> None:
        """The next steps are of this problem, from x [1, N]; the metric's own do not ask."""

    def step(self, metric: WindowMetric, x: torch.Tensor, loss: float, gradient: torch.Tensor) -> torch.Tensor:
        """The step [N] to take from x [1, N] with this gradient [N]; the metric's own asks for no more."""
        return bounded(torch.from_numpy(-self._length * self.direction(metric, gradient.double().numpy())).to(gradient))

    def direction(self, metric: WindowMetric, gradient: np.ndarray) -> np.ndarray:
        """The approximate inverse Hessian times a vector [N]; symmetric and positive definite."""
        q, shares, pairs = gradient, [], []
        for s, y in self._pairs:
            product = s @ y
            if product > _LEAST_COSINE * math.sqrt((s @ s) * (y @ y)):
                pairs.append((s, y, product))
        for s, y, product in reversed(pairs):
            shares.append((s @ q) / product)
            q = q - shares[-1] * y
        r = metric.solve(q)
        for (s, y, product), share in zip(pairs, reversed(shares), strict=True):
            r = r + (share - (y @ r) / product) * s
        return r


def bounded(step: torch.Tensor) -> torch.Tensor:
    """A step without entries that are longer than any sensible one."""
    return step.clamp(-_LONGEST, _LONGEST)
