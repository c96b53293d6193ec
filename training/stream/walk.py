"""A batch of episodes that walk along their streams, each frame with as many steps of the network as it is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import torch

from diffmocap.refinement.stream.optimus.network import Encoded, StreamOptimus
from diffmocap.refinement.stream.optimus.step import StreamMemory, facts_of, places_of, step_of
from diffmocap.refinement.stream.sliding_unknowns import without_first_knot
from diffmocap.refinement.stream.task import LiveTask
from training.stream.differentiable import LossAndGradient, Symmetric
from training.stream.episodes import Episode


@dataclass(frozen=True)
class Frame:
    """One frame of B episodes.

    Attributes:
        tasks: B problems. losses: [steps + 1, B] where the frame began and after each step. x: [B, N] the best points.
    """

    tasks: list[LiveTask]
    losses: torch.Tensor
    x: torch.Tensor


class Walk:
    """B episodes side by side. Where one ends, ``begin`` gives the next.

    Attributes:
        x: [B, N] the solutions. memory: what the network remembers.
    """

    def __init__(self, begin: Callable[[], Episode], count: int, factors: int) -> None:
        self._begin = begin
        self.episodes = [begin() for _ in range(count)]
        self.x = torch.zeros(count, self.episodes[0].dimension)
        self.memory = StreamMemory.empty(self.x, factors)

    def detach(self) -> None:
        """What comes next has no gradient by what was."""
        self.x = self.x.detach()
        tensors = {
            f.name: value.detach()
            for f in fields(self.memory) if isinstance(value := getattr(self.memory, f.name), torch.Tensor)
        }  # fmt: skip
        encoded = self.memory.encoded
        if encoded is not None:
            encoded = Encoded(*(getattr(encoded, f.name).detach() for f in fields(encoded)))
        self.memory = replace(self.memory, **tensors, encoded=encoded)

    def restart_ended(self) -> None:
        """Replaces episodes that have ended."""
        ended = torch.tensor([e.left <= 0 for e in self.episodes])
        if not bool(ended.any()):
            return
        self.episodes = [self._begin() if e.left <= 0 else e for e in self.episodes]
        self.x = torch.where(ended[:, None], 0.0, self.x)
        self.memory = self.memory.forgotten(ended, self.x)

    def frame(self, network: StreamOptimus, steps: int) -> Frame:
        """The next frame of every episode; gradients are recorded where autograd is on."""
        tasks, gone = self._next_tasks()
        for _ in range(max(gone)):
            rows = torch.tensor([g > 0 for g in gone])
            self.x = torch.where(rows[:, None], without_first_knot(self.x), self.x)
            self.memory = self.memory.moved_on(rows)
            gone = [g - 1 for g in gone]
        encode = torch.tensor([e.encodes_anew(task) for e, task in zip(self.episodes, tasks, strict=True)])
        memory = self.memory.next_frame(self.x, network.fade, encode)
        places = torch.stack([places_of(task) for task in tasks])
        spread = torch.stack([torch.from_numpy(e.metric.spread).float() for e in self.episodes])
        best = self.x
        best_loss, best_gradient = LossAndGradient.apply(best, tasks)
        losses = [best_loss]
        for number in range(steps):
            metric = [e.metric.solve for e in self.episodes]
            quasi = [_direction(e) for e in self.episodes]
            lengths = [e.steps.length for e in self.episodes]
            facts = best.new_tensor(facts_of(best_loss.tolist(), tasks, lengths, number))
            step, memory = step_of(
                network, memory, best, best_gradient, spread, facts, places, best.new_tensor(lengths)[:, None],
                lambda v, m=metric: Symmetric.apply(v, m), lambda v, q=quasi: Symmetric.apply(v, q),
            )  # fmt: skip
            trial = best + step
            loss, gradient = LossAndGradient.apply(trial, tasks)
            fell = loss.detach() < best_loss.detach()
            self._judge(step, gradient - best_gradient, fell, last=number == steps - 1)
            best = torch.where(fell[:, None], trial, best)
            best_gradient = torch.where(fell[:, None], gradient, best_gradient)
            best_loss = torch.where(fell, loss, best_loss)
            losses.append(loss)
        self.x, self.memory = best, memory
        return Frame(tasks, torch.stack(losses), best)

    def _next_tasks(self) -> tuple[list[LiveTask], list[int]]:
        tasks, gone = [], []
        for i in range(len(self.episodes)):
            task, left = self.episodes[i].next_task(self.x[i].detach())
            while task is None:  # nothing was lifted in the whole window
                if self.episodes[i].left <= 0:
                    self.episodes[i] = self._begin()
                task, left = self.episodes[i].next_task(torch.zeros_like(self.x[i]))
            tasks.append(task)
            gone.append(left)
        return tasks, gone

    def _judge(self, steps: torch.Tensor, changes: torch.Tensor, fell: torch.Tensor, last: bool) -> None:
        for e, step, change, down in zip(self.episodes, steps.detach(), changes.detach(), fell.tolist(), strict=True):
            if e.learns_last or not last:
                e.steps.learn(step, change)
            e.steps.judged(down)


def _direction(episode: Episode) -> Callable:
    """Times the quasi-Newton matrix as it is now."""
    steps, metric = episode.steps.copied(), episode.metric
    return lambda vector: steps.direction(metric, vector)
