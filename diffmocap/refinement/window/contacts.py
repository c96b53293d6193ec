"""Contacts of a window: where the points are, how they move, and when they are taken to touch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from diffmocap.physics.contact_state import ContactLevels, activity, activity_rates, touching

#: Levels for motions that come from a camera: twice as high and fast as those for motion capture, as a lifted foot that
#: rests is off the floor by centimetres, and what hovers is to come down.
LIFTED_LEVELS = ContactLevels(touch_height_m=0.06, leave_height_m=0.10, touch_speed_m_s=0.6, leave_speed_m_s=1.0)


ActivityPull = Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]


@dataclass(frozen=True)
class ContactMotion:
    """Contact points of a window, coordinates first.

    Attributes:
        places: [B, T, 3, P] nearest skin to the ground [m], relative to the pelvis.
        gap: [B, T, P] of it above the ground [m].
        steps: [B, T-1, 3, P] velocity along the ground between frames [m/s].
        axis: [B, 1, 3, 1] the ground's normal. dt_s: time between frames [s].
    """

    places: torch.Tensor
    gap: torch.Tensor
    steps: torch.Tensor
    axis: torch.Tensor
    dt_s: float

    @classmethod
    def of(
        cls, relative: torch.Tensor, absolute: torch.Tensor, radius: torch.Tensor, up: torch.Tensor,
        height: torch.Tensor, dt_s: float,
    ) -> ContactMotion:  # fmt: skip
        """From centres [B, T, 3, P] relative to the pelvis and in the frame [m], with ``radius`` [P], ``up`` [B, 3]."""
        axis = up[:, None, :, None]
        level = (absolute * axis).sum(2)
        along = torch.addcmul(absolute, axis, level[:, :, None], value=-1.0)
        steps = (along[:, 1:] - along[:, :-1]).div_(dt_s)
        return cls(relative - radius * axis, level - (radius + height[:, None, None]), steps, axis, dt_s)

    def pull(self, of_gap: torch.Tensor, of_steps: torch.Tensor) -> torch.Tensor:
        """The gradient of the centres in the frame [B, T, 3, P] for those of gap and steps."""
        of_along = of_steps.new_zeros(*of_gap.shape[:2], *of_steps.shape[2:])
        of_along[:, 1:] = of_steps
        of_along[:, :-1] -= of_steps
        of_along.div_(self.dt_s)
        return torch.addcmul(of_along, self.axis, (of_gap - (of_along * self.axis).sum(2))[:, :, None])

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

    def activity(self, levels: ContactLevels) -> tuple[torch.Tensor, ActivityPull]:
        """[B, T-2, P] in (0, 1] at the inner frames, see :func:`diffmocap.physics.contact_state.activity`; and what
        takes its gradient to those of gap and steps there, [B, T-2, P] and [B, T-2, 3, P] of the mean of two steps."""
        mean = (self.steps[:, 1:] + self.steps[:, :-1]).mul_(0.5)
        inner = self.gap[:, 1:-1]
        active = activity(inner, (mean.square().sum(-2) + 1e-12).sqrt(), levels)

        def pull(above: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            of_gap, of_speed = activity_rates(levels)
            along = -2.0 * above * active
            return of_gap * along * inner.clamp_min(0.0), (of_speed * along)[:, :, None] * mean

        return active, pull
