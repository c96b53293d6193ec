"""The last frames of a stream as tensors, from which a window is made without copying them."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from statistics import median

import numpy as np
import torch

from diffmocap.body.skeleton import NUM_JOINTS, NUM_KEYPOINTS
from diffmocap.errors import SettingsError

#: Positions farther than this from the camera [m], or from the image's corner [px], are no observations.
_FARTHEST_M, _FARTHEST_PX = 100.0, 1e5
#: Entries of R^T R - 1 that rounding leaves, and more than it leaves.
_SQUARE = 1e-2


@dataclass(frozen=True)
class LiveFrame:
    """What one image brought, in the camera's optical frame; what cannot be used may hold any number, NaN too.

    Attributes:
        rotations: [K, 24, 3, 3] local rotations of the hypotheses; entry 0 turns the body into the frame. None: the
            image brought no pose.
        pelvis: [K, 3] m.
        log_weights: [K] nats, of any normalisation. The heaviest one is the unrefined pose.
        points_px: [25, 2] BODY_25 keypoints. confidence: [25] in [0, 1].
        K: [3, 3] camera matrix [px].
    """

    rotations: torch.Tensor | None
    pelvis: torch.Tensor | None
    log_weights: torch.Tensor | None
    points_px: torch.Tensor
    confidence: torch.Tensor
    K: torch.Tensor


class WindowBuffer:
    """The last ``frames`` frames with up to ``hypotheses`` hypotheses each, oldest first, float32.

    Every frame is written twice, ``frames`` apart, so that the last ones always lie side by side and are views. They
    hold until the next :meth:`push`. Hypotheses beyond the number kept are the lightest, and are left out.

    Attributes:
        count: frames held, the places of lost ones among them.
    """

    def __init__(self, frames: int, hypotheses: int) -> None:
        if frames < 1 or hypotheses < 1:
            raise SettingsError(f"a buffer needs at least 1 frame and 1 hypothesis, got {frames} and {hypotheses}")
        self.frames, self.hypotheses = frames, hypotheses
        length = 2 * frames
        # Written by NumPy, whose small operations cost a third of torch's; the views are torch's on the same memory.
        self._rotations = np.tile(np.eye(3, dtype=np.float32), (length, hypotheses, NUM_JOINTS, 1, 1))
        self._pelvis = np.zeros((length, hypotheses, 3), np.float32)
        self._log_weights = np.full((length, hypotheses), -np.inf, np.float32)
        self._lifted = np.zeros(length, bool)
        self._points = np.zeros((length, NUM_KEYPOINTS, 2), np.float32)
        self._confidence = np.zeros((length, NUM_KEYPOINTS), np.float32)
        self._numbers = [0] * length
        self.K = torch.eye(3)
        self.clear()

    def clear(self) -> None:
        """Forget all frames."""
        self.count, self._next, self._pushed = 0, 0, 0
        self._steps: deque[float] = deque(maxlen=31)

    def push(self, frame: LiveFrame, dt_s: float) -> int:
        """Keep a frame, and leave the place of those empty that were lost on the way; how many places that took.

        Args:
            dt_s: time since the last frame, positive; without meaning for the first one.
        """
        missing = 0
        if self.count:
            if not dt_s > 0:
                raise SettingsError(f"the time since the last frame must be positive, got {dt_s} s")
            missing = min(max(round(dt_s / self.dt_s(dt_s)) - 1, 0), self.frames)
            self._steps.append(dt_s / (missing + 1))
            for _ in range(missing):
                self._write(None)
        self._pushed += 1
        self._write(frame)
        return missing + 1

    def dt_s(self, otherwise: float = 1 / 30) -> float:
        """Time between frames: the median, which single late ones do not move."""
        return median(self._steps) if self._steps else otherwise

    def age(self, place: int) -> int:
        """How many frames have been pushed since the one at ``place`` before the newest; no place of a lost one."""
        return self._pushed - self._numbers[self._next + self.frames - 1 - place]

    def views(self) -> dict[str, torch.Tensor]:
        """What a :class:`diffmocap.refinement.window.window.Window` of one batch holds of it."""
        held = slice(self._next + self.frames - self.count, self._next + self.frames)
        rotations, pelvis, log_weights, lifted, points, confidence = (
            torch.from_numpy(field[held])
            for field in (
                self._rotations, self._pelvis, self._log_weights, self._lifted, self._points, self._confidence
            )
        )  # fmt: skip
        return {
            "rotations": rotations.transpose(0, 1)[None], "pelvis": pelvis.transpose(0, 1)[None],
            "log_weights": log_weights.T[None], "lifted": lifted[None], "points_px": points[None],
            "confidence": confidence[None], "K": self.K[None],
        }  # fmt: skip

    def _write(self, frame: LiveFrame | None) -> None:
        poses = None if frame is None else _usable(frame, self.hypotheses)
        seen = None if frame is None else self._seen(frame)
        places = slice(self._next, None, self.frames)  # both of this frame's
        for i in (self._next, self._next + self.frames):
            self._numbers[i] = self._pushed
        self._lifted[places] = poses is not None
        self._log_weights[places], self._confidence[places] = -np.inf, 0.0
        if poses is not None:
            rotations, pelvis, log_weights = poses
            k = len(pelvis)
            self._rotations[places, :k], self._pelvis[places, :k] = rotations, pelvis
            self._log_weights[places, :k] = log_weights
        if seen is not None:
            self._points[places], self._confidence[places] = seen
        self._next = (self._next + 1) % self.frames
        self.count = min(self.count + 1, self.frames)

    def _seen(self, frame: LiveFrame) -> tuple[np.ndarray, np.ndarray] | None:
        """Keypoints [25, 2] px and confidences [25] that are numbers, if the camera is one."""
        points, confidence, K = (x.detach().numpy() for x in (frame.points_px, frame.confidence, frame.K))
        if not np.isfinite(K).all() or not (K[0, 0] > 0 and K[1, 1] > 0):
            return None
        self.K = frame.K.detach().float()
        seen = (np.abs(points) < _FARTHEST_PX).all(-1) & (confidence > 0)
        return np.where(seen[:, None], points, 0.0), np.where(seen, np.minimum(confidence, 1.0), 0.0)


def _usable(frame: LiveFrame, most: int) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Rotations, pelvis and log-weights of the hypotheses that are poses, heaviest first, ``most`` at the most; None
    without any."""
    if frame.rotations is None or frame.pelvis is None or frame.log_weights is None:
        return None
    rotations, pelvis, log_weights = (x.detach().numpy() for x in (frame.rotations, frame.pelvis, frame.log_weights))
    with np.errstate(invalid="ignore", over="ignore"):  # a matrix with NaN or infinite entries fails both checks
        away = np.abs(rotations @ rotations.swapaxes(-1, -2) - np.eye(3, dtype=rotations.dtype)).max((-1, -2, -3))
        turns = (np.linalg.det(rotations) > 0).all(-1)
    near = (np.abs(pelvis) < _FARTHEST_M).all(-1)
    good = (away < _SQUARE) & turns & near & (log_weights > -np.inf) & (log_weights < np.inf)
    if not good.any():
        return None
    best = np.argsort(np.where(good, -log_weights, np.inf), kind="stable")[: min(int(good.sum()), most)]
    return rotations[best], pelvis[best], log_weights[best]
