"""Which points touch the ground: a state with hysteresis, and its smooth counterpart for optimisation."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from diffmocap.errors import SettingsError

#: At an activity of exp(-4) the points of a foot carry about half of what they would, see
#: :mod:`diffmocap.physics.contact_forces`: so a point lets go half-way between the two levels.
_LETTING_GO = 4.0


@dataclass(frozen=True)
class ContactLevels:
    """A point touches from below both lower levels on, until above one of the upper ones.

    Motion capture at 30 frames a second holds resting feet within centimetres and some 30 cm/s, swinging ones above
    a metre per second; a sole's points are within 1 cm of the skin's lowest.
    """

    touch_height_m: float = 0.03
    leave_height_m: float = 0.06
    touch_speed_m_s: float = 0.3
    leave_speed_m_s: float = 0.7

    def __post_init__(self) -> None:
        if not 0 < self.touch_height_m <= self.leave_height_m or not 0 < self.touch_speed_m_s <= self.leave_speed_m_s:
            raise SettingsError(f"levels to touch must be positive and not above those to leave, got {self}")


def touching(gap: torch.Tensor, speed: torch.Tensor, levels: ContactLevels | None = None) -> torch.Tensor:
    """Boolean contact state [..., T, P] from gaps [m] and speeds [m/s] of the same shape; no state before the first.

    Between the levels a point keeps the state of the previous frame; at the start it is free.
    """
    levels = levels or ContactLevels()
    on = (gap < levels.touch_height_m) & (speed < levels.touch_speed_m_s)
    off = (gap > levels.leave_height_m) | (speed > levels.leave_speed_m_s)
    # The state is that of the last event, which a running maximum of frame numbers finds without a loop.
    frame = torch.arange(1, gap.shape[-2] + 1, device=gap.device)[:, None]
    last_on, last_off = ((frame * event).cummax(-2).values for event in (on, off))
    return last_on > last_off


def activity_rates(levels: ContactLevels | None = None) -> tuple[float, float]:
    """(p [1/m^2], q [s^2/m^2]) of a point's activity ``exp(-p max(gap, 0)^2 - q speed^2)``: how readily it takes force.

    The softened complementarity of gap and force: 1 for a point at rest on the ground or inside it, and at the middle
    between the levels the point carries half of what it would.
    """
    levels = levels or ContactLevels()
    height = 0.5 * (levels.touch_height_m + levels.leave_height_m)
    pace = 0.5 * (levels.touch_speed_m_s + levels.leave_speed_m_s)
    return _LETTING_GO / height**2, _LETTING_GO / pace**2
