"""The curvature of DiffPhy's loss in its parameters, as far as windows have it in common.

One radian at a hip early in a window moves the whole body for a second, one at an elbow near its end hardly anything:
curvatures span six orders of magnitude, and most of an optimizer's evaluations went into finding out which parameters
are stiff. How the parameters act is much the same in every window, so the mean of the Hessians of many, whose
eigenvalues are taken as positive (negative ones say as well how fast the loss curves: Dauphin et al. 2014),
is a metric to begin with (:class:`InControlMetric`). It was measured once, by
``python -m training.optim.control_metric``, for the knots of a window of a second and all 23 joints; parts of it serve
fewer joints, and windows that begin with knots that are known.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import torch

from diffmocap.body.skeleton import NUM_JOINTS
from diffmocap.errors import ModelFileError
from diffmocap.files.weights_file import WeightsFile
from diffmocap.optim.in_metric import InMetric
from diffmocap.optim.optimizer import Optimizer, StoppingCriterion
from diffmocap.optim.result import Result
from diffmocap.optim.stopping import Budget
from diffmocap.optim.task import Task
from diffmocap.refinement.diffphy.initial_state import SIZE
from diffmocap.refinement.diffphy.task import DiffphyTask
from diffmocap.resources import verified_model

FORMAT = "diffmocap-control-metric-1"
FILE = "control_metric.safetensors"
#: The least curvature: that of parameters which have no effect, or next to none.
_LEAST = 0.05
_COLUMNS = 3 * (NUM_JOINTS - 1)
_ADVICE = "reinstall diffmocap, or make it anew: python -m training.optim.control_metric"


@dataclass(frozen=True)
class ControlMetric:
    """A mean Hessian of the loss.

    Attributes:
        curvature: [N, N] float64, positive semidefinite, in the knots [K, 69] of all joints' targets and then the
            :data:`~diffmocap.refinement.diffphy.initial_state.SIZE` numbers of the initial state.
    """

    curvature: torch.Tensor

    @classmethod
    @lru_cache(maxsize=1)
    def load(cls) -> ControlMetric:
        """The shipped one.

        Raises:
            ModelFileError: missing, corrupt, or something else.
        """
        file = WeightsFile.read(verified_model(FILE), FORMAT, "curvature of controls", _ADVICE)
        curvature = file.tensors.get("curvature", torch.zeros(0))
        if curvature.dim() != 2 or curvature.shape[0] != curvature.shape[1] or (len(curvature) - SIZE) % _COLUMNS:
            raise ModelFileError(f"{file.path} holds a curvature {list(curvature.shape)} of no set of knots; {_ADVICE}")
        return cls(curvature.double())

    @cached_property
    def _roots(self) -> dict[tuple, torch.Tensor]:
        """M^(-1/2) by what they were made for: a motion's windows ask for the same one or two."""
        return {}

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

    Args:
        solver: sees a :class:`DiffphyTask` in the coordinates of :func:`in_control_metric`.
    """

    def __init__(self, solver: Optimizer) -> None:
        self.solver = solver

    def minimize(self, task: Task, x: torch.Tensor, budget: Budget, stop: StoppingCriterion | None = None) -> Result:
        scaled = in_control_metric(task, x)
        result = self.solver.minimize(scaled, scaled.init(len(x)).to(x), budget, stop)
        return replace(result, x=scaled.point(result.x), last=scaled.point(result.last))


def in_control_metric(task: DiffphyTask, x: torch.Tensor) -> InMetric:
    """The task in coordinates in which the metric is the identity, zero at ``x`` [B, N]; in its own coordinates, but
    from there, where the metric has nothing to say of its parameters."""
    root = ControlMetric.load().root(task)
    return InMetric(task, x, torch.eye(task.dimension, dtype=torch.float64) if root is None else root)
