"""The ground of a stream: given, or a plane fitted to the places where feet have rested.

A single lifted foot is tilted by ten degrees and more and says little about the floor. The places where feet rest say
much once they are far apart, so a plane is fitted to them,

    min over tilt, height  sum_i rho((up . p_i - height) / s) + the tilt's priors,    up ~ rough + tilt

with rho Cauchy's loss (iteratively reweighted least squares). Priors: the trunk points up within about ten degrees, and
cameras have no roll unless the trunk contradicts it. Errors of lifting are constant while a foot stays, so a place
counts once however long the person stands there. The fit's covariance decides whether the plane is known well enough: a
person who stays in one place does not show which direction is up.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import torch

from diffmocap.body.feet import RESTING_SPEED, speed
from diffmocap.errors import SettingsError
from diffmocap.physics.ground import Ground, low_points, upright

#: Standard deviations of a place's height [m], of the trunk's direction and of a camera's roll [rad].
_PLACE_M, _TRUNK_RAD, _ROLL_RAD = 0.03, 0.15, 0.05
#: Sideways lean of the trunk in the image that halves the weight of the prior of no roll [rad]; and the length of the
#: up direction in the image below which (a camera that looks down steeply) there is no such prior.
_ODD_ROLL_RAD, _SHORTEST = 0.1, 0.3
#: The plane is known from this many places on, below this standard deviation of its tilt [rad] and residual [m].
_PLACES, _KNOWN_RAD, _NEAR_M = 4, 0.06, 0.05
#: Number of windows that the height needs where the direction is given.
_WINDOWS = 3
#: A foot rests with at least this many of its four points, in this many frames, this near to the lowest point [m].
_POINTS, _FRAMES, _BAND = 2, 3, 0.06
#: Rests nearer than this are one place [m], whose position is a mean over its last rests; number of places stored.
_SAME_M, _LAST_RESTS, _MOST_PLACES = 0.12, 10, 64
#: Windows over which the trunk's direction is averaged; number of last windows that must all contradict a plane, and by
#: how much [m].
_TRUNKS, _LATELY, _APART_M = 75, 5, 0.12
#: A new fit replaces the ground if it differs by this much below the person [m] or in direction (cosine), unless its
#: standard deviation is larger by this factor.
_MOVED_M, _TURNED, _LESS_CERTAIN = 0.01, 1.0 - 0.5 * 0.01**2, 1.2
NOT_KNOWN = "unknown: feet have not rested in places far enough apart"


@dataclass(eq=False)
class _Place:
    """A place where feet have rested: position [3] m, number of rests, and the last window with one."""

    position: torch.Tensor
    rests: int
    window: int


class GroundWatch:
    """Finds the ground in windows of motion in an optical frame. A given direction or height is not changed.

    Args:
        up: [3] direction against gravity in the motion's frame, where it is known. height: along it [m].

    Attributes:
        ground: unbatched; None while it is not known.
        contradiction_m: height above a given ground at which feet have rested in the last windows [m], where that
            contradicts it; else 0.
    """

    def __init__(self, up: torch.Tensor | None = None, height: float | None = None) -> None:
        if height is not None and up is None:
            raise SettingsError("a height of the ground needs the direction `up` that it is measured along")
        self._up = None if up is None else torch.nn.functional.normalize(up.detach().float(), dim=0)
        if self._up is not None and not float(self._up.norm()) > 0.5:
            raise SettingsError("the direction `up` has no length")
        self._height = height
        self._trunks: deque[torch.Tensor] = deque(maxlen=_TRUNKS)
        self._lately: deque[torch.Tensor] = deque(maxlen=_LATELY)
        self.forget()

    @property
    def source(self) -> str:
        """Where the ground comes from, for the log."""
        return NOT_KNOWN if self.ground is None else self.ground.source

    def forget(self) -> None:
        """The camera has moved: drops what was found, not what was given."""
        self._trunks.clear()
        self._lately.clear()
        self._places: list[_Place] = []
        self._windows, self._doubt, self.contradiction_m = 0, math.inf, 0.0
        self.ground: Ground | None = None
        if self._height is not None:
            self.ground = Ground(self._up, torch.tensor(float(self._height)))

    def observe(self, soles: torch.Tensor, joints: torch.Tensor, dt_s: float, seen: torch.Tensor | None = None) -> bool:
        """Update with a window of motion that does not overlap the previous one.

        Args:
            soles: [T, 8, 3] m, four points of the left foot and four of the right. joints: [T, 24, 3] m.
            seen: [T] bool frames that were observed; None: all.

        Returns:
            Whether the ground has changed.
        """
        if len(soles) < 3 or not bool(torch.isfinite(soles).all() & torch.isfinite(joints).all()):
            return False
        trunk = upright(joints)
        rests = rested(soles, dt_s, trunk if self.ground is None else self.ground.up, seen)
        if not len(rests):
            return False
        self._windows += 1
        self._trunks.append(trunk)
        self._lately.append(rests)
        if self._height is not None:
            self.contradiction_m = self._off_m()
            return False
        for rest in rests:
            self._remember(rest)
        if off := self._off_m():
            return self._other_floor(off)
        found = self._fitted()
        if found is None or not self._is_news(*found, rests):
            return False
        self.ground, self._doubt = found
        return True

    def _off_m(self) -> float:
        """Median height [m] above the ground at which feet rested in the last windows if all say so, else 0."""
        if self.ground is None or len(self._lately) < _LATELY:
            return 0.0
        off = sorted(float((rests @ self.ground.up - self.ground.height).median()) for rests in self._lately)
        return off[_LATELY // 2] if off[0] > _APART_M or off[-1] < -_APART_M else 0.0

    def _other_floor(self, off_m: float) -> bool:
        """The person stands on another level: the direction stays, as cameras do not move; older places are dropped."""
        self._places = [place for place in self._places if self._windows - place.window < _LATELY]
        ground = self.ground
        self.ground = Ground(ground.up, ground.height + off_m, ground.source)
        return True

    def _remember(self, rest: torch.Tensor) -> None:
        """Adds a rest [3] to the nearest place or as a new one; beyond the limit the place seen least recently goes."""
        if self._places:
            apart = (torch.stack([place.position for place in self._places]) - rest).norm(dim=-1)
            nearest = self._places[int(apart.argmin())]
            if float(apart.min()) < _SAME_M:
                nearest.rests, nearest.window = nearest.rests + 1, self._windows
                nearest.position = nearest.position + (rest - nearest.position) / min(nearest.rests, _LAST_RESTS)
                return
        self._places.append(_Place(rest, 1, self._windows))
        if len(self._places) > _MOST_PLACES:
            oldest = min(range(len(self._places)), key=lambda i: self._places[i].window)
            del self._places[oldest]

    def _is_news(self, found: Ground, doubt: float, rests: torch.Tensor) -> bool:
        current = self.ground
        if current is None:
            return True
        if doubt > _LESS_CERTAIN * self._doubt:
            return False
        apart = rests @ (found.up - current.up) - (found.height - current.height)
        return float(found.up @ current.up) < _TURNED or float(apart.abs().max()) > _MOVED_M

    def _fitted(self) -> tuple[Ground, float] | None:
        """The plane through the places and the standard deviation of its tilt [rad]; None while that is too large."""
        points = torch.stack([place.position for place in self._places]).double()
        if self._up is not None:
            if self._windows < _WINDOWS:
                return None
            height = (points @ self._up.double()).median().float()
            return Ground(self._up, height, f"height from {len(points)} places where feet rested"), 0.0
        if len(points) < _PLACES:
            return None
        rough = torch.nn.functional.normalize(torch.stack(list(self._trunks)).double().mean(0), dim=0)
        plane, doubt, residual = fitted_plane(points, rough, *level_prior(rough))
        if doubt > _KNOWN_RAD or float(residual.abs().median()) > _NEAR_M:
            return None
        said = f"up, to {math.degrees(doubt):.0f} degrees, and height from {len(points)} places where feet rested"
        return Ground(plane[:3].float(), plane[3].float(), said), doubt


def rested(soles: torch.Tensor, dt_s: float, up: torch.Tensor, seen: torch.Tensor | None = None) -> torch.Tensor:
    """[0 to 2, 3] m where each foot of a window rested on average: soles [T, 8, 3], left foot first."""
    still = low_points(soles, up, _BAND) & (speed(soles, 1.0 / dt_s) < 3 * RESTING_SPEED)
    if seen is not None:  # a speed is that of the frames beside, too
        beside = torch.cat([seen[:1], seen, seen[-1:]])
        still = still & (beside[:-2] & seen & beside[2:])[:, None]
    still = still.unflatten(1, (2, -1))
    still = still & (still.sum(-1, keepdim=True) >= _POINTS)
    enough = still.any(-1).sum(0) >= _FRAMES
    weight = still.to(soles)[..., None]
    places = (weight * soles.unflatten(1, (2, -1))).sum((0, 2)) / weight.sum((0, 2)).clamp_min(1.0)
    return places[enough]


def level_prior(rough: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Prior of the tilt of the floor's normal from ``rough`` [3], the trunk's direction in the optical frame.

    Returns:
        The axes [2, 3] along which it tilts, the first of them a camera's roll, the tilts [2] that are expected, and
        their standard deviations [2], rad. The trunk expects 0, a level camera a tilt that takes the roll of ``rough``
        away. Where the two are far apart the camera's weight falls, as in Cauchy's loss.
    """
    across = math.hypot(float(rough[0]), float(rough[1]))
    roll = math.atan2(float(rough[0]), -float(rough[1])) if across > 1e-6 else 0.0
    right = rough.new_tensor([math.cos(roll), math.sin(roll), 0.0])
    level = 0.0
    if across > _SHORTEST:
        level = (across * _ROLL_RAD) ** -2 / (1.0 + (roll / _ODD_ROLL_RAD) ** 2)
    precision = _TRUNK_RAD**-2 + level
    lean = rough.new_tensor([-across * roll * level / precision, 0.0])
    axes = torch.stack([right, torch.linalg.cross(rough, right)])
    return axes, lean, rough.new_tensor([precision**-0.5, _TRUNK_RAD])


def fitted_plane(
    points: torch.Tensor, rough: torch.Tensor, axes: torch.Tensor, lean: torch.Tensor, priors: torch.Tensor,
    iterations: int = 15,
) -> tuple[torch.Tensor, float, torch.Tensor]:  # fmt: skip
    """A plane through most of the points [N, 3] m, near a rough normal [3].

    Args:
        axes: [2, 3] square to ``rough`` and to each other. lean: [2] expected tilt along them, with standard deviations
            ``priors`` [2], rad.

    Returns:
        Normal and height [4], the largest standard deviation of the tilt [rad], and residuals [N] m.
    """
    centre = points.median(0).values
    design = torch.cat([(points - centre) @ axes.T, -torch.ones(len(points), 1).to(points)], 1)
    target = -((points - centre) @ rough)
    precision = torch.diag(torch.cat([priors**-2, priors.new_tensor([1e-6])]))
    wanted = precision @ torch.cat([lean, lean.new_zeros(1)])
    solution = torch.cat([lean, target.median()[None].neg()])
    for _ in range(iterations):
        weight = _PLACE_M**-2 / (1.0 + ((design @ solution - target) / _PLACE_M).square())
        normal = design.T @ (weight[:, None] * design) + precision
        solution = torch.linalg.solve(normal, design.T @ (weight * target) + wanted)
    up = rough + solution[:2] @ axes
    length = up.norm()
    height = (solution[2] + centre @ up) / length
    doubt = float(torch.linalg.eigvalsh(torch.linalg.inv(normal)[:2, :2])[-1].sqrt())
    return torch.cat([up / length, height[None]]), doubt, points @ (up / length) - height
