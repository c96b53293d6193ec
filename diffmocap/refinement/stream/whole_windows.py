"""The live refinement's steps on whole windows, offline: limited-memory BFGS that begins with the window's metric.

Without a network the steps are those of :class:`~diffmocap.refinement.stream.metric_descent.MetricDescent`. They reach
what SciPy's L-BFGS ends at in less than half of its evaluations, since its first matrix knows nothing of the problem,
and the metric's is most of what there is to know. With a network they are shaped by it, as in a stream.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from diffmocap.errors import SettingsError
from diffmocap.optim.optimizer import State, StepOptimizer
from diffmocap.optim.task import Task
from diffmocap.refinement.stream.metric_descent import MetricDescent
from diffmocap.refinement.stream.optimus.descent import OptimusDescent
from diffmocap.refinement.stream.optimus.network import StreamOptimus
from diffmocap.refinement.window.metric import WindowMetric
from diffmocap.refinement.window.task import WindowTask

#: Steps between two runs of the encoders.
PERIOD = 4


@dataclass
class WindowState(State):
    """Where B windows are.

    Attributes:
        task: the windows. metrics, descents: of each.
        best, gradient: [B, N] best points and the gradients there. loss: [B] there, infinity before the first
            evaluation. taken: [B, N] the last steps.
    """

    task: WindowTask
    metrics: list[WindowMetric]
    descents: list[MetricDescent]
    best: torch.Tensor
    loss: torch.Tensor
    gradient: torch.Tensor
    taken: torch.Tensor


class MetricSteps(StepOptimizer):
    """One evaluation, one step; from the best point, shorter where the loss rose.

    Only for :class:`~diffmocap.refinement.window.task.WindowTask`, which knows its metric, on the CPU.
    """

    def init(self, task: Task, x: torch.Tensor) -> WindowState:
        """The state of a run.

        Raises:
            SettingsError: the task has no metric.
        """
        if not hasattr(task, "metric"):
            raise SettingsError(
                f"{type(self).__name__} needs a metric, which windows of motion have; {type(task).__name__} has none"
            )
        metrics = [task.metric(row) for row in range(len(x))]
        nothing = torch.zeros_like(x)
        return WindowState(
            x, 0, task, metrics, [self._descent() for _ in metrics], x, x.new_full(x.shape[:1], torch.inf), nothing,
            nothing,
        )  # fmt: skip

    def step(self, state: WindowState, loss: torch.Tensor, gradient: torch.Tensor) -> WindowState:
        descents = [descent.copied() for descent in state.descents]
        fell = loss < state.loss  # not where it is NaN
        for row, descent in enumerate(descents):
            if state.step:
                descent.learn(state.taken[row], gradient[row] - state.gradient[row])
                descent.judged(bool(fell[row]))
        best = torch.where(fell[:, None], state.x, state.best)
        least, slope = torch.where(fell, loss, state.loss), torch.where(fell[:, None], gradient, state.gradient)
        taken = torch.stack([
            self._step(state, row, descent, best[row : row + 1], float(least[row]), slope[row])
            for row, descent in enumerate(descents)
        ])  # fmt: skip
        return WindowState(
            best + taken, state.step + 1, state.task, state.metrics, descents, best, least, slope, taken
        )  # fmt: skip

    def _descent(self) -> MetricDescent:
        return MetricDescent()

    def _step(
        self, state: WindowState, row: int, descent: MetricDescent, x: torch.Tensor, loss: float,
        gradient: torch.Tensor,
    ) -> torch.Tensor:  # fmt: skip
        """[N] the step from the best point x [1, N] of a window."""
        return descent.step(state.metrics[row], x, loss, gradient)


class OptimusSteps(MetricSteps):
    """The same with a network that shapes the steps; its encoders run before every :data:`PERIOD`-th.

    Args:
        network: trained on whole windows (``python -m training.stream --windows``). One of streams has seen six steps a
            frame at the most, and is behind the metric after ten.
    """

    def __init__(self, network: StreamOptimus) -> None:
        self.network = network

    def _descent(self) -> OptimusDescent:
        return OptimusDescent(self.network)

    def _step(
        self, state: WindowState, row: int, descent: OptimusDescent, x: torch.Tensor, loss: float,
        gradient: torch.Tensor,
    ) -> torch.Tensor:  # fmt: skip
        if state.step % PERIOD == 0:
            descent.begin_steps(state.task, x, encode=True)
        return descent.step(state.metrics[row], x, loss, gradient)
