"""Handwritten digits for the example: MNIST from its four files, or the 8x8 digits that scikit-learn carries."""

from __future__ import annotations

import gzip
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

#: MNIST's files; each may end in .gz, and the dot before ``idx`` may be a dash or a dot.
MNIST_FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
#: Type byte of an idx file that holds unsigned bytes.
IDX_UINT8 = 8


class DigitsError(ValueError):
    """The digits cannot be read; the message says what to do."""


@dataclass
class Digits:
    """Images [N, 1, H, W] in [-1, 1] (ink is 1) and labels [N] int64 to train on, and as many of each kept aside."""

    train_images: torch.Tensor
    train_labels: torch.Tensor
    test_images: torch.Tensor
    test_labels: torch.Tensor


def read_idx(path: Path) -> np.ndarray:
    """The array in an idx file of bytes, gzipped or not.

    The format (of MNIST's page): two zero bytes, a type byte, the number of dimensions, each dimension as a big-endian
    32-bit integer, then the values.

    Raises:
        DigitsError: it is no idx file of bytes, or is cut short.
    """
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError) as error:
        raise DigitsError(f"{path} cannot be read ({error}); download it again") from error
    if len(data) < 4 or data[:3] != bytes([0, 0, IDX_UINT8]):
        raise DigitsError(f"{path} is no idx file of bytes: it should begin with 00 00 08, not {data[:3].hex(' ')}")
    first = 4 + 4 * data[3]
    shape = [int.from_bytes(data[i : i + 4], "big") for i in range(4, first, 4)]
    if len(data) != first + math.prod(shape):
        raise DigitsError(f"{path} is cut short: {len(data)} bytes do not make an array of shape {shape}")
    return np.frombuffer(data, np.uint8, offset=first).reshape(shape)


def load_mnist(folder: Path) -> Digits:
    """MNIST from the folder with its four idx files, each gzipped or not.

    Raises:
        DigitsError: a file is missing, broken, or does not fit its partner.
    """
    arrays, missing = [], []
    for name in MNIST_FILES:
        dotted = name.replace("-idx", ".idx")
        found = [path for stem in (name, dotted) for path in (folder / stem, folder / f"{stem}.gz") if path.is_file()]
        missing += [] if found else [name]
        arrays += [read_idx(found[0])] if found else []
    if missing:
        raise DigitsError(f"{folder} lacks {', '.join(missing)} (or the same with .gz): MNIST is these four files")
    for images, labels in (arrays[:2], arrays[2:]):
        if images.ndim != 3 or labels.shape != images.shape[:1] or (len(labels) and labels.max() > 9):
            raise DigitsError(f"{folder}: images {images.shape} and labels {labels.shape} do not belong together")
    images = [torch.from_numpy(a.astype(np.float32))[:, None] / 127.5 - 1 for a in arrays[::2]]
    labels = [torch.from_numpy(a.astype(np.int64)) for a in arrays[1::2]]
    return Digits(images[0], labels[0], images[1], labels[1])


def load_bundled() -> Digits:
    """The 1797 digits of 8x8 pixels that scikit-learn carries; every fourth is kept aside."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = torch.from_numpy(digits.images.astype(np.float32))[:, None] / 8 - 1
    labels = torch.from_numpy(digits.target.astype(np.int64))
    aside = torch.arange(len(labels)) % 4 == 3
    return Digits(images[~aside], labels[~aside], images[aside], labels[aside])
