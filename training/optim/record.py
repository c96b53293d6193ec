"""How a run was trained, from its folder: what the manifest and pages say of it."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from training.manifest import without_folders


def checkpoint_of(run: Path) -> dict:
    """The last checkpoint of a run, on the CPU."""
    return torch.load(run / "checkpoint.pt", map_location="cpu", weights_only=True)


def record_of(run: Path, best: bool = False, checkpoint: dict | None = None) -> dict:
    """How a run was trained: commands, recipe, length, validation at its end, or the ``best`` one.

    ``checkpoint`` is the run's, where it has been read already.
    """
    starts = [json.loads(line) for line in (run / "starts.jsonl").read_text().splitlines()]
    state = checkpoint_of(run) if checkpoint is None else checkpoint
    history = sorted(state["history"], key=lambda one: -one["validation"]) if best else state["history"]
    return {
        "recipe": json.loads((run / "recipe.json").read_text()),
        "starts": [{**start, "command": without_folders(start["command"])} for start in starts],
        "step": state["step"], "processor_minutes": round(state["seconds"] / 60, 1),
        "validation": history[-1] if history else None,
    }  # fmt: skip
