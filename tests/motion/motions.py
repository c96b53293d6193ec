"""A motion of known numbers for the tests of this folder."""

from __future__ import annotations

import math
from dataclasses import replace

import roma
import torch

from diffmocap.motion.dynamics import MotionDynamics
from diffmocap.motion.motion import Motion


def lively_motion(frames: int = 20, fps: float = 30.0, frame: str = "world") -> Motion:
    """Somebody of an uncommon shape who turns round while every joint moves, some of them by more than 90 degrees."""
    generator = torch.Generator().manual_seed(7)
    time_s = torch.arange(frames)[:, None, None] / fps
    speed = 1.0 + 2.0 * torch.rand(1, 24, 3, generator=generator)
    phase = 6.0 * torch.rand(1, 24, 3, generator=generator)
    vectors = 0.8 * torch.sin(time_s * speed * math.pi + phase)
    rotations = roma.rotvec_to_rotmat(vectors)
    heading = torch.zeros(frames, 3)
    heading[:, 1] = torch.linspace(0.0, 2.5 * math.pi, frames)
    rotations[:, 0] = roma.rotvec_to_rotmat(heading) @ rotations[:, 0]
    pelvis = torch.tensor([0.3, 0.95, -0.2]) + 0.4 * torch.sin(time_s[:, 0] * torch.tensor([1.0, 3.0, 2.0]))
    betas = torch.randn(10, generator=generator)
    motion = Motion(fps, rotations, pelvis, betas, "y_up", name="turning", subject="s1")
    return motion.in_frame(frame)


def with_everything(motion: Motion) -> Motion:
    """The motion with all that a motion may have."""
    generator = torch.Generator().manual_seed(8)
    frames = len(motion)
    return replace(
        motion,
        keypoints=torch.rand(frames, 25, 3, generator=generator),
        tracked=torch.rand(frames, generator=generator) > 0.3,
        contacts=torch.rand(frames, 8, generator=generator) > 0.5,
        K=torch.tensor([[500.0, 0.0, 320.0], [0.0, 510.0, 240.0], [0.0, 0.0, 1.0]])
        if motion.frame == "optical"
        else None,
        recipe="0123456789abcdef",
        dynamics=_dynamics(frames, generator),
    )


def _dynamics(frames: int, generator: torch.Generator) -> MotionDynamics:
    """Of a motion half of whose frames were simulated."""
    simulated = torch.rand(frames, generator=generator) > 0.5
    numbers = (torch.randn(frames, count, 3, generator=generator) for count in (24, 8, 8))
    return MotionDynamics(simulated, *(torch.where(simulated[:, None, None], x, 0.0) for x in numbers))
