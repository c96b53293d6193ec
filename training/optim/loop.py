"""The loop of a meta-training run: steps, validation, checkpoints, a progress bar and TensorBoard curves."""

from __future__ import annotations

import json

from tqdm import tqdm

from training.lifting.loop import tensorboard_writer
from training.optim.problems import Problems
from training.optim.trainer import MetaTrainer


def run(
    trainer: MetaTrainer,
    validation: Problems,
    checkpoint_minutes: float = 3.0,
    validate_minutes: float = 10.0,
    stop_after_minutes: float = 0.0,
    validation_count: int = 16,
    quiet: bool = False,
    validation_iterations: int = 100,
) -> dict:
    """Trains to the end of the recipe, or for ``stop_after_minutes`` of this call (0: to the end). Returns the last
    figures.

    Every process runs this; clocks are the first one's, so that all of them decide alike.
    """
    ranks, clock = trainer.ranks, trainer.ranks.clock
    writer = tensorboard_writer(trainer.out) if ranks.first and not quiet else None
    bar = tqdm(
        total=None if trainer.recipe.minutes else trainer.recipe.steps, initial=trainer.step, unit="step",
        dynamic_ncols=True, mininterval=5, disable=quiet or not ranks.first,
    )  # fmt: skip
    start = saved = validated = clock()
    while trainer.progress < 1:
        figures = trainer.train_step()
        now = clock()
        bar.update()
        shown = {name: f"{value:.3f}" for name, value in figures.items()}
        bar.set_postfix({**shown, "done": f"{trainer.progress:.1%}"}, refresh=False)
        if writer:
            for name, value in {**figures, "learning_rate": trainer.learning_rate()}.items():
                writer.add_scalar(f"train/{name}", value, trainer.step)
        if now - validated > 60 * validate_minutes:
            if ranks.first:
                _validate(trainer, validation, validation_count, validation_iterations, writer, bar)
            validated = clock()
        if now - saved > 60 * checkpoint_minutes:
            trainer.save()
            saved = clock()
        if stop_after_minutes and now - start > 60 * stop_after_minutes:
            break
    if ranks.first:
        _validate(trainer, validation, validation_count, validation_iterations, writer, bar)
    trainer.save()
    bar.close()
    if writer:
        writer.close()
    return trainer.history[-1] if ranks.first else {}


def _validate(trainer: MetaTrainer, problems: Problems, count: int, iterations: int, writer, bar: tqdm) -> None:
    value = trainer.validate(problems, count, iterations)
    if not bar.disable:
        bar.write(json.dumps(trainer.history[-1]))
    if writer:
        writer.add_scalar("validation/meta_loss", value, trainer.step)
