"""Descent for a stream: limited-memory BFGS on a known metric; pairs and step length carry over between windows."""

from __future__ import annotations

import math
from collections import deque

import numpy as np
import torch

from diffmocap.refinement.window.metric import WindowMetric

#: Pairs of steps and changes of the gradient that correct the metric.
PAIRS = 6
#: Longest entry of a step, in units of the unknowns.
_LONGEST = 0.5
_SHORTER, _LONGER, _SHORTEST = 0.4, 1.6, 0.02
#: Largest fraction of the metric's own step, as the metric is a mean over poses: on streams half lowers the loss most.
_FULL = 0.5
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
        self._length = _FULL

    def forget(self) -> None:
        """The next problem is unrelated: drops all pairs and takes the full step length."""
        self._pairs.clear()
        self._length = _FULL

    def knots_moved(self, by: int) -> None:
        """The window has lost its first ``by`` unknowns and gained as many at its end: pairs are shifted alike."""
        for i, pair in enumerate(self._pairs):
            self._pairs[i] = tuple(np.concatenate([part[by:], np.zeros(by)]) for part in pair)

    def learn(self, step: torch.Tensor, change: torch.Tensor) -> None:
        """Stores a step [N] and the change of the gradient [N] along it, both of one loss."""
        self._pairs.append((np.array(step, np.float64), np.array(change, np.float64)))

    def judged(self, fell: bool) -> None:
        """Whether the loss fell along the last step."""
        self._length = min(_FULL, _LONGER * self._length) if fell else max(_SHORTEST, _SHORTER * self._length)

    def step(self, metric: WindowMetric, gradient: torch.Tensor) -> torch.Tensor:
        """The step [N] to take from a point with this gradient [N]."""
        q, shares, pairs = gradient.double().numpy(), [], []
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
        return torch.from_numpy(np.clip(-self._length * r, -_LONGEST, _LONGEST)).to(gradient)
