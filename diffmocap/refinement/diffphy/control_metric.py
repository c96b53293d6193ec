"""The curvature of DiffPhy's loss in its parameters, as far as windows have it in common.

One radian at a hip early in a window moves the whole body for a second, one at an elbow near its end hardly anything:
eigenvalues of the Hessian span six orders of magnitude and more, and an optimizer that begins with the identity spends
most of its evaluations on finding out which directions are stiff. How the parameters act is much the same in every
window. So the mean of the Hessians of many, whose eigenvalues are taken as positive (negative ones say as well how fast
the loss curves: Dauphin et al. 2014), is a metric to begin with (:class:`InControlMetric`). It was measured once, by
``python -m training.optim.control_metric``, for the 13 knots of a window of a second and all 23 joints; parts of it
serve fewer joints, shorter windows, and windows whose first knots are known.

The curvature is that of the whole loss. What makes it stiff are slip, depth and keypoints: for a loss of poses alone it
is too cautious where that is soft, and optimizers need more evaluations with it than without.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from functools import cache

import torch

from diffmocap.body.skeleton import NUM_JOINTS
from diffmocap.errors import ModelFileError
from diffmocap.files.weights_file import WeightsFile
from diffmocap.optim.in_metric import InMetric
from diffmocap.optim.optimizer import Optimizer, StoppingCriterion, check_starts
from diffmocap.optim.result import Result
from diffmocap.optim.stopping import Budget
from diffmocap.optim.task import Task
from diffmocap.refinement.diffphy.initial_state import SIZE
from diffmocap.refinement.diffphy.task import DiffphyTask
from diffmocap.resources import verified_model

FORMAT = "diffmocap-control-metric-1"
FILE = "control_metric.safetensors"
#: The least curvature: that of parameters which have no effect, or next to none. Half of what most Hessians have in
#: the median, where only the terms that keep controls small count.
_LEAST = 0.05
_COLUMNS = 3 * (NUM_JOINTS - 1)
_log = logging.getLogger(__name__)
_ADVICE = "reinstall diffmocap, or make it anew: python -m training.optim.control_metric"


@dataclass(frozen=True)
class ControlMetric:
    """A mean Hessian of the loss.

    Attributes:
        curvature: [N, N] float64, positive semidefinite, in the knots [K, 69] of all joints' targets and then the
            :data:`~diffmocap.refinement.diffphy.initial_state.SIZE` numbers of the initial state.
    """

    curvature: torch.Tensor
    #: M^(-1/2) by what they were made for: a motion's windows ask for the same one or two.
    _roots: dict[tuple, torch.Tensor | None] = field(default_factory=dict, init=False, repr=False, compare=False)

    @classmethod
    @cache
    def load(cls) -> ControlMetric:
        """The shipped one.

        Raises:
            ModelFileError: missing, corrupt, or something else.
        """
        file = WeightsFile.read(verified_model(FILE), FORMAT, "curvature of controls", _ADVICE)
        curvature = file.tensors.get("curvature", torch.zeros(0))
        size = len(curvature) if curvature.dim() else 0
        if curvature.shape != (size, size) or size <= SIZE or (size - SIZE) % _COLUMNS:
            raise ModelFileError(f"{file.path} holds a curvature {list(curvature.shape)} of no set of knots; {_ADVICE}")
        return cls(curvature.double())

    def root(self, task: DiffphyTask) -> torch.Tensor | None:
        """M^(-1/2) [N, N] of the task's parameters; None where a window has more knots than were measured."""
        controls = task.controls
        key = controls.joints, controls.weights.shape[1], controls.shape[0], task.free_start
        if key not in self._roots:
            places = self._places(task)
            self._roots[key] = None if places is None else self._inverse_root(places)
        return self._roots[key]

    def _places(self, task: DiffphyTask) -> torch.Tensor | None:
        """[N] where in ``curvature`` the task's parameters are, -1: nowhere, they have no effect."""
        controls, measured = task.controls, (len(self.curvature) - SIZE) // _COLUMNS
        if controls.weights.shape[1] > measured:
            return None
        knots = torch.arange(controls.weights.shape[1] - controls.shape[0], controls.weights.shape[1])
        columns = (3 * (torch.tensor(controls.joints) - 1)[:, None] + torch.arange(3)).flatten()
        places = (_COLUMNS * knots[:, None] + columns).flatten()
        if task.free_start:
            state = measured * _COLUMNS + torch.arange(SIZE)
            places = torch.cat([places, state, torch.full((task.dimension - len(places) - SIZE,), -1)])
        return places

    def _inverse_root(self, places: torch.Tensor) -> torch.Tensor:
        part = self.curvature[places][:, places] * (places >= 0) * (places >= 0)[:, None]
        values, vectors = torch.linalg.eigh(part)
        return (vectors * (values.clamp_min(0.0) + _LEAST).rsqrt()) @ vectors.mT


class InControlMetric(Optimizer):
    """An optimizer of DiffPhy's controls that begins with the inverse of the metric.

    Points in its results are float64. Windows with more knots than the metric knows are solved without it, which the
    log says once.

    Args:
        solver: sees a :class:`DiffphyTask` in the coordinates of :func:`in_control_metric`.
    """

    def __init__(self, solver: Optimizer) -> None:
        self.solver = solver

    def minimize(self, task: Task, x: torch.Tensor, budget: Budget, stop: StoppingCriterion | None = None) -> Result:
        check_starts(task, x)
        scaled = in_control_metric(task, x)
        result = self.solver.minimize(scaled, scaled.init(len(x)).to(x), budget, stop)
        return replace(result, x=scaled.point(result.x), last=scaled.point(result.last))


def in_control_metric(task: DiffphyTask, x: torch.Tensor) -> InMetric:
    """The task in coordinates in which the metric is the identity, zero at ``x`` [B, N]; in its own coordinates, but
    from there, where the metric has nothing to say of its parameters."""
    root = ControlMetric.load().root(task)
    if root is None:
        _say_unknown(task.controls.weights.shape[1])
        root = torch.eye(task.dimension, dtype=torch.float64)
    return InMetric(task, x, root.to(x.device))


@cache
def _say_unknown(knots: int) -> None:
    _log.warning(
        "controls with %d knots have more than the curvature that was measured knows: optimizers begin without it, and "
        "need more evaluations; windows of at most a second have it", knots,
    )  # fmt: skip
