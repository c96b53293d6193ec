"""AdamW's second moments in a few kilobytes, so that shipped weights can be trained on.

A checkpoint holds the weights, their average and two moments of each: four times the network. To go on from shipped
weights, which are the average, the first moments may begin at zero, but without the second ones the first steps would
be as large for a weight that hardly changes any more as for any other. Those of a matrix are kept as Adafactor has them
(Shazeer & Stern 2018, algorithm 4): means of rows and of columns, whose product over the whole mean stands for it.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from diffmocap.errors import SettingsError

#: Beside the averaged weights: what it takes to train them on.
MOMENTS = "lifting_moments.safetensors"


def save_moments(model: torch.nn.Module, optimizer: torch.optim.AdamW, path: Path) -> None:
    """Writes the second moments of every parameter that has been updated, factored, and the number of updates."""
    out = {}
    for name, parameter in model.named_parameters():
        state = optimizer.state.get(parameter, {})
        if "exp_avg_sq" not in state:
            continue
        square = state["exp_avg_sq"].float().cpu()
        out[f"{name}/step"] = torch.as_tensor(float(state["step"]))
        if square.dim() == 2:
            out[f"{name}/rows"], out[f"{name}/columns"] = square.mean(1), square.mean(0)
        else:
            out[f"{name}/all"] = square.contiguous()
    partial = path.with_suffix(".partial")
    save_file(out, partial, {"config": json.dumps(model.config.as_dict())})
    partial.replace(path)


def load_moments(model: torch.nn.Module, optimizer: torch.optim.AdamW, path: Path) -> bool:
    """Gives a fresh optimizer the moments of :func:`save_moments`; first moments are zero.

    False, and nothing is changed, where the moments are another network's: several may ship in one folder.

    Raises:
        SettingsError: the file is missing or no such file.
    """
    try:
        with safe_open(path, "pt") as f:
            if json.loads((f.metadata() or {}).get("config", "null")) != model.config.as_dict():
                return False
        stored = load_file(path)
        for name, parameter in model.named_parameters():
            if f"{name}/step" not in stored:
                continue
            if f"{name}/rows" in stored:
                rows, columns = stored[f"{name}/rows"], stored[f"{name}/columns"]
                square = rows[:, None] * columns / rows.mean().clamp_min(1e-30)
            else:
                square = stored[f"{name}/all"]
            optimizer.state[parameter] = {
                "step": stored[f"{name}/step"].clone(), "exp_avg": torch.zeros_like(parameter),
                "exp_avg_sq": square.to(parameter),
            }  # fmt: skip
    except (OSError, KeyError, ValueError, RuntimeError, SafetensorError) as e:
        raise SettingsError(f"{path} holds no moments of an optimizer: {e}") from e
    return True
