"""BFGS and L-BFGS as SciPy has them, behind the package's interface: the baselines with a line search.

SciPy owns its loop, so these have no ``step``: ``minimize`` runs the problems one by one in float64 and keeps a record
of every evaluation that SciPy asks for. What they cost is therefore counted in evaluations, several an iteration.
"""

from __future__ import annotations

import math
import time
import warnings
from dataclasses import dataclass, field

import numpy as np
import torch

from diffmocap.optim.optimizer import Optimizer, StoppingCriterion, check_starts
from diffmocap.optim.result import Result, pad
from diffmocap.optim.stopping import Budget
from diffmocap.optim.task import Task


class _Ended(Exception):
    """Raised through SciPy's loop when the budget is spent or the criterion met."""


class ScipySolver(Optimizer):
    """One of ``scipy.optimize.minimize``'s methods that use gradients.

    Args:
        method: SciPy's name. options: SciPy's own, for example ``gtol``; its defaults stand otherwise, so a run may end
            before its budget where the gradient is small enough for SciPy.

    The result's tensors are float64 on the starts' device.
    """

    def __init__(self, method: str, options: dict | None = None) -> None:
        self.method, self.options = method, dict(options or {})

    def minimize(self, task: Task, x: torch.Tensor, budget: Budget, stop: StoppingCriterion | None = None) -> Result:
        check_starts(task, x)
        runs = [self._one(task.row(b), x[b : b + 1].double(), budget, stop) for b in range(len(x))]
        losses, iterations, seconds = (
            pad([torch.as_tensor(np.array(column), device=x.device) for column in columns])
            for columns in zip(*((run.losses, run.iterations, run.seconds) for run in runs))
        )
        return Result(
            torch.cat([run.best for run in runs]), losses.new_tensor([run.best_loss for run in runs]),
            torch.cat([run.last for run in runs]), losses, iterations, seconds,
            torch.tensor([len(run.losses) for run in runs], device=x.device), [run.reason for run in runs],
        )  # fmt: skip

    def _one(self, task: Task, x: torch.Tensor, budget: Budget, stop: StoppingCriterion | None) -> _Run:
        from scipy.optimize import minimize

        run = _Run(task, x, budget, stop)
        options = {"maxiter": 2**31 - 1, **({"maxfun": 2**31 - 1} if self.method == "L-BFGS-B" else {}), **self.options}
        try:
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")  # overflow in line searches: infinite losses are in the record
                found = minimize(
                    run.evaluate, x[0].cpu().numpy(), jac=True, method=self.method, callback=run.iterated,
                    options=options,
                )  # fmt: skip
            run.reason = str(found.message)
            run.last = torch.as_tensor(found.x, device=x.device)[None]
        except _Ended:
            pass
        return run


class Bfgs(ScipySolver):
    """BFGS with SciPy's line search (Fletcher 1987). Each step costs two products of N x N matrices."""

    def __init__(self, options: dict | None = None) -> None:
        super().__init__("BFGS", options)


class Lbfgs(ScipySolver):
    """L-BFGS-B without bounds: the last ten pairs instead of a matrix."""

    def __init__(self, options: dict | None = None) -> None:
        super().__init__("L-BFGS-B", options)


@dataclass
class _Run:
    """One problem's record, and the function that SciPy calls."""

    task: Task
    start: torch.Tensor
    budget: Budget
    stop: StoppingCriterion | None
    losses: list[float] = field(default_factory=list)
    iterations: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    at_iterations: list[float] = field(default_factory=list)
    best_loss: float = math.inf
    reason: str = "budget"

    def __post_init__(self) -> None:
        self.best = self.last = self.start
        self.begin, self.iteration = time.perf_counter(), 0

    def evaluate(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        """What SciPy asks for. After the evaluation that spends the budget it is not asked again."""
        if self.losses and self.budget.spent(len(self.losses), self.iteration, self.seconds[-1]):
            raise _Ended
        point = torch.tensor(x, dtype=torch.float64, device=self.start.device)[None]
        loss, gradient = self.task.loss_and_gradient(point)
        value = float(loss[0])
        recorded = value if math.isfinite(value) else math.inf
        if recorded < self.best_loss:
            self.best, self.best_loss = point, recorded
        self.losses.append(recorded)
        self.iterations.append(self.iteration + 1 if len(self.losses) > 1 else 0)
        self.seconds.append(time.perf_counter() - self.begin)
        return value, gradient[0].cpu().numpy()

    def iterated(self, intermediate_result) -> None:
        """SciPy's callback, after each iteration."""
        self.iteration += 1
        self.last = torch.tensor(intermediate_result.x, device=self.start.device)[None]
        self.at_iterations.append(float(intermediate_result.fun))
        if self.stop is not None:
            history = torch.tensor([self.losses[0], *self.at_iterations], dtype=torch.float64)[:, None]
            if self.stop(history)[0]:
                self.reason = "criterion"
                raise _Ended
        if self.budget.spent(len(self.losses), self.iteration, self.seconds[-1]):
            raise _Ended
