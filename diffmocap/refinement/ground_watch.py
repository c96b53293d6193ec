"""The ground of a stream: given, or found from where feet have rested, and the better known the more the person moves.

A lifted foot says little about the floor that it stands on: it is tilted by ten degrees and more. Where feet rest says
much, once they have rested in places that are apart. So each window gives one point for each foot, and a plane is
fitted to those of the last minute,

    min over tilt, height  sum_i rho((up . p_i - height) / s) + the tilt's priors,    up ~ rough + tilt

with rho Cauchy's (iteratively reweighted least squares). Priors: the trunk points up within some ten degrees, and
cameras are put up level from side to side. The fit's covariance says whether the plane is known well enough: a person
who stays in one place does not show which way is up.
"""

from __future__ import annotations

from collections import deque

import torch

from diffmocap.body.feet import RESTING_SPEED, speed
from diffmocap.errors import SettingsError
from diffmocap.physics.ground import Ground, upright

#: Standard deviations of a foot's rest [m], of the trunk's direction and of the camera's roll [rad].
_REST_M, _TRUNK_RAD, _ROLL_RAD = 0.03, 0.15, 0.05
#: A trunk that leans farther to the side than this in the image tells of a camera that is rolled, as for portraits.
_LEVEL = 0.35
#: A direction that is given is not fitted: so exactly is it known [rad].
_GIVEN_RAD = 1e-5
#: The plane is known from so many windows on, with so little doubt about its tilt [rad], and points so near to it [m].
_WINDOWS, _KNOWN_RAD, _NEAR_M = 3, 0.06, 0.05
#: A foot rests on so many of its four points, in so many frames, so near to the lowest point of the frame [m].
_POINTS, _FRAMES, _BAND = 2, 3, 0.06
#: Windows that are remembered, and how many of the last ones have to disagree with a plane [m] for it to be wrong.
_MEMORY, _LATELY, _APART_M = 75, 5, 0.12
#: A plane that is found anew replaces one that differs by this much, below the person [m] or in direction (cosine).
_MOVED_M, _TURNED = 0.01, 1.0 - 0.5 * 0.01**2
NOT_KNOWN = "unknown: no foot has rested long enough"


class GroundWatch:
    """Finds the ground in windows of motion in an optical frame. What is given is kept.

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
        self._rests: deque[torch.Tensor] = deque(maxlen=_MEMORY)
        self._trunks: deque[torch.Tensor] = deque(maxlen=_MEMORY)
        self.ground: Ground | None = None
        self.forget()

    @property
    def source(self) -> str:
        """Where the ground comes from, for the log."""
        return NOT_KNOWN if self.ground is None else self.ground.source

    @property
    def contradiction_m(self) -> float:
        """How far above the ground feet have rested lately [m], where that is too far to be one; else 0."""
        if self.ground is None or len(self._rests) < _LATELY:
            return 0.0
        off = [float((rests @ self.ground.up - self.ground.height).median()) for rests in list(self._rests)[-_LATELY:]]
        same = min(off) > _APART_M or max(off) < -_APART_M
        return sorted(off)[_LATELY // 2] if same else 0.0

    def forget(self) -> None:
        """The camera has moved: what was found is void, what was given is not."""
        self._rests.clear()
        self._trunks.clear()
        self.ground = None
        if self._height is not None:
            self.ground = Ground(self._up, torch.tensor(float(self._height)))

    def observe(self, soles: torch.Tensor, joints: torch.Tensor, dt_s: float) -> bool:
        """Look at a window of motion that did not overlap the last one: soles [T, 8, 3], four points of the left foot
        and four of the right, joints [T, 24, 3] m. Whether the ground is another one now."""
        if len(soles) < 3 or not bool(torch.isfinite(soles).all() & torch.isfinite(joints).all()):
            return False
        trunk = upright(joints)
        rests = rested(soles, dt_s, trunk if self.ground is None else self.ground.up)
        if not len(rests):
            return False
        self._rests.append(rests)
        self._trunks.append(trunk)
        if self._height is not None:
            return False
        if self.contradiction_m:  # another floor: only what was seen lately counts
            for kept in (self._rests, self._trunks):
                while len(kept) > _LATELY:
                    kept.popleft()
        found = self._fitted()
        if found is None or not self._is_news(found, rests):
            return False
        self.ground = found
        return True

    def _is_news(self, found: Ground, rests: torch.Tensor) -> bool:
        before = self.ground
        if before is None or float(found.up @ before.up) < _TURNED:
            return True
        apart = rests @ (found.up - before.up) - (found.height - before.height)
        return float(apart.abs().max()) > _MOVED_M

    def _fitted(self) -> Ground | None:
        """The plane of the feet's rests, None while there is doubt."""
        if len(self._rests) < _WINDOWS:
            return None
        points = torch.cat(list(self._rests)).double()
        if self._up is not None:
            rough, priors = self._up.double(), torch.full((2,), _GIVEN_RAD)
            lean = torch.zeros(2)
        else:
            rough = torch.nn.functional.normalize(torch.stack(list(self._trunks)).double().mean(0), dim=0)
            level = abs(float(rough[0])) < _LEVEL
            priors = torch.tensor([(_TRUNK_RAD**-2 + level * _ROLL_RAD**-2) ** -0.5, _TRUNK_RAD])
            # Between the trunk, which says 0, and a level camera, which says -x, each by its precision.
            lean = torch.tensor([-float(rough[0]) * level * (float(priors[0]) / _ROLL_RAD) ** 2, 0.0])
        plane, doubt, residual = fitted_plane(points, rough, lean.double(), priors.double())
        known = self._up is not None or doubt < _KNOWN_RAD
        if not known or float(residual.abs().median()) > _NEAR_M:
            return None
        said = f"height from {len(points)} resting feet"
        if self._up is None:
            said = f"up, to {torch.rad2deg(torch.tensor(doubt)):.0f} degrees, and {said}"
        return Ground(plane[:3].float() if self._up is None else self._up, plane[3].float(), said)


def rested(soles: torch.Tensor, dt_s: float, up: torch.Tensor) -> torch.Tensor:
    """[0 to 2, 3] m where each foot of a window rested on average: soles [T, 8, 3], left foot first."""
    along = soles @ up
    low = along < along.amin(1, keepdim=True) + _BAND
    still = (low & (speed(soles, 1.0 / dt_s) < 3 * RESTING_SPEED)).unflatten(1, (2, -1))
    still = still & (still.sum(-1, keepdim=True) >= _POINTS)
    enough = still.any(-1).sum(0) >= _FRAMES
    weight = still.to(soles)[..., None]
    places = (weight * soles.unflatten(1, (2, -1))).sum((0, 2)) / weight.sum((0, 2)).clamp_min(1.0)
    return places[enough]


def fitted_plane(
    points: torch.Tensor, rough: torch.Tensor, lean: torch.Tensor, priors: torch.Tensor, iterations: int = 15
) -> tuple[torch.Tensor, float, torch.Tensor]:
    """A plane through most of the points [N, 3] m, near a rough normal [3].

    Args:
        lean: [2] expected tilt to the right of the image and along it, with standard deviations ``priors`` [2] rad.

    Returns:
        Normal and height [4], the largest standard deviation of the tilt [rad], and residuals [N] m.
    """
    right = torch.linalg.cross(torch.tensor([0.0, 0.0, 1.0], dtype=points.dtype), rough)
    if float(right.norm()) < 1e-3:  # a camera that looks straight down
        right = torch.tensor([1.0, 0.0, 0.0], dtype=points.dtype)
    right = torch.nn.functional.normalize(right - (right @ rough) * rough, dim=0)
    right = right if float(right[0]) >= 0 else -right
    basis = torch.stack([right, torch.linalg.cross(rough, right)])
    centre = points.median(0).values
    design = torch.cat([(points - centre) @ basis.T, -torch.ones(len(points), 1).to(points)], 1)
    target = -((points - centre) @ rough)
    precision = torch.diag(torch.cat([priors**-2, priors.new_tensor([1e-6])]))
    wanted = precision @ torch.cat([lean, lean.new_zeros(1)])
    solution = torch.cat([lean, target.median()[None].neg()])
    for _ in range(iterations):
        weight = _REST_M**-2 / (1.0 + ((design @ solution - target) / _REST_M).square())
        normal = design.T @ (weight[:, None] * design) + precision
        solution = torch.linalg.solve(normal, design.T @ (weight * target) + wanted)
    up = rough + solution[:2] @ basis
    length = up.norm()
    height = (solution[2] + centre @ up) / length
    doubt = float(torch.linalg.eigvalsh(torch.linalg.inv(normal)[:2, :2])[-1].sqrt())
    return torch.cat([up / length, height[None]]), doubt, points @ (up / length) - height
