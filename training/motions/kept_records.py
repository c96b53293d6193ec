"""Dataclasses of tensors in one safetensors file: what takes minutes to make is kept beside a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from diffmocap.errors import MotionFileError

Record = TypeVar("Record")


def save_records(records: Sequence[Any], path: Path) -> None:
    """Writes dataclasses whose fields are all tensors."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(
        {f"{i}.{f.name}": getattr(r, f.name).contiguous().clone() for i, r in enumerate(records) for f in fields(r)},
        path,
    )  # fmt: skip


def load_records(kind: type[Record], path: Path, what: str) -> list[Record]:
    """Reads what :func:`save_records` wrote of one kind; ``what`` names them in the error.

    Raises:
        MotionFileError: the file is missing or holds something else.
    """
    try:
        tensors = load_file(path)
        count = 1 + max(int(name.split(".")[0]) for name in tensors)
        return [kind(**{f.name: tensors[f"{i}.{f.name}"] for f in fields(kind)}) for i in range(count)]
    except (SafetensorError, OSError, ValueError, KeyError) as e:
        again = "make them again with python -m training.optim"
        raise MotionFileError(f"{path} holds no {what}: {e}; {again}") from e
