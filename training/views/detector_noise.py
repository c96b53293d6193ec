"""A detector's errors as training sees them: measured residuals of whole frames, drawn by the body's direction.

The errors of one frame belong together (a turned-away face, a leg taken for the other), so whole frames are drawn
and not keypoints. The bank holds what MediaPipe made of rendered people after the landmark mapping
(``benchmarks/detector/detector_gap.py``), and each frame also in the mirror.

``models/detector_noise.npz``: float16 ``offset`` [M, 25, 2] over the half-size of the box of the true keypoints, in
the crop frame (x right, y down); ``depth_error`` [M, 25] m, farther is positive; ``confidence`` [M, 25], 0 is missing;
``yaw`` [M] rad; int16 ``film`` and ``frame`` [M] at 30 frames a second. Offsets of what is missing are zero.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from diffmocap.body.skeleton import KEYPOINT_MIRROR, NUM_KEYPOINTS
from diffmocap.errors import ModelFileError
from diffmocap.files.array_archive import ArrayArchive
from diffmocap.resources import verified_model

DEFAULT_NOISE = "detector_noise.npz"


class NoiseDraw(NamedTuple):
    """Errors of B frames: offset [B, 25, 2] over the half-size, depth_error [B, 25] m, confidence [B, 25]."""

    offset: torch.Tensor
    depth_error: torch.Tensor
    confidence: torch.Tensor


@dataclass(frozen=True)
class DetectorNoise:
    """The bank on one device, frames and their mirror images in order of yaw.

    Attributes:
        offset [N, 25, 2], depth_error [N, 25], confidence [N, 25], yaw [N] ascending: as in the file.
        film, frame: [N] int64; a mirrored film has a number of its own.
    """

    offset: torch.Tensor
    depth_error: torch.Tensor
    confidence: torch.Tensor
    yaw: torch.Tensor
    film: torch.Tensor
    frame: torch.Tensor
    _successors: dict[object, tuple[torch.Tensor, torch.Tensor]] = field(default_factory=dict, repr=False)

    @classmethod
    def load(cls, path: str | Path | None = None, device: torch.device | str = "cpu") -> DetectorNoise:
        """The shipped bank, or one's own.

        Raises:
            ModelFileError: the file is missing, corrupt or no bank.
        """
        path = Path(path) if path else verified_model(DEFAULT_NOISE)
        advice = (
            "it is no bank of detector noise; reinstall diffmocap, or make one with benchmarks.detector.detector_gap"
        )
        with ArrayArchive(path, ModelFileError, advice) as data:
            yaw = data.array("yaw", (None,))
            if not len(yaw):
                raise data.refused("holds no frames")
            shapes = {"offset": (len(yaw), NUM_KEYPOINTS, 2), "depth_error": (len(yaw), NUM_KEYPOINTS),
                      "confidence": (len(yaw), NUM_KEYPOINTS)}  # fmt: skip
            offset, depth_error, confidence = (
                torch.from_numpy(data.array(key, shape).astype(np.float32)) for key, shape in shapes.items()
            )
            yaw = torch.from_numpy(yaw.astype(np.float32))
            film, frame = (torch.from_numpy(data.array(k, (len(yaw),)).astype(np.int64)) for k in ("film", "frame"))
        mirror = list(KEYPOINT_MIRROR)
        flip = torch.tensor([-1.0, 1.0])
        both = {
            "offset": torch.cat([offset, (offset * flip)[:, mirror]]),
            "depth_error": torch.cat([depth_error, depth_error[:, mirror]]),
            "confidence": torch.cat([confidence, confidence[:, mirror]]),
            "yaw": torch.cat([yaw, -yaw]),
            "film": torch.cat([film, film + film.max() + 1]),
            "frame": torch.cat([frame, frame]),
        }
        order = both["yaw"].argsort(stable=True)
        return cls(**{k: v[order].to(device) for k, v in both.items()})

    def draw(
        self, yaw: torch.Tensor, generator: torch.Generator | None = None,
        scale: tuple[float, float] = (0.5, 1.5), nearest: float = 0.1,
    ) -> NoiseDraw:  # fmt: skip
        """Errors for bodies that face ``yaw`` [B] rad: 0 into the camera, pi / 2 to the right of the image.

        One of the ``nearest`` share of the bank's frames by yaw, its errors times a number from ``scale`` that is drawn
        once a body; confidences stay as they are.
        """
        rows = self._nearest(self.yaw, yaw, generator, nearest)
        return self._scaled(rows, _factor(yaw, generator, scale))

    def draw_pair(
        self, yaw: torch.Tensor, generator: torch.Generator | None = None,
        scale: tuple[float, float] = (0.5, 1.5), nearest: float = 0.1, lag: int = 1,
    ) -> tuple[NoiseDraw, NoiseDraw]:  # fmt: skip
        """As :meth:`draw`, of two frames of one film: the first, and the one ``lag`` thirtieths of a second later.

        Raises:
            ValueError: no film of the bank is that long.
        """
        first, second = self._pairs(lag)
        if not len(first):
            raise ValueError(f"the bank has no frames that lie {lag} apart")
        chosen = self._nearest(self.yaw[first], yaw, generator, nearest)
        factor = _factor(yaw, generator, scale)
        return self._scaled(first[chosen], factor), self._scaled(second[chosen], factor)

    def draw_history(
        self, yaw: torch.Tensor, lags: tuple[int, ...], generator: torch.Generator | None = None,
        scale: tuple[float, float] = (0.5, 1.5), nearest: float = 0.1,
    ) -> tuple[NoiseDraw, torch.Tensor]:  # fmt: skip
        """As :meth:`draw`, of a frame and those ``lags`` thirtieths of a second before it in the same film.

        Each entry has a dimension more, [B, 1 + L, ...], the frame itself first. Also which of the earlier frames the
        bank has: [B, L] bool; the others repeat the frame itself.
        """
        rows = self._nearest(self.yaw, yaw, generator, nearest)
        earlier, there = zip(*(self._before(lag) for lag in lags))
        index = torch.stack([rows, *(e[rows] for e in earlier)], 1)
        draw = self._scaled(index.flatten(), _factor(yaw, generator, scale).repeat_interleave(1 + len(lags)))
        return NoiseDraw(*(x.unflatten(0, index.shape) for x in draw)), torch.stack([t[rows] for t in there], 1)

    def _before(self, lag: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Of every row, the row ``lag`` frames before it in its film, and whether there is one (else itself)."""
        key = ("before", lag)
        if key not in self._successors:
            first, second = self._pairs(lag)
            earlier = torch.arange(len(self.yaw), device=self.yaw.device)
            there = torch.zeros(len(self.yaw), dtype=torch.bool, device=self.yaw.device)
            earlier[second], there[second] = first, True
            self._successors[key] = earlier, there
        return self._successors[key]

    def _pairs(self, lag: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Rows of frames, in order of yaw, and of the frames ``lag`` after them."""
        if lag not in self._successors:
            length = int(self.frame.max()) + lag + 1
            key, order = (self.film * length + self.frame).sort()
            wanted = self.film * length + self.frame + lag
            place = torch.searchsorted(key, wanted).clamp_max(len(key) - 1)
            first = torch.nonzero(key[place] == wanted)[:, 0]
            self._successors[lag] = first, order[place[first]]
        return self._successors[lag]

    def _scaled(self, rows: torch.Tensor, factor: torch.Tensor) -> NoiseDraw:
        return NoiseDraw(
            self.offset[rows] * factor[:, None, None], self.depth_error[rows] * factor[:, None], self.confidence[rows]
        )

    @staticmethod
    def _nearest(
        sorted_yaw: torch.Tensor, yaw: torch.Tensor, generator: torch.Generator | None, nearest: float
    ) -> torch.Tensor:
        half = max(round(0.5 * nearest * len(sorted_yaw)), 1)
        shift = torch.randint(-half, half, yaw.shape, generator=generator, device=yaw.device)
        wrapped = torch.remainder(yaw + torch.pi, 2 * torch.pi) - torch.pi
        # Ranks go round as yaw does.
        return (torch.searchsorted(sorted_yaw, wrapped.contiguous()) + shift) % len(sorted_yaw)


def _factor(yaw: torch.Tensor, generator: torch.Generator | None, scale: tuple[float, float]) -> torch.Tensor:
    low, high = scale
    return low + (high - low) * torch.rand(yaw.shape, generator=generator, device=yaw.device)
