"""A force with its moment, and gravity."""

from __future__ import annotations

from dataclasses import dataclass

import torch

#: Standard gravity [m/s^2].
STANDARD_GRAVITY = 9.80665


@dataclass(frozen=True)
class Wrench:
    """A force and its moment about the body's centre of mass.

    Attributes:
        force: [..., 3] N.
        moment: [..., 3] N m about ``centre``.
        centre: [..., 3] m.
    """

    force: torch.Tensor
    moment: torch.Tensor
    centre: torch.Tensor

    def about(self, point: torch.Tensor) -> torch.Tensor:
        """Moment [..., 3] about another point [..., 3]."""
        return self.moment + torch.linalg.cross(self.centre - point, self.force)
