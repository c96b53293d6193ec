"""Windows of motion capture with errors as lifting has them, seen by a camera four metres in front."""

from __future__ import annotations

import math

import roma
import torch

from diffmocap.body.model import BodyModel
from diffmocap.body.motion_clip import MotionClip
from diffmocap.physics.ground import Ground
from diffmocap.refinement.window.window import Window

FPS = 30.0
#: Optical frame from a y-up world that the camera looks along -z of.
_FLIP = torch.diag(torch.tensor([1.0, -1.0, -1.0], dtype=torch.float64))
_K = torch.tensor([[600.0, 0.0, 320.0], [0.0, 600.0, 240.0], [0.0, 0.0, 1.0]], dtype=torch.float64)


def drifting(shape: tuple[int, ...], correlation: float, g: torch.Generator) -> torch.Tensor:
    """Noise of unit variance [B, T, ...] whose neighbours in time are correlated."""
    fresh = torch.randn(shape, generator=g, dtype=torch.float64)
    steps = [fresh[:, 0]]
    for t in range(1, shape[1]):
        steps.append(correlation * steps[-1] + math.sqrt(1 - correlation**2) * fresh[:, t])
    return torch.stack(steps, 1)


def cut(clips: list[MotionClip], frames: int, start: int = 20) -> tuple[torch.Tensor, torch.Tensor]:
    """Rotations [B, T, 24, 3, 3] and pelvis [B, T, 3] of stretches of clips, float64."""
    parts = [clip.frames(start, start + frames) for clip in clips]
    return torch.stack([p.rotations for p in parts]).double(), torch.stack([p.pelvis for p in parts]).double()


def seen(
    body: BodyModel, rotations: torch.Tensor, pelvis: torch.Tensor, hypotheses: int = 1, seed: int = 0,
    rotation_noise: tuple[float, float] = (0.1, 0.03), pelvis_noise: tuple[float, float, float] = (0.01, 0.06, 0.01),
    pixel_noise: float = 5.0,
) -> Window:  # fmt: skip
    """The window that lifting would make of a motion [B, T, 24, 3, 3], [B, T, 3] in a y-up world with its floor at 0.

    Args:
        rotation_noise: on each axis [rad]: what drifts (correlation 0.9 from frame to frame) and what does not.
        pelvis_noise: what drifts across and along the view, and what does not [m].
        pixel_noise: of the keypoints [px], four fifths of it drifting.
    """
    g = torch.Generator().manual_seed(seed)
    (b, t), k = pelvis.shape[:2], hypotheses
    slow, fast = rotation_noise
    across, along, shake = pelvis_noise
    spread = torch.tensor([across, across, along], dtype=torch.float64)
    poses, places = [], []
    for _ in range(k):
        turn = slow * drifting((b, t, 24, 3), 0.9, g) + fast * drifting((b, t, 24, 3), 0.0, g)
        turn[:, :, [10, 11, 22, 23]] *= 0.3  # toes and hands hardly move in lifting
        poses.append(rotations @ roma.rotvec_to_rotmat(turn))
        places.append(pelvis + spread * drifting((b, t, 3), 0.9, g) + shake * drifting((b, t, 3), 0.0, g))
    camera = torch.zeros(b, 3, 4, dtype=torch.float64)
    camera[:, :, :3] = _FLIP
    camera[:, :, 3] = -((pelvis.mean(1) + torch.tensor([0.0, 0.3, 4.0], dtype=torch.float64)) @ _FLIP.T)
    keypoints = body.keypoints(rotations.flatten(0, 1).float(), pelvis.flatten(0, 1).float()).double()
    optical = keypoints.unflatten(0, (b, t)) @ _FLIP.T + camera[:, None, None, :, 3]
    pixels = (optical @ _K.T)[..., :2] / optical[..., 2:]
    noise = 0.8 * drifting(tuple(pixels.shape), 0.9, g) + 0.6 * drifting(tuple(pixels.shape), 0.0, g)
    confidence = torch.full((b, t, 25), 0.9, dtype=torch.float64)
    confidence[..., [20, 23]] = 0.0  # MediaPipe has no small toes
    precision = torch.diag((spread.square() + shake**2 + 1e-4).reciprocal())
    return Window(
        dt_s=1 / FPS,
        rotations=torch.stack(poses, 1),
        pelvis=torch.stack(places, 1),
        log_weights=torch.zeros(b, k, t, dtype=torch.float64),
        lifted=torch.ones(b, t, dtype=torch.bool),
        rotation_spread=torch.full((b, t, 24), max(slow, 0.05), dtype=torch.float64),
        pelvis_precision=precision.expand(b, t, 3, 3).clone(),
        points_px=pixels + pixel_noise * noise,
        confidence=confidence,
        K=_K.expand(b, 3, 3).clone(),
        T_camera_motion=camera,
        ground=Ground(torch.tensor([[0.0, 1.0, 0.0]], dtype=torch.float64).repeat(b, 1), torch.zeros(b).double()),
    )
