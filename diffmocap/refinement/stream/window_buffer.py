"""The last frames of a stream as tensors, from which a window is made without copying them."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from statistics import median

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
        self._rotations = torch.eye(3).repeat(length, hypotheses, NUM_JOINTS, 1, 1)
        self._pelvis = torch.zeros(length, hypotheses, 3)
        self._log_weights = torch.full((length, hypotheses), -torch.inf)
        self._lifted = torch.zeros(length, dtype=torch.bool)
        self._points = torch.zeros(length, NUM_KEYPOINTS, 2)
        self._confidence = torch.zeros(length, NUM_KEYPOINTS)
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
        return {
            "rotations": self._rotations[held].transpose(0, 1)[None],
            "pelvis": self._pelvis[held].transpose(0, 1)[None],
            "log_weights": self._log_weights[held].T[None], "lifted": self._lifted[held][None],
            "points_px": self._points[held][None], "confidence": self._confidence[held][None], "K": self.K[None],
        }  # fmt: skip

    def _write(self, frame: LiveFrame | None) -> None:
        best = None if frame is None else _usable(frame, self.hypotheses)
        seen = None if frame is None else self._seen(frame)
        for i in (self._next, self._next + self.frames):
            self._numbers[i] = self._pushed
            self._lifted[i] = best is not None
            self._log_weights[i] = -torch.inf
            self._confidence[i] = 0.0
            if best is not None:
                k = len(best)
                self._rotations[i, :k], self._pelvis[i, :k] = frame.rotations[best], frame.pelvis[best]
                self._log_weights[i, :k] = frame.log_weights[best]
            if seen is not None:
                self._points[i], self._confidence[i] = seen
        self._next = (self._next + 1) % self.frames
        self.count = min(self.count + 1, self.frames)

    def _seen(self, frame: LiveFrame) -> tuple[torch.Tensor, torch.Tensor] | None:
        """Keypoints [25, 2] px and confidences [25] that are numbers, if the camera is one."""
        points, confidence, K = frame.points_px.detach(), frame.confidence.detach(), frame.K.detach()
        if not bool(torch.isfinite(K).all()) or not bool(K[0, 0] > 0 and K[1, 1] > 0):
            return None
        self.K = K.float()
        seen = (points.abs() < _FARTHEST_PX).all(-1) & (confidence > 0)
        points = torch.where(seen[:, None], points, 0.0).float()
        return points, torch.where(seen, confidence.clamp_max(1.0), 0.0).float()


def _usable(frame: LiveFrame, most: int) -> torch.Tensor | None:
    """Indices of the hypotheses that are poses, heaviest first, ``most`` at the most; None without any."""
    if frame.rotations is None or frame.pelvis is None or frame.log_weights is None:
        return None
    rotations = frame.rotations.detach()
    away = (rotations @ rotations.transpose(-1, -2) - torch.eye(3).to(rotations)).abs().amax((-1, -2, -3))
    turns = torch.linalg.det(rotations).amin(-1) > 0
    near = (frame.pelvis.abs() < _FARTHEST_M).all(-1)
    good = (away < _SQUARE) & turns & near & (frame.log_weights > -torch.inf) & (frame.log_weights < torch.inf)
    if not bool(good.any()):
        return None
    order = frame.log_weights.masked_fill(~good, -torch.inf).argsort(descending=True, stable=True)
    return order[: min(int(good.sum()), most)]
