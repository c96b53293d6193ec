"""Steps of Optimus in the live refinement: memory, pairs and step length carry over from frame to frame."""

from __future__ import annotations

import numpy as np
import torch

from diffmocap.refinement.stream.metric_descent import MetricDescent
from diffmocap.refinement.stream.optimus_steps import StreamMemory, facts_of, places_of, step_of
from diffmocap.refinement.stream.stream_optimus import StreamOptimus
from diffmocap.refinement.stream.task import LiveTask
from diffmocap.refinement.window.metric import WindowMetric


class OptimusDescent(MetricDescent):
    """A :class:`~diffmocap.refinement.stream.metric_descent.MetricDescent` whose steps the network shapes."""

    def __init__(self, network: StreamOptimus) -> None:
        super().__init__()
        self._network, self._memory, self._task = network, None, None

    def forget(self) -> None:
        super().forget()
        self._memory = None

    def knots_moved(self, by: int) -> None:
        super().knots_moved(by)
        if self._memory is not None:
            self._memory = self._memory.moved_on(torch.ones(1, dtype=torch.bool))

    def begin_frame(self, task: LiveTask, x: torch.Tensor) -> None:
        if self._memory is None or self._memory.last.shape != x.shape:
            self._memory = StreamMemory.empty(x, self._network.settings.factors)
        self._memory = self._memory.next_frame(x, self._network.fade)
        self._task, self._places = task, places_of(task)[None]

    def step(self, metric: WindowMetric, x: torch.Tensor, loss: float, gradient: torch.Tensor) -> torch.Tensor:
        if self._memory is None:  # forgotten within the frame
            self.begin_frame(self._task, x)
        spread = torch.from_numpy(metric.spread).to(x)[None]
        facts = facts_of(x.new_tensor([loss]), [self._task], [self.length], self._memory.steps)
        step, self._memory = step_of(
            self._network, self._memory, x, gradient[None], spread, facts, self._places,
            x.new_tensor([[self.length]]), _times(metric.solve, x), _times(lambda v: self.direction(metric, v), x),
        )  # fmt: skip
        return step[0]


def _times(product, like: torch.Tensor):
    """A product with a vector [N] of float64 as one with a batch [1, N] of tensors."""
    return lambda v: torch.from_numpy(product(v[0].numpy().astype(np.float64))).to(like)[None]
