"""Choosing a compute device, with an error one can act on."""

from __future__ import annotations

import re

import torch

from diffmocap.errors import DeviceError


def resolve_device(name: str) -> torch.device:
    """``cpu``, ``cuda`` or ``cuda:N`` as a torch device that exists on this machine.

    Raises:
        DeviceError: another name, or a GPU that is not there.
    """
    if not re.fullmatch(r"cpu|cuda(:\d+)?", name):
        raise DeviceError(f"unknown device {name!r}; use 'cpu', 'cuda' or 'cuda:N'")
    if name == "cpu":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        built = "was built without CUDA" if torch.version.cuda is None else "finds no NVIDIA GPU or driver"
        raise DeviceError(f"device {name!r} was asked for, but PyTorch {torch.__version__} {built}; use device 'cpu'")
    index = int(name.partition(":")[2] or 0)
    if index >= torch.cuda.device_count():
        raise DeviceError(
            f"device {name!r} does not exist; this machine has cuda:0 to cuda:{torch.cuda.device_count() - 1}"
        )
    return torch.device(name)
