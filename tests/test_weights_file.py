"""Weights from outside: whatever is in header and tensors, the error is a sentence and memory stays small."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from diffmocap.errors import ModelFileError
from diffmocap.lifting.network.denoiser import DenoiserConfig, TransformerDenoiser
from diffmocap.lifting.network.weights import FORMAT, load_weights, save_weights
from diffmocap.optim import weights as optimizers
from diffmocap.optim.adafactor_mlp import AdafactorMlp, AdafactorMlpSettings

SMALL = DenoiserConfig(width=16, heads=2, feedforward=32, decoder_layers=1)


def lifting_file(path: Path, change: Callable[[dict, dict], None]) -> Path:
    """A small network's file after ``change(tensors, header)``."""
    model = TransformerDenoiser(SMALL)
    tensors = {key: value.contiguous() for key, value in model.state_dict().items()}
    header = {"format": FORMAT, "config": json.dumps(SMALL.as_dict()), "info": "{}"}
    change(tensors, header)
    save_file(tensors, path, header)
    return path


def config(**changes) -> str:
    return json.dumps(SMALL.as_dict() | changes)


def test_what_was_saved_is_read_again(tmp_path):
    model = TransformerDenoiser(SMALL)
    save_weights(model, tmp_path / "own.safetensors")
    read = load_weights(tmp_path / "own.safetensors")
    assert read.config == SMALL and read.student is None


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda t, h: h.update(config="[]"), "no JSON object"),
        (lambda t, h: h.update(config='"a"'), "no JSON object"),
        (lambda t, h: h.update(config="{"), "does not fit"),
        (lambda t, h: h.update(config="[" * 100_000), "does not fit"),
        (lambda t, h: h.pop("config"), "config"),
        (lambda t, h: h.update(config=config(architecture="lstm")), "lstm"),
        (lambda t, h: h.update(config=config(architecture=[1])), "does not fit"),
        (lambda t, h: h.update(config=config(width=10**9, heads=1)), "width 1000000000"),
        (lambda t, h: h.update(config=config(feedforward=10**12)), "feedforward"),
        (lambda t, h: h.update(config=config(decoder_layers=10**9)), "decoder_layers"),
        (lambda t, h: h.update(config=config(diffusion_steps=10**12)), "diffusion_steps"),
        (lambda t, h: h.update(config=config(heads=0)), "does not fit"),
        (lambda t, h: h.update(config=config(width="wide")), "does not fit"),
        (lambda t, h: h.update(config=config(width=None)), "does not fit"),
        (lambda t, h: h.update(config=config(schedule=7)), "does not fit"),
        (lambda t, h: h.update(info="[1]"), "no JSON object"),
        (lambda t, h: h.update(info='{"student": 3}'), "student"),
        (lambda t, h: t.update({"keypoint_in.weight": torch.tensor(1.0)}), "does not fit"),
        (lambda t, h: t.update({"keypoint_in.weight": torch.ones(16, 6, dtype=torch.int64)}), "floating point"),
        (lambda t, h: t.update({"pose_mean": torch.full_like(t["pose_mean"], torch.nan)}), "not finite"),
        (lambda t, h: t.pop("pose_mean"), "pose_mean"),
    ],
)  # fmt: skip
def test_lifting_weights_of_another_kind_are_refused(tmp_path, change, says):
    path = lifting_file(tmp_path / "odd.safetensors", change)
    with pytest.raises(ModelFileError, match=says) as caught:
        load_weights(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("header", "says"),
    [
        ({"kind": '"optimus"', "settings": "[]"}, "no JSON object"),
        ({"kind": "[]", "settings": "{}"}, "does not fit"),
        ({"kind": '"nobody"', "settings": "{}"}, "nobody"),
        ({"settings": "{}"}, "kind"),
        ({"kind": '"adafactor_mlp"', "settings": '{"width": 1000000000}'}, "width"),
        ({"kind": '"adafactor_mlp"', "settings": '{"layers": 1000000000}'}, "layers"),
        ({"kind": '"adafactor_mlp"', "settings": '{"features": 3}'}, "does not fit"),
        ({"kind": '"learned_gradient_descent"', "settings": '{"dimension": 1000000000}'}, "dimension"),
    ],
)  # fmt: skip
def test_optimizers_of_another_kind_are_refused(tmp_path, header, says):
    optimizer = AdafactorMlp(AdafactorMlpSettings(width=8, layers=2))
    path = tmp_path / "odd.safetensors"
    optimizers.save_optimizer(optimizer, path)
    optimizers.load_optimizer(path)
    save_file(optimizer.state_dict(), path, {"format": optimizers.FORMAT, **header})
    with pytest.raises(ModelFileError, match=says):
        optimizers.load_optimizer(path)
