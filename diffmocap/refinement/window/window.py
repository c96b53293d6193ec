"""What is known of a stretch of motion before it is refined: hypotheses, keypoints, camera, ground, on even frames."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace

import torch

from diffmocap.body.skeleton import NUM_JOINTS, NUM_KEYPOINTS
from diffmocap.errors import SettingsError
from diffmocap.physics.ground import Ground


@dataclass(frozen=True)
class Window:
    """B windows of T frames with K hypotheses each, all at one rate.

    Everything is in the motion's inertial frame: the camera's optical frame, or any other that ``T_camera_motion``
    leads from. What is not observed may hold any number, NaN too: frames where ``lifted`` is false, and keypoints of
    confidence zero. So a frame that brought nothing has its place, and half a body, or ten seconds of silence, is no
    special case.

    Attributes:
        dt_s: time between frames [s].
        rotations: [B, K, T, 24, 3, 3] local rotations of the hypotheses; entry 0 turns the body into the frame.
        pelvis: [B, K, T, 3] of the pelvis joint [m].
        log_weights: [B, K, T] belief in each hypothesis [nats], of any normalisation; -inf for one that is none.
        lifted: [B, T] bool, whether the frame has hypotheses.
        rotation_spread: [B, T, 24] rad, standard deviation about each axis of the error of the right hypothesis.
        pelvis_precision: [B, T, 3, 3] inverse covariance of its pelvis [1/m^2]; depth is known worse than the rest.
        points_px: [B, T, 25, 2] BODY_25 keypoints.
        confidence: [B, T, 25] in [0, 1].
        K: [B, 3, 3] camera matrix [px].
        T_camera_motion: [B, 3, 4] takes positions in the motion's frame to the camera's optical frame [m].
        ground: ``up`` [B, 3] and ``height`` [B].
    """

    dt_s: float
    rotations: torch.Tensor
    pelvis: torch.Tensor
    log_weights: torch.Tensor
    lifted: torch.Tensor
    rotation_spread: torch.Tensor
    pelvis_precision: torch.Tensor
    points_px: torch.Tensor
    confidence: torch.Tensor
    K: torch.Tensor
    T_camera_motion: torch.Tensor
    ground: Ground

    def __post_init__(self) -> None:
        if not (self.dt_s > 0 and math.isfinite(self.dt_s)):
            raise SettingsError(f"the time between frames must be positive, got {self.dt_s} s")
        if self.rotations.dim() != 6:
            raise SettingsError(f"hypotheses must be [B, K, T, 24, 3, 3], got {list(self.rotations.shape)}")
        b, k, t = self.rotations.shape[:3]
        if min(b, k, t) < 1:
            raise SettingsError(f"a window needs at least 1 frame and 1 hypothesis, got {list(self.rotations.shape)}")
        expected = {
            "rotations": (b, k, t, NUM_JOINTS, 3, 3), "pelvis": (b, k, t, 3), "log_weights": (b, k, t),
            "lifted": (b, t), "rotation_spread": (b, t, NUM_JOINTS), "pelvis_precision": (b, t, 3, 3),
            "points_px": (b, t, NUM_KEYPOINTS, 2), "confidence": (b, t, NUM_KEYPOINTS), "K": (b, 3, 3),
            "T_camera_motion": (b, 3, 4),
        }  # fmt: skip
        for name, shape in expected.items():
            if tuple(getattr(self, name).shape) != shape:
                raise SettingsError(f"{name} must be {list(shape)}, got {list(getattr(self, name).shape)}")
        if tuple(self.ground.up.shape) != (b, 3) or tuple(self.ground.height.shape) != (b,):
            raise SettingsError(
                f"the ground needs up {[b, 3]} and height {[b]}, "
                f"got {list(self.ground.up.shape)} and {list(self.ground.height.shape)}"
            )
        if not bool((self.rotation_spread[self.lifted] > 0).all()):
            raise SettingsError("spreads of rotations must be positive where the frame was lifted")
        if not bool(((self.confidence >= 0) & (self.confidence <= 1)).all()):
            raise SettingsError("confidences must lie in [0, 1]")

    @classmethod
    def of_motions(cls, rotations: torch.Tensor, pelvis: torch.Tensor, dt_s: float, ground: Ground) -> Window:
        """Motions [B, T, 24, 3, 3] (local), [B, T, 3] m as the only hypotheses, of which no image was seen."""
        batch, frames = pelvis.shape[:2]
        eye = torch.eye(3, 4).to(pelvis)
        return cls(
            dt_s=dt_s, rotations=rotations[:, None], pelvis=pelvis[:, None],
            log_weights=pelvis.new_zeros(batch, 1, frames), lifted=pelvis.new_ones(batch, frames, dtype=torch.bool),
            rotation_spread=pelvis.new_ones(batch, frames, NUM_JOINTS),
            pelvis_precision=eye[:, :3].expand(batch, frames, 3, 3),
            points_px=pelvis.new_zeros(batch, frames, NUM_KEYPOINTS, 2),
            confidence=pelvis.new_zeros(batch, frames, NUM_KEYPOINTS), K=eye[:, :3].expand(batch, 3, 3),
            T_camera_motion=eye.expand(batch, 3, 4), ground=ground,
        )  # fmt: skip

    def seen(self, points_px: torch.Tensor, confidence: torch.Tensor, K: torch.Tensor) -> Window:
        """The same with keypoints [B, T, 25, 2], their confidence [B, T, 25] and the camera [B, 3, 3], in whose frame
        the motion is."""
        new = (x.to(self.pelvis) for x in (points_px, confidence, K))
        return replace(self, **dict(zip(("points_px", "confidence", "K"), new, strict=True)))

    @property
    def batch(self) -> int:
        """B."""
        return self.rotations.shape[0]

    @property
    def frames(self) -> int:
        """T."""
        return self.rotations.shape[2]

    def row(self, index: int) -> Window:
        """Window ``index`` alone, a batch of one."""
        index = range(self.batch)[index]
        tensors = {
            f.name: getattr(self, f.name)[index : index + 1] for f in fields(self) if f.name not in ("dt_s", "ground")
        }
        ground = replace(
            self.ground, up=self.ground.up[index : index + 1], height=self.ground.height[index : index + 1]
        )
        return replace(self, **tensors, ground=ground)

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Window:
        """The same on another device or in another floating-point type."""

        def moved(x: torch.Tensor) -> torch.Tensor:
            return x.to(device=device, dtype=dtype if x.is_floating_point() else None)

        tensors = {f.name: moved(getattr(self, f.name)) for f in fields(self) if f.name not in ("dt_s", "ground")}
        ground = replace(self.ground, up=moved(self.ground.up), height=moved(self.ground.height))
        return replace(self, **tensors, ground=ground)
