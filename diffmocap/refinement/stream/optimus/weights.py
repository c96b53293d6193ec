"""Weights of a stream's Optimus as safetensors, with its settings in the header; nothing is unpickled."""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path

from safetensors.torch import save_file

from diffmocap.errors import ModelFileError
from diffmocap.files.weights_file import WeightsFile
from diffmocap.refinement.stream.optimus.network import StreamOptimus, StreamOptimusSettings
from diffmocap.resources import verified_model

FORMAT = "diffmocap-stream-optimizer-1"
SHIPPED = "optimus_stream.safetensors"
#: The same network, trained on whole windows.
SHIPPED_WINDOWS = "optimus_whole_windows.safetensors"


def save_stream_optimus(network: StreamOptimus, path: Path, info: dict | None = None) -> None:
    """Writes weights and settings, with ``info`` (data, command, figures) beside them."""
    tensors = {name: value.detach().contiguous().cpu() for name, value in network.state_dict().items()}
    header = {"settings": json.dumps(asdict(network.settings)), "info": json.dumps(info or {})}
    partial = path.with_suffix(".partial")
    save_file(tensors, partial, {"format": FORMAT, **header})
    partial.replace(path)


def load_stream_optimus(path: str | Path | None = None) -> StreamOptimus:
    """The network from a file, or the shipped one, ready to use: its weights take no gradient.

    Raises:
        ModelFileError: missing, corrupt, not safetensors, of another kind, or not the one that was shipped.
    """
    path = verified_model(SHIPPED) if path is None else Path(path).expanduser()
    if not path.is_file():
        raise ModelFileError(f"weights file {path} does not exist")
    stored = WeightsFile.read(path, FORMAT, "optimizer of streams", "train one with `python -m training.stream`")
    try:
        settings = stored.section("settings")
        network = stored.network(settings, lambda: StreamOptimus(StreamOptimusSettings(**settings)), "optimizers")
        network.load_state_dict(stored.tensors)
    except (KeyError, TypeError, ValueError, RuntimeError) as e:
        raise ModelFileError(f"{path} does not fit this version's optimizers: {e}") from e
    return network.eval().requires_grad_(False)


@lru_cache(maxsize=1)
def shipped_stream_optimus() -> StreamOptimus:
    """The shipped network, read once."""
    return load_stream_optimus()


@lru_cache(maxsize=1)
def shipped_window_optimus() -> StreamOptimus:
    """The shipped network of whole windows, read once."""
    return load_stream_optimus(verified_model(SHIPPED_WINDOWS))
