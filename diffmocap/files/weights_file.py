"""Weights of a network from safetensors files of unknown origin; nothing is unpickled.

The header says how large the network is. Before one of that size is made, its settings are compared with the tensors
that lie in the file: a header that asks for a network of a terabyte is refused rather than obeyed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from diffmocap.errors import DiffmocapError, ModelFileError

#: Settings that are sides of tensors, and what they are at most; and what any other whole number is at most.
_WIDTHS = ("width", "feedforward", "dimension")
WIDEST = 16_384
LARGEST = 100_000


@dataclass(frozen=True)
class WeightsFile:
    """What a file holds: its ``path``, the header's texts as ``metadata``, and float32 ``tensors`` by their names."""

    path: Path
    metadata: dict[str, str]
    tensors: dict[str, torch.Tensor]

    @classmethod
    def read(cls, path: Path, format_name: str, what: str, advice: str) -> WeightsFile:
        """Reads a file whose header says ``format_name``.

        Args:
            path: of the file.
            format_name: the header's ``format``.
            what: what the file should hold, for messages.
            advice: where to get one.

        Raises:
            ModelFileError: corrupt, not safetensors, of another format, or with tensors that are no finite numbers.
        """
        try:
            with safe_open(path, "pt") as f:
                metadata = f.metadata() or {}
                tensors = {key: f.get_tensor(key) for key in f.keys()}
        except (SafetensorError, OSError, ValueError, MemoryError, RuntimeError) as e:
            raise ModelFileError(
                f"{path} cannot be read as safetensors ({e}); it is corrupt or of another format: {advice}"
            ) from e
        if metadata.get("format") != format_name:
            raise ModelFileError(
                f"{path} holds no {what}: its header says {metadata.get('format')!r}, expected {format_name!r}; "
                + advice
            )
        for name, tensor in tensors.items():
            if not tensor.dtype.is_floating_point:
                what_came = f"the tensor {name} holds {tensor.dtype}, expected floating point"
                raise ModelFileError(f"{path}: {what_came}; {advice}")
        tensors = {name: tensor.float() for name, tensor in tensors.items()}
        if bad := [name for name, tensor in tensors.items() if not bool(torch.isfinite(tensor).all())]:
            raise ModelFileError(f"{path}: the tensor {bad[0]} holds values that are not finite; {advice}")
        return cls(path, metadata, tensors)

    def section(self, key: str) -> dict[str, Any]:
        """A part of the header that is a JSON object.

        Raises:
            KeyError, TypeError, ValueError: it is missing, or of another kind.
        """
        value = json.loads(self.metadata[key])
        if not isinstance(value, dict):
            raise TypeError(f"its header's {key} is no JSON object")
        return value

    def network(self, settings: Mapping[str, Any], build: Callable[[], nn.Module], what: str) -> nn.Module:
        """The network that the settings describe, which must fit the file's tensors.

        Args:
            settings: of the header.
            build: makes the network with random weights.
            what: what does not fit, for messages.

        Raises:
            ModelFileError: settings of another kind or size.
        """
        try:
            self._check_sizes(settings)
            return build()
        except (
            KeyError, TypeError, ValueError, AttributeError, RuntimeError, ArithmeticError, MemoryError, DiffmocapError,
        ) as e:  # fmt: skip
            raise ModelFileError(f"{self.path} does not fit this version's {what}: {_words(e)}") from e

    def _check_sizes(self, settings: Mapping[str, Any]) -> None:
        """No network has more layers than tensors, and none is wider than the longest side of its tensors."""
        widest = max((side for tensor in self.tensors.values() for side in tensor.shape), default=0)
        for name, value in settings.items():
            if isinstance(value, Mapping):
                self._check_sizes(value)
            elif isinstance(value, int):
                if name.endswith(("layers", "encoders")):
                    most = len(self.tensors)
                else:
                    most = min(widest, WIDEST) if name.endswith(_WIDTHS) else LARGEST
                if value > most:
                    raise ValueError(f"its header says {name} {value}, its tensors admit {most}")


def _words(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
