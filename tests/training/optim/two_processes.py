"""What each of two processes of a run does for test_meta_trainer.py, which then reads what they came to."""

from __future__ import annotations

from pathlib import Path

import torch

from diffmocap.optim.adafactor_mlp import AdafactorMlp, AdafactorMlpSettings
from diffmocap.optim.features import FeatureSettings
from training.optim.problems import FunctionProblems
from training.optim.trainer import MetaRecipe, MetaTrainer, flat_gradient
from training.ranks import Ranks

RECIPE = MetaRecipe(steps=20, pairs=4, truncation=2, shortest=4, longest=6, sigma=0.02, seed=3)
PROBLEMS = FunctionProblems(("Sphere", "Rosenbrock"), 2, 6, batch=2)


def network() -> AdafactorMlp:
    torch.manual_seed(0)
    return AdafactorMlp(AdafactorMlpSettings(width=8, layers=1, features=FeatureSettings(memory=True)))


def share(trainer: MetaTrainer, whole: MetaTrainer, rows: slice) -> None:
    """Gives a trainer some of another's episodes, and its perturbations of the next piece."""
    noise = whole.draw_noise()[rows]
    trainer.episodes, trainer.opposite = whole.episodes[rows], whole.opposite[rows]
    trainer.accumulators = whole.accumulators[rows]
    trainer.draw_noise = lambda: noise


def thread_names() -> list[str]:
    """Of this process, as Linux knows them."""
    return [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]


def as_rank(out: Path) -> None:
    """Joins the run and writes ``process<i>.pt``."""
    torch.set_num_threads(1)
    ranks = Ranks.join("cpu")
    whole = MetaTrainer(RECIPE, network(), PROBLEMS, out)  # the same on every process
    half = RECIPE.pairs // ranks.world
    mine = MetaTrainer(MetaRecipe(**{**vars(RECIPE), "pairs": half}), network(), PROBLEMS, out, ranks)
    drawn = mine.draw_noise()
    share(mine, whole, slice(ranks.rank * half, (ranks.rank + 1) * half))
    mine.train_step()
    result = {"gradient": flat_gradient(mine.optimizer), "drawn": drawn}
    free = MetaTrainer(RECIPE, network(), PROBLEMS, out, ranks)
    for _ in range(3):
        free.train_step()
    result["theta"] = free.optimizer.theta
    ranks.leave()
    result["threads_left"] = [name for name in thread_names() if "gloo" in name]
    torch.save(result, out / f"process{ranks.rank}.pt")
