"""What each of two processes of a run does for test_ranks.py, which then reads what they came to."""

from __future__ import annotations

import os
from contextlib import redirect_stdout
from pathlib import Path

import torch

from diffmocap.lifting.network.condition import Condition
from diffmocap.lifting.network.mlp_denoiser import MlpConfig
from training.lifting.__main__ import main
from training.lifting.losses import Batch
from training.lifting.recipe import Recipe
from training.lifting.trainer import Trainer
from training.ranks import Ranks
from training.views.views import View

RECIPE = Recipe(batch=16, steps=60, warmup_steps=5, model=MlpConfig(width=32, layers=1, dropout=0.1))


def part(batch: Batch, rows: slice) -> Batch:
    """Some rows of a batch."""
    view = batch.view
    condition = Condition(**{k: None if v is None else v[rows] for k, v in vars(view.condition).items()})
    view = View(view.rotations[rows], view.pelvis[rows], view.betas[rows], condition, view.wild[rows])
    return Batch(view, batch.noise[rows], batch.t[rows], batch.keep[rows])


def flat(tensors) -> torch.Tensor:
    return torch.cat([t.detach().flatten() for t in tensors])


def first_gradient(trainer: Trainer, batch: Batch) -> torch.Tensor:
    """Of the untrained network without dropout."""
    trainer.model.eval()
    trainer.gradient(batch)
    trainer.model.train()
    return flat(p.grad for p in trainer.model.parameters())


def as_rank(data: Path, out: Path) -> None:
    """Joins the run and writes ``rank<i>.pt``.

    ``data`` holds the training frames and one batch, of which each process takes its part.
    """
    torch.set_num_threads(1)
    ranks = Ranks.join("cpu")
    stored = torch.load(data, weights_only=False)
    frames, batch = stored["frames"], stored["batch"]

    def trainer() -> Trainer:
        return Trainer(RECIPE, frames, frames[:4], out, ranks=ranks)

    whole = trainer()
    half = len(batch.t) // ranks.world
    result = {"gradient": first_gradient(whole, part(batch, slice(ranks.rank * half, (ranks.rank + 1) * half)))}
    result["drawn"] = whole.draw().noise
    whole = trainer()
    for _ in range(4):
        whole.train_step()
    result["weights"], result["ema"] = (flat(m.parameters()) for m in (whole.model, whole.ema))
    begun = trainer()
    for _ in range(2):
        begun.train_step()
    begun.save()
    resumed = trainer()
    assert resumed.resume()
    for _ in range(2):
        resumed.train_step()
    result["resumed"] = flat(resumed.ema.parameters())
    result["clock"] = ranks.clock()
    torch.save(result, out / f"rank{ranks.rank}.pt")
    ranks.leave()


def command(arguments: list[str], out: Path) -> None:
    """Runs ``training.lifting`` as one process of ``torchrun``, and keeps what it prints in ``printed<i>.txt``."""
    torch.set_num_threads(1)
    with (out / f"printed{os.environ['RANK']}.txt").open("w") as file, redirect_stdout(file):
        main(arguments)
