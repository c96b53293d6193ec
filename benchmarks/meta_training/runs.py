"""What benchmarks read of the folders that ``python -m training.optim`` wrote."""

from __future__ import annotations

import argparse
import shlex
from dataclasses import dataclass
from pathlib import Path

from diffmocap.optim.learned import LearnedOptimizer
from diffmocap.optim.weights import kind_of, load_optimizer
from training.optim.__main__ import parse
from training.optim.record import checkpoint_of, record_of

#: What pages call the kinds of networks.
NAMES = {"optimus": "Optimus", "adafactor_mlp": "Adafactor MLP", "learned_gradient_descent": "learned gradient descent"}


@dataclass(frozen=True)
class TrainingRun:
    """A finished run.

    Attributes:
        optimizer: the averaged weights where it ended. options: of the command that began it. command: as recorded.
        commit: of its beginning. resumed: how often it was taken up. step: of its end. minutes: of processor time.
        history: validations in their order, each with ``step``, ``minutes`` and ``validation``.
    """

    optimizer: LearnedOptimizer
    options: argparse.Namespace
    command: str
    commit: str
    resumed: int
    step: int
    minutes: float
    history: list[dict]

    @classmethod
    def load(cls, folder: Path) -> TrainingRun:
        """From a run's folder.

        Raises:
            SystemExit: it is none.
        """
        try:
            checkpoint = checkpoint_of(folder)
            record = record_of(folder, checkpoint=checkpoint)
            optimizer = load_optimizer(folder / "last.safetensors")
        except OSError as error:
            raise SystemExit(f"{folder} is no run of `python -m training.optim`: {error}") from error
        begun = record["starts"][0]
        arguments = shlex.split(begun["command"])[3:]  # python -m training.optim
        return cls(
            optimizer, parse(arguments), begun["command"], begun["commit"], len(record["starts"]) - 1,
            record["step"], record["processor_minutes"], checkpoint["history"],
        )  # fmt: skip

    @property
    def name(self) -> str:
        """Of its kind of network."""
        return NAMES[kind_of(self.optimizer)]

    @property
    def told(self) -> str:
        """How it was made, in a line of Markdown."""
        again = f", resumed {self.resumed} times" if self.resumed else ""
        return (
            f"{self.name}, {self.optimizer.theta.numel():,} weights: {self.step:,} steps in {self.minutes:.1f} "
            f"processor minutes from random weights{again}, commit `{self.commit[:7]}`: `{self.command}`"
        )
