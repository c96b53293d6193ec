"""The ground of a stream: given, or found once feet have rested on it often enough."""

from __future__ import annotations

from dataclasses import replace

import torch

from diffmocap.body.feet import RESTING_SPEED, speed
from diffmocap.errors import SettingsError
from diffmocap.physics.ground import Ground, find_ground

#: Estimates that have to agree, and within what: direction as the cosine of an angle, height [m].
_AGREEING, _SAME_COS, _SAME_M = 3, 0.99, 0.06
#: Frames in which some foot rests, as a share of a window, for the window to tell of the ground.
_RESTING = 0.3
#: Sole points that rest for a foot to rest.
_POINTS = 2
NOT_KNOWN = "unknown: no foot has rested long enough"


class GroundWatch:
    """Finds the ground in windows of motion, without ever changing its mind: cameras and floors stand still.

    Args:
        up: [3] direction against gravity in the motion's frame, where it is known. height: along it [m].

    Attributes:
        ground: unbatched; None while it is not known.
    """

    def __init__(self, up: torch.Tensor | None = None, height: float | None = None) -> None:
        if height is not None and up is None:
            raise SettingsError("a height of the ground needs the direction `up` that it is measured along")
        self._up = None if up is None else torch.nn.functional.normalize(up.detach().float(), dim=0)
        if self._up is not None and not float(self._up.norm()) > 0.5:
            raise SettingsError("the direction `up` has no length")
        self._height = height
        self._found: list[Ground] = []
        self.ground: Ground | None = None
        self.forget()

    @property
    def source(self) -> str:
        """Where the ground comes from, for the log."""
        return NOT_KNOWN if self.ground is None else self.ground.source

    def forget(self) -> None:
        """The camera has moved: what was found is void, what was given is not."""
        self._found.clear()
        self.ground = None
        if self._height is not None:
            self.ground = Ground(self._up, torch.tensor(float(self._height)))

    def observe(self, soles: torch.Tensor, joints: torch.Tensor, dt_s: float) -> Ground | None:
        """Look at a window of motion that did not overlap the last one: soles [T, P, 3], joints [T, 24, 3] m."""
        if self.ground is not None or len(soles) < 3 or not bool(torch.isfinite(soles).all()):
            return self.ground
        resting = (speed(soles, 1.0 / dt_s) < 2 * RESTING_SPEED).sum(1) >= _POINTS
        if float(resting.float().mean()) < _RESTING:
            return None
        found = find_ground(soles, dt_s, up=self._up, joints=joints)
        if "resting" not in found.source.rsplit("height", 1)[-1]:
            return None
        self._found = [g for g in self._found if self._agree(g, found)] + [found]
        if len(self._found) == _AGREEING:
            up = torch.nn.functional.normalize(torch.stack([g.up for g in self._found]).mean(0), dim=0)
            height = torch.stack([g.height for g in self._found]).median()
            self.ground = replace(found, up=up, height=height, source=f"{_AGREEING} windows; {found.source}")
        return self.ground

    @staticmethod
    def _agree(a: Ground, b: Ground) -> bool:
        return float(a.up @ b.up) > _SAME_COS and abs(float(a.height - b.height)) < _SAME_M
