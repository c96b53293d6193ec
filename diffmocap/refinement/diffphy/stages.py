"""Long motions in stages: controls are optimised for longer and longer prefixes of the motion.

Once the simulated body has fallen, the gradient of later frames says nothing about how to stand. So the first second is
optimised first, and its solution is the start of the next, longer prefix.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from diffmocap.errors import SettingsError
from diffmocap.optim.optimizer import Optimizer
from diffmocap.optim.result import Result
from diffmocap.optim.stopping import Budget
from diffmocap.refinement.diffphy.task import DiffphyTask

#: Length of the first prefix, and by how much each next one is longer [s].
STAGE_S = 1.0


@dataclass(frozen=True)
class StagedResult:
    """The result of all stages.

    Attributes:
        x: [B, N] the best point of the last stage. loss: [B] of the whole motion there.
        stages: each prefix's number of frames and result; losses of different stages are of different lengths.
    """

    x: torch.Tensor
    loss: torch.Tensor
    stages: list[tuple[int, Result]]

    @property
    def evaluations(self) -> torch.Tensor:
        """Evaluations of each problem over all stages [B]."""
        return torch.stack([result.evaluations for _, result in self.stages]).sum(0)


def minimize_in_stages(
    task: DiffphyTask, optimizer: Optimizer, evaluations: int, stage_s: float = STAGE_S, x: torch.Tensor | None = None
) -> StagedResult:
    """Minimise a task by beginnings that grow by ``stage_s`` seconds, ``evaluations`` of each.

    An evaluation of the first stage costs its part of one of the whole motion.
    """
    if not stage_s > 0:
        raise SettingsError(f"stages must take a positive time, got {stage_s} s")
    frames = task.pelvis.shape[1]
    step = max(1, round(stage_s / task.dt_s))
    lengths = [n + 1 for n in range(step, frames - 1, step)] + [frames]
    x, stages = task.init(len(task.pelvis)) if x is None else x, []
    for length in lengths:
        result = optimizer.minimize(task.beginning(length), x, Budget(evaluations=evaluations))
        stages.append((length, result))
        x = result.x
    return StagedResult(x, stages[-1][1].loss, stages)
