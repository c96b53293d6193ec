"""Contacts of a window: where the points are, how they move, and when they are taken to touch."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from diffmocap.physics.contact_state import ContactLevels, activity, touching

#: Levels for motions that come from a camera: twice as high and fast as those for motion capture, as a lifted foot that
#: rests is off the floor by centimetres, and what hovers is to come down.
LIFTED_LEVELS = ContactLevels(touch_height_m=0.06, leave_height_m=0.10, touch_speed_m_s=0.6, leave_speed_m_s=1.0)


@dataclass(frozen=True)
class ContactMotion:
    """Contact points of a window, coordinates first.

    Attributes:
        places: [B, T, 3, P] nearest skin to the ground [m], relative to the pelvis.
        gap: [B, T, P] of it above the ground [m].
        steps: [B, T-1, 3, P] velocity along the ground between frames [m/s].
    """

    places: torch.Tensor
    gap: torch.Tensor
    steps: torch.Tensor

    @classmethod
    def of(
        cls, relative: torch.Tensor, absolute: torch.Tensor, radius: torch.Tensor, up: torch.Tensor,
        height: torch.Tensor, dt_s: float,
    ) -> ContactMotion:  # fmt: skip
        """From centres [B, T, 3, P] relative to the pelvis and in the frame [m], with ``radius`` [P], ``up`` [B, 3]."""
        level = (up[:, None, None] @ absolute)[:, :, 0]
        velocity = (absolute[:, 1:] - absolute[:, :-1]) / dt_s
        rising = (level[:, 1:] - level[:, :-1]) / dt_s
        axis = up[:, None, :, None]
        gap = level - radius - height[:, None, None]
        return cls(relative - radius * axis, gap, velocity - axis * rising[:, :, None])

    @property
    def speed(self) -> torch.Tensor:
        """Along the ground at the frames [B, T, P] m/s: the mean of the steps before and after; at the ends, of one."""
        if self.gap.shape[1] == 1:
            return torch.zeros_like(self.gap)
        steps = self.steps
        mean = torch.cat([steps[:, :1], 0.5 * (steps[:, 1:] + steps[:, :-1]), steps[:, -1:]], 1)
        return (mean.square().sum(-2) + 1e-12).sqrt()

    def touching(self, levels: ContactLevels) -> torch.Tensor:
        """[B, T, P] bool, with hysteresis both ways in time, so that neither end is unsure for lack of a past."""
        gap, speed = self.gap, self.speed
        forwards = touching(gap, speed, levels)
        backwards = touching(gap.flip(1), speed.flip(1), levels).flip(1)
        return forwards | backwards

    def activity(self, levels: ContactLevels) -> torch.Tensor:
        """[B, T-2, P] in (0, 1] at the inner frames; see :func:`diffmocap.physics.contact_state.activity`."""
        mean = 0.5 * (self.steps[:, 1:] + self.steps[:, :-1])
        return activity(self.gap[:, 1:-1], (mean.square().sum(-2) + 1e-12).sqrt(), levels)
