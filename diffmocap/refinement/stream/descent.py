"""Optimizer steps of the live refinement: as many as a frame has time for, continued in the next frame."""

from __future__ import annotations

import torch

from diffmocap.optim.optimizer import Optimizer, StepOptimizer
from diffmocap.optim.stopping import Budget
from diffmocap.refinement.kernels.units import KNOT_SIZE
from diffmocap.refinement.stream.metric_descent import SHORT, MetricDescent
from diffmocap.refinement.stream.optimus.descent import OptimusDescent
from diffmocap.refinement.stream.optimus.network import StreamOptimus
from diffmocap.refinement.stream.optimus.weights import shipped_stream_optimus
from diffmocap.refinement.stream.settings import METRIC, OPTIMUS, LiveSettings
from diffmocap.refinement.stream.task import LiveTask
from diffmocap.refinement.stream.time_budget import TimeBudget
from diffmocap.refinement.window.body_points import BodyPoints
from diffmocap.refinement.window.metric import WindowMetric


class LiveDescent:
    """Descends the loss of one window after the other, each from the last solution, while there is time.

    Args:
        points: the body, float32.
        budget: of the frame; begun and ended by the caller.
    """

    def __init__(self, points: BodyPoints, budget: TimeBudget) -> None:
        self._points, self._budget = points, budget
        self._steps: MetricDescent = MetricDescent()
        self._optimus: StreamOptimus | None = None
        self._metric: WindowMetric | None = None

    def begin(self) -> None:
        """Another track, or another loss: drops metric and pairs."""
        self.forget()
        self._metric = None

    def forget(self) -> None:
        """The next solution does not continue the last one: drops the pairs."""
        self._steps.forget()

    def knots_moved(self) -> None:
        """The first knot has left the window, and a new one follows the last."""
        self._steps.knots_moved(KNOT_SIZE)
        self._metric = None

    def judged(self, fell: bool) -> None:
        """Whether the loss fell along the last step, where the caller computed it after :meth:`descend`."""
        self._steps.judged(fell)

    def descend(
        self, task: LiveTask, x: torch.Tensor, settings: LiveSettings
    ) -> tuple[torch.Tensor, torch.Tensor, float, int]:
        """From x [1, N]: the next trial point, the best point evaluated and its loss, and the number of steps taken."""
        self._budget.start_iterations()
        self._choose(settings.optimizer if settings.iterations > 1 else METRIC)
        if isinstance(settings.optimizer, StepOptimizer):
            return self._stepped(settings.optimizer, task, x)
        if isinstance(settings.optimizer, Optimizer):
            return self._minimized(settings.optimizer, task, x, settings.iterations)
        return self._along_metric(task, x, settings.spacing)

    def _choose(self, optimizer: Optimizer | StreamOptimus | str) -> None:
        """Steps that begin with the metric are the metric's own or the network's; others have no use for them.

        The network's come with others that mend what they overdid. Alone in their frames they moved a person who sat
        still by up to 7 cm, so a single step a frame is the metric's.
        """
        optimus = shipped_stream_optimus() if optimizer == OPTIMUS else optimizer
        optimus = optimus if isinstance(optimus, StreamOptimus) else None
        if optimus is not self._optimus:
            self._optimus, self._steps = optimus, OptimusDescent(optimus) if optimus else MetricDescent()

    def _along_metric(
        self, task: LiveTask, x: torch.Tensor, spacing: int
    ) -> tuple[torch.Tensor, torch.Tensor, float, int]:
        """:meth:`descend` by steps that begin with the metric: its own, or those of the stream's Optimus."""
        taken, step = 0, None
        best, best_loss, best_slope = x, float("inf"), torch.zeros_like(x[0])
        self._steps.begin_frame(task, x)
        while self._budget.another():
            loss, gradient = task.loss_and_gradient(x)
            value, slope = float(loss[0]), gradient[0]
            if step is not None:
                self._steps.learn(step, slope - best_slope)
                self._steps.judged(value < best_loss)
            if value < best_loss:
                best, best_loss, best_slope = x, value, slope
            elif step is None:
                break  # NaN at the start: nothing to descend from
            step = self._steps.step(self._metric_of(task, spacing), best, best_loss, best_slope)
            x = best + step
            taken += 1
            self._budget.iterated()
        return x, best, best_loss, taken

    def _stepped(
        self, optimizer: StepOptimizer, task: LiveTask, x: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, float, int]:
        """:meth:`descend` by an optimizer without line search: an evaluation and a step at a time, while they fit."""
        state, taken = optimizer.init(task, x), 0
        best, best_loss = x, float("inf")
        while self._budget.another():
            loss, gradient = task.loss_and_gradient(state.x)
            value = float(loss[0])
            if value < best_loss:
                best, best_loss = state.x.to(x), value
            elif not taken:
                break  # NaN at the start: nothing to descend from
            state = optimizer.step(state, loss, gradient)
            taken += 1
            self._budget.iterated()
        return state.x.to(x), best, best_loss, taken

    def _minimized(
        self, optimizer: Optimizer, task: LiveTask, x: torch.Tensor, iterations: int
    ) -> tuple[torch.Tensor, torch.Tensor, float, int]:
        """:meth:`descend` by an optimizer that looks along lines: one run, ended by the time that is left."""
        start, taken = x, 0
        if iterations and self._budget.another():
            limit = Budget(evaluations=iterations + 1, seconds=self._budget.left_s())
            result = optimizer.minimize(task, x, limit)
            x, taken = result.x.to(x), int(result.iterations.max())
            self._budget.iterated(max(taken, 1))
        return x, start, float("inf"), taken

    def _metric_of(self, task: LiveTask, spacing: int) -> WindowMetric:
        """The metric, which holds until the knots move on or the ground changes."""
        if self._metric is None or task.window.frames <= SHORT:
            self._metric = metric_of(task, self._points, spacing)
        return self._metric


def metric_of(task: LiveTask, points: BodyPoints, spacing: int) -> WindowMetric:
    """The metric of a problem along the motion of the last solution."""
    motion, physics = (task.motion[0][0], task.motion[1][0]), task.physics
    return WindowMetric.along(
        task.window, points, motion, physics.touching[0], physics.weights, task.parameters.spline, spacing
    )  # fmt: skip
