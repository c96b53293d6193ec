"""A take of motion capture, and changing its rate."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import roma
import torch

from diffmocap.errors import MotionFileError


@dataclass(frozen=True)
class MotionClip:
    """One take of one subject.

    Attributes:
        name, subject, action: labels, empty where the file has none.
        fps: frames a second.
        rotations: [T, 24, 3, 3] float32 local joint rotations in SMPL order; entry 0 turns body into world.
        pelvis: [T, 3] float32 position of the pelvis joint [m], y up, floor at y = 0.
        offsets: [24, 3] float32 rest position of each joint relative to its parent [m], row 0 zero, of the
            skeleton that ``pelvis`` fits.
    """

    name: str
    subject: str
    action: str
    fps: float
    rotations: torch.Tensor
    pelvis: torch.Tensor
    offsets: torch.Tensor

    def __len__(self) -> int:
        return self.rotations.shape[0]

    def frames(self, start: int = 0, stop: int | None = None) -> MotionClip:
        """The part [start, stop) of the clip, sharing memory with it."""
        return replace(self, rotations=self.rotations[start:stop], pelvis=self.pelvis[start:stop])


def resample(clip: MotionClip, fps: float) -> MotionClip:
    """The clip at another rate, from its first frame on; rotations by slerp, positions linearly.

    Where the rates are multiples of each other this is plain decimation.
    """
    if fps <= 0:
        raise MotionFileError(f"the target rate must be positive, got {fps}")
    if abs(fps - clip.fps) < 1e-6:
        return clip
    count = int(np.floor((len(clip) - 1) / clip.fps * fps + 1e-6)) + 1
    times = np.arange(count) * (clip.fps / fps)  # in source frames
    low = np.minimum(np.floor(times + 1e-6).astype(np.int64), len(clip) - 1)
    weight = torch.from_numpy(np.clip(times - low, 0.0, 1.0).astype(np.float32))
    low = torch.from_numpy(low)
    a, p = clip.rotations[low], clip.pelvis[low]
    if float(weight.max()) > 1e-4:
        high = (low + 1).clamp(max=len(clip) - 1)
        step = roma.rotmat_to_rotvec(a.transpose(-1, -2) @ clip.rotations[high])
        a = a @ roma.rotvec_to_rotmat(step * weight[:, None, None])
        p = torch.lerp(p, clip.pelvis[high], weight[:, None])
    return replace(clip, fps=float(fps), rotations=a, pelvis=p)
