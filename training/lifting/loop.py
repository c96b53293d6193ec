"""The loop of a run: steps, validation, checkpoints, and what it tells about itself on the way."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tqdm import tqdm

from training.lifting.trainer import Trainer
from training.stop_request import StopRequest

#: Steps between two lines of figures. Reading them makes a GPU wait.
REPORT_STEPS = 20


class Throughput:
    """Samples a second over all processes: of late, and over this call."""

    def __init__(self, samples_per_step: int, memory_s: float = 30.0) -> None:
        self.samples_per_step, self.memory_s = samples_per_step, memory_s
        self.steps, self.seconds, self.recent = 0, 0.0, 0.0

    def add(self, steps: int, seconds: float) -> None:
        """Counts steps that took so long; the recent rate forgets what is older than ``memory_s`` or so."""
        rate = steps * self.samples_per_step / max(seconds, 1e-9)
        weight = max(seconds / (seconds + self.memory_s), 0.0) if self.steps else 1.0
        self.recent += weight * (rate - self.recent)
        self.steps, self.seconds = self.steps + steps, self.seconds + seconds

    @property
    def overall(self) -> float:
        """Samples a second since this call began, validation and checkpoints left out."""
        return self.steps * self.samples_per_step / max(self.seconds, 1e-9)


class Reporter:
    """A bar and TensorBoard curves, of the first process only."""

    def __init__(self, trainer: Trainer) -> None:
        self.trainer, self.first = trainer, trainer.ranks.first
        self.throughput = Throughput(trainer.recipe.batch * trainer.ranks.world)
        self.writer = tensorboard_writer(trainer.out) if self.first else None
        total = trainer.recipe.steps if not trainer.recipe.minutes else None
        self.bar = tqdm(
            total=total, initial=trainer.step, unit="step", dynamic_ncols=True, mininterval=5, disable=not self.first
        )
        self.counted = (trainer.step, trainer.seconds)

    def step(self, terms: dict) -> None:
        """After every step; figures every :data:`REPORT_STEPS`."""
        self.bar.update()
        if self.trainer.step % REPORT_STEPS or not self.first:
            return
        values = {name: float(value) for name, value in terms.items()}
        self._count()
        shown = {name: f"{value:.3f}" for name, value in values.items()}
        shown |= {"samples/s": f"{self.throughput.recent:.0f}", "done": f"{self.trainer.progress:.1%}"}
        self.bar.set_postfix(shown)
        self._curves({f"loss/{name}": value for name, value in values.items()})
        self._curves({"learning_rate": self.trainer.learning_rate(), "samples_per_second": self.throughput.recent})

    def validation(self, figures: dict[str, float]) -> None:
        """After every validation."""
        self.bar.write(json.dumps(self.trainer.history[-1]))
        self._curves({f"val/{name}": value for name, value in figures.items()})

    def _curves(self, values: dict[str, float]) -> None:
        if self.writer:
            for name, value in values.items():
                self.writer.add_scalar(name, value, self.trainer.step)

    def _count(self) -> None:
        """Takes what was done since the last time into the throughput."""
        step, seconds = self.counted
        self.counted = (self.trainer.step, self.trainer.seconds)
        if self.trainer.step > step:
            self.throughput.add(self.trainer.step - step, self.trainer.seconds - seconds)

    def close(self) -> None:
        """Ends bar and curves; the throughput then counts every step."""
        self._count()
        self.bar.close()
        if self.writer:
            self.writer.close()


def tensorboard_writer(out: Path):
    """Writes curves to a run's folder; None, with a word about it, where TensorBoard is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter

        return SummaryWriter(out / "tensorboard")
    except ImportError:
        print("tensorboard is not installed: no curves will be written (pip install tensorboard)", file=sys.stderr)
        return None


def run(trainer: Trainer, checkpoint_minutes: float, validate_minutes: float, stop_after_minutes: float) -> None:
    """Trains to the end of the recipe, or for ``stop_after_minutes`` of this call, or until SIGINT or SIGTERM.

    What was learned is saved before anything is validated; after a signal nothing is. Every process runs this. Clocks
    are the first one's, so that all of them decide alike.
    """
    with StopRequest() as stop:
        rate = _train(trainer, checkpoint_minutes, validate_minutes, stop_after_minutes, stop)
    trainer.save()
    if trainer.ranks.any(stop.signal is not None):
        if trainer.ranks.first:
            print(f"stopped at step {trainer.step} and saved; the same command goes on from there")
        return
    if trainer.ranks.first:
        trainer.validate_and_keep((0.0, 0.5, 2.0))
        print(json.dumps({**trainer.history[-1], "samples_per_second": rate}))
    trainer.save()  # once more: the checkpoint knows the last figures and the best error


def _train(
    trainer: Trainer, checkpoint_minutes: float, validate_minutes: float, stop_after_minutes: float, stop: StopRequest
) -> float:
    """Takes steps until the end; samples a second over all processes."""
    clock, report = trainer.ranks.clock, Reporter(trainer)
    start = last = saved = validated = clock()
    while trainer.progress < 1.0:
        terms = trainer.train_step()
        now = clock()
        trainer.seconds += now - last
        last = now
        report.step(terms)
        if trainer.ranks.any(stop.signal is not None):
            break
        if now - validated > 60 * validate_minutes:
            trainer.save()
            if trainer.ranks.first:
                report.validation(trainer.validate_and_keep((0.0, 2.0)))
            validated = last = clock()  # validation does not count as training time
        if now - saved > 60 * checkpoint_minutes:
            trainer.save()
            saved = last = clock()
        if stop_after_minutes and now - start > 60 * stop_after_minutes:
            break
    report.close()
    return round(report.throughput.overall, 1)
