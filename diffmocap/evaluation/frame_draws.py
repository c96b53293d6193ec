"""Random numbers that belong to a frame: the same whatever batch, subset or order the frame is seen in."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch


class FrameDraws:
    """Independent streams of random numbers, one per frame, read side by side as batches.

    A stream is Philox (Salmon et al. 2011) keyed by ``seed`` and the frame's number; its raw words are the same in
    every version of numpy, and so are the numbers made from them here. ``stream`` tells apart what one frame needs
    several streams for.

    Args:
        frames: numbers of the frames, at least 0.
    """

    def __init__(self, seed: int, frames: Sequence[int] | torch.Tensor, stream: int = 0) -> None:
        keys = [int(f) for f in frames]
        self._streams = [np.random.Philox(key=[seed, f], counter=[0, 0, 0, stream]) for f in keys]

    def uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> torch.Tensor:
        """[frames, *shape] float32, evenly spread over (low, high)."""
        return (low + (high - low) * self._unit(shape)).float()

    def normal(self, *shape: int) -> torch.Tensor:
        """[frames, *shape] float32, standard normal (by the inverse of its distribution function)."""
        return torch.special.ndtri(self._unit(shape)).float()

    def _unit(self, shape: tuple[int, ...]) -> torch.Tensor:
        count = int(np.prod(shape))
        words = np.stack([s.random_raw(count) for s in self._streams]).reshape(-1, *shape)
        return torch.from_numpy(((words >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53)
