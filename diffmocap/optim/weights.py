"""Weights of learned optimizers as safetensors, with kind and settings in the header; nothing is unpickled."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import save_file

from diffmocap.errors import ModelFileError
from diffmocap.files.weights_file import WeightsFile
from diffmocap.optim.adafactor_mlp import AdafactorMlp, AdafactorMlpSettings
from diffmocap.optim.features import FeatureSettings
from diffmocap.optim.learned import LearnedOptimizer
from diffmocap.optim.learned_gradient_descent import LearnedGradientDescent, LearnedGradientDescentSettings
from diffmocap.optim.optimus import Optimus, OptimusSettings
from diffmocap.resources import verified_model

FORMAT = "diffmocap-optimizer-1"
#: Trained optimizers of the package: what :func:`load_shipped` calls them, and their files in ``models/``.
#: ``optimus_controls`` knows DiffPhy in the metric of its controls alone: it belongs into an
#: :class:`~diffmocap.refinement.diffphy.control_metric.InControlMetric`.
SHIPPED = {
    "optimus": "optimus.safetensors", "optimus_rosenbrock": "optimus_rosenbrock.safetensors",
    "adafactor_mlp_128x4": "adafactor_mlp_128x4.safetensors", "adafactor_mlp_512x4": "adafactor_mlp_512x4.safetensors",
    "optimus_window": "optimus_window.safetensors", "optimus_diffphy": "optimus_diffphy.safetensors",
    "optimus_controls": "optimus_controls.safetensors",
    "adafactor_mlp_window": "adafactor_mlp_window.safetensors",
    "adafactor_mlp_diffphy": "adafactor_mlp_diffphy.safetensors",
    "learned_gradient_descent": "learned_gradient_descent.safetensors",
}  # fmt: skip
#: What the header calls an optimizer.
KINDS: dict[str, tuple[type[LearnedOptimizer], type]] = {
    "optimus": (Optimus, OptimusSettings), "adafactor_mlp": (AdafactorMlp, AdafactorMlpSettings),
    "learned_gradient_descent": (LearnedGradientDescent, LearnedGradientDescentSettings),
}  # fmt: skip


def build(kind: str, settings: dict) -> LearnedOptimizer:
    """An optimizer with random weights from its kind and the fields of its settings, nested ones as dicts.

    Raises:
        KeyError, TypeError, SettingsError: an unknown kind or setting, or one outside its range.
    """
    optimizer, settings_class = KINDS[kind]
    known = dict(settings)
    if isinstance(known.get("features"), dict):
        known["features"] = FeatureSettings(**known["features"])
    return optimizer(settings_class(**known))


def kind_of(optimizer: LearnedOptimizer) -> str:
    """The name of its kind in :data:`KINDS`."""
    return next(kind for kind, (cls, _) in KINDS.items() if type(optimizer) is cls)


def save_optimizer(optimizer: LearnedOptimizer, path: Path, info: dict | None = None) -> None:
    """Writes weights, kind and settings, with ``info`` (data, command, figures) beside them."""
    tensors = {k: v.detach().contiguous().cpu() for k, v in optimizer.state_dict().items()}
    header = {"kind": kind_of(optimizer), "settings": asdict(optimizer.settings), "info": info or {}}
    partial = path.with_suffix(".partial")
    save_file(tensors, partial, {"format": FORMAT, **{k: json.dumps(v) for k, v in header.items()}})
    partial.replace(path)


def load_optimizer(path: str | Path, device: torch.device | str = "cpu") -> LearnedOptimizer:
    """The optimizer from a file, ready to use: its weights take no gradient.

    Raises:
        ModelFileError: missing, corrupt, not safetensors, or not of a learned optimizer.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise ModelFileError(f"weights file {path} does not exist")
    stored = WeightsFile.read(path, FORMAT, "learned optimizer", "train one with `python -m training.optim`")
    try:
        kind, settings = json.loads(stored.metadata["kind"]), stored.section("settings")
        optimizer = stored.network(settings, lambda: build(kind, settings), "optimizers")
        optimizer.load_state_dict(stored.tensors)
    except (KeyError, TypeError, ValueError, RuntimeError) as e:
        raise ModelFileError(f"{path} does not fit this version's optimizers: {e}") from e
    return optimizer.to(device).eval().requires_grad_(False)


def load_shipped(name: str = "optimus", device: torch.device | str = "cpu") -> LearnedOptimizer:
    """One of :data:`SHIPPED`, its file compared with the manifest first.

    Raises:
        ModelFileError: no such name, or a file that is missing or not the one that was shipped.
    """
    if name not in SHIPPED:
        raise ModelFileError(f"no optimizer {name!r} is shipped; one of {', '.join(SHIPPED)}")
    return load_optimizer(verified_model(SHIPPED[name]), device)
