"""Minimise a loss of your own with every solver, and train an optimizer for it: ``python -m examples.own_task``.

One class says what the task is: the shape of its parameters, random starts, and a loss over a batch of parameter
vectors in plain torch. Here it is a pendulum that must be swung up by a torque: the parameters are the torque at each
of T times, the loss is how far the pendulum ends from standing upright, plus the effort. Gradients come from autograd.

The same class then trains an optimizer of its own: Optimus unrolls on random starts, and truncated backpropagation
improves its weights. Trained for half a minute on one CPU core it is ahead of the others after the same 30 evaluations,
of Adam and momentum at the best learning rates that were tried too; ``--quick`` trains for some seconds only.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import torch

from diffmocap.optim.basin_hopping import BasinHopping
from diffmocap.optim.first_order import Adam, Momentum
from diffmocap.optim.optimizer import Optimizer
from diffmocap.optim.optimus import Optimus, OptimusSettings
from diffmocap.optim.quasi_newton import Bfgs, Lbfgs
from diffmocap.optim.stopping import Budget, RelativeDecrease
from diffmocap.optim.task import Task
from training.optim.problems import TaskProblems
from training.optim.trainer import MetaRecipe, MetaTrainer


class SwingUp(Task):
    """Torques [B, T] that swing a pendulum of 1 m and 1 kg from hanging still to standing still within two seconds."""

    DURATION_S, GRAVITY = 2.0, 9.81
    #: No loss is below: training then counts decades, so that the last improvements are worth as much as the first.
    minimum = 0.0

    def __init__(self, times: int = 20) -> None:
        self.shape = (times,)

    def init(self, count: int, generator: torch.Generator | None = None) -> torch.Tensor:
        """Small random torques [N m]: near the point where no gradient says in which direction to swing."""
        return torch.randn(count, self.dimension, generator=generator)

    def loss(self, x: torch.Tensor) -> torch.Tensor:
        """1 + cos(angle) and the speed at the end, and a little of the torque on the way."""
        dt = self.DURATION_S / self.dimension
        angle = speed = torch.zeros_like(x[:, 0])
        for torque in x.unbind(1):  # semi-implicit Euler; angle 0 hangs
            speed = speed + dt * (torque - self.GRAVITY * angle.sin())
            angle = angle + dt * speed
        return (1 + angle.cos()) + 0.05 * speed.square() + 1e-3 * x.square().mean(-1)


def train(task: Task, steps: int, out: Path, seed: int = 0) -> Optimus:
    """An optimizer for the task, with its averaged weights."""
    torch.manual_seed(seed)
    optimizer = Optimus(
        OptimusSettings(width=32, heads=2, attention_width=32, feedforward=64, mlp_width=32, mlp_layers=2)
    )
    recipe = MetaRecipe(
        method="truncated", steps=steps, pairs=2, truncation=1, shortest=10, longest=30, learning_rate=2e-3, seed=seed
    )  # fmt: skip
    trainer = MetaTrainer(recipe, optimizer, TaskProblems(task, batch=16), out)
    for _ in range(steps):
        trainer.train_step()
    trainer.save()  # out/last.safetensors is for diffmocap.optim.weights.load_optimizer
    return trainer.ema


def compare(task: Task, solvers: dict[str, Optimizer], count: int, budget: Budget, seed: int = 1) -> dict[str, float]:
    """Mean of the least loss that each solver reached from the same starts, and a line for each."""
    x, means = task.init(count, torch.Generator().manual_seed(seed)), {}
    print(f"{'solver':24s} {'loss':>9s} {'evaluations':>12s} {'ms a problem':>13s}")
    for name, solver in solvers.items():
        begin = time.perf_counter()
        result = solver.minimize(task, x, budget)
        taken_ms = 1e3 * (time.perf_counter() - begin) / count
        means[name] = float(result.loss.mean())
        print(f"{name:24s} {means[name]:9.4f} {result.evaluations.float().mean():12.1f} {taken_ms:13.1f}")
    return means


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split(":")[0], epilog=__doc__.split("\n\n", 1)[1])
    parser.add_argument("--out", type=Path, help="folder for the trained weights (default: not kept)")
    parser.add_argument("--steps", type=int, default=1600, help="training steps (default %(default)s)")
    parser.add_argument("--evaluations", type=int, default=30, help="of the loss, for each start (default %(default)s)")
    parser.add_argument("--quick", action="store_true", help="train for some seconds only, to see that it runs")
    args = parser.parse_args()
    task = SwingUp()
    with tempfile.TemporaryDirectory() as folder:
        trained = train(task, min(60, args.steps) if args.quick else args.steps, args.out or Path(folder))
    solvers = {
        "Optimus, trained on this": trained, "Adam": Adam(1.3), "momentum": Momentum(20.0), "BFGS": Bfgs(),
        "L-BFGS": Lbfgs(), "L-BFGS, basin hopping": BasinHopping(Lbfgs(), iterations=8, step=2.0),
    }  # fmt: skip
    compare(task, solvers, 4 if args.quick else 16, Budget(evaluations=args.evaluations))
    ended = trained.minimize(task, task.init(4), Budget(evaluations=200), RelativeDecrease())
    print(f"by its stopping criterion, Optimus ends after {ended.evaluations.tolist()} evaluations")


if __name__ == "__main__":
    main()
