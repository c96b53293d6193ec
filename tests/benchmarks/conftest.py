"""What tests of several benchmarks share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch


@pytest.fixture
def one_thread() -> Iterator[None]:
    """PyTorch on one thread, which small problems are faster on."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module", autouse=True)
def cut_splits(mocap_dir: Path) -> Iterator[None]:
    """Commands that look for motion capture themselves find the tests' own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DIFFMOCAP_DATA", str(mocap_dir))
        yield
