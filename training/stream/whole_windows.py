"""Whole windows as episodes: the same network, trained for what the refinement of files does."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from tqdm import tqdm

from diffmocap.optim.stopping import Budget
from diffmocap.refinement.stream.metric_descent import MetricDescent
from diffmocap.refinement.stream.optimus.network import StreamOptimus
from diffmocap.refinement.stream.whole_windows import PERIOD, MetricSteps, OptimusSteps
from diffmocap.refinement.window.body_points import BodyPoints
from diffmocap.refinement.window.reference import reference_motion
from diffmocap.refinement.window.task import WindowTask
from training.motions.lifted_windows import LiftedMotion, MotionLifter, cut, window_of
from training.optim.motion_problems import kept_walks
from training.ranks import Ranks
from training.stream.trainer import StreamRecipe, StreamTrainer
from training.stream.walk import Walk

#: Evaluations of a window's longest run, and of the one that looks for its least loss.
LONGEST, SEARCH = 64, 150
#: The least loss is what that run came to, less this share: late steps gain hundredths of what is left.
MARGIN = 0.01
#: Added to what a loss is above the least, in shares of the least, before its logarithm.
_NEAR = 0.02
#: Evaluations after which a validation looks.
LOOKS = (8, 16, 32)


class WindowProblem:
    """One window with the least loss that a long run of the metric's steps finds."""

    def __init__(self, motion: LiftedMotion, points: BodyPoints) -> None:
        window = window_of([motion])
        self.task = WindowTask(window, points, reference_motion(window, 0))
        found = MetricSteps().minimize(self.task, self.task.init(1), Budget(evaluations=SEARCH))
        self.least = (1.0 - MARGIN) * float(found.loss[0])
        self.metric = self.task.metric(0)


class WindowEpisode:
    """One window from its start; a frame of a stream is here a run of the encoders and the steps after it.

    Attributes: as of :class:`~training.stream.episodes.Episode`; least: loss that is about the least.
    """

    learns_last = True

    def __init__(self, problem: WindowProblem, rounds: int) -> None:
        self.task, self.metric, self.least, self.left = problem.task, problem.metric, problem.least, rounds
        self.steps = MetricDescent()

    @property
    def dimension(self) -> int:
        """N."""
        return self.task.dimension

    def encodes_anew(self, task: WindowTask) -> bool:
        """Always."""
        return True

    def next_task(self, x: torch.Tensor) -> tuple[WindowTask, int]:
        """The window again; it loses no knots."""
        self.left -= 1
        return self.task, 0


class WindowTrainer(StreamTrainer):
    """A run on whole windows; those of one length are a batch, and lengths take turns.

    Args:
        problems: by frames of a window. Others as of :class:`~training.stream.trainer.StreamTrainer`.
    """

    def __init__(
        self, recipe: StreamRecipe, network: StreamOptimus, problems: dict[int, list[WindowProblem]],
        points: BodyPoints, out: Path, ranks: Ranks | None = None,
    ) -> None:  # fmt: skip
        self.problems = problems
        super().__init__(recipe, network, [], points, out, ranks)

    def restart(self) -> None:
        self.generator = torch.Generator().manual_seed(self.ranks.seed(self.recipe.seed) + 7919 * self.step)
        c, factors = self.recipe, self.network.settings.factors
        self.walks = [Walk(lambda of=of: self._window(of), c.batch, factors) for of in self.problems.values()]

    def _window(self, problems: list[WindowProblem]) -> WindowEpisode:
        u = torch.rand(2, generator=self.generator).tolist()
        return WindowEpisode(problems[int(u[0] * len(problems))], 1 + int(u[1] * LONGEST / PERIOD))

    def _piece(self) -> tuple[torch.Tensor, dict[str, float]]:
        """Some rounds of every window of one length: how far the excess over the least loss falls, in decades."""
        walk, total, falls = self.walks[self.step % len(self.walks)], 0.0, []
        walk.detach()
        for _ in range(self.recipe.piece):
            walk.restart_ended()
            least = torch.tensor([e.least for e in walk.episodes])
            frame = walk.frame(self.network, PERIOD)
            above = torch.nan_to_num(frame.losses, nan=1e4, posinf=1e4) - least
            logs = (above.clamp_min(0.0) + _NEAR * least).log()
            fall = logs[1:] - logs[0].detach()
            total = total + fall.mean() / self.recipe.piece
            falls.append(float(fall[-1].detach().mean()))
        return total, {"fall": sum(falls) / len(falls)}

    @torch.no_grad()
    def validate(self, problems: dict[int, list[WindowProblem]]) -> dict:
        """Logarithms of the ratio of what is left above the least loss to what the metric's steps leave, after
        :data:`LOOKS` evaluations, by the windows' length; ``loss`` is the mean."""
        figures = {}
        for frames, of in problems.items():
            rows = []
            for problem in of:
                left = []
                for solver in (OptimusSteps(self.ema), MetricSteps()):
                    found = solver.minimize(problem.task, problem.task.init(1), Budget(evaluations=max(LOOKS)))
                    best = found.best_so_far()[:, 0]
                    left.append([math.log(max(float(best[n - 1]) / problem.least - 1.0, 0.0) + _NEAR) for n in LOOKS])
                rows.append([ours - theirs for ours, theirs in zip(*left, strict=True)])
            for n, column in zip(LOOKS, zip(*rows, strict=True), strict=True):
                figures[f"loss_{frames}_{n}"] = sum(column) / len(column)
        figures["loss"] = sum(figures.values()) / len(figures)
        return figures


def kept_windows(
    folder: Path, data: list[Path], held_out: bool, lengths: list[int], views: int, most: int = 0
) -> dict[int, list[WindowProblem]]:
    """Windows of lifted walks by their length, those to train on overlapping by half; the lifted walks are kept in
    ``folder``. ``most``: of a length, spread over all; 0: all."""
    lifter, found = MotionLifter(), {}
    motions = kept_walks(folder, data, held_out, views, lifter)
    for frames in lengths:
        parts = [p for m in motions for p in cut(m, frames, frames if held_out else frames // 2)]
        if most and len(parts) > most:
            parts = [parts[round(i * (len(parts) - 1) / max(most - 1, 1))] for i in range(most)]
        found[frames] = [WindowProblem(p, lifter.points) for p in tqdm(parts, desc=f"{frames} frames", unit="window")]
    return found
