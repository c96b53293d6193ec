"""The ground: a plane perpendicular to gravity, from parameters or, where they are missing, from the motion."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from diffmocap.body.feet import RESTING_SPEED, speed
from diffmocap.errors import SettingsError
from diffmocap.physics.wrench import STANDARD_GRAVITY

#: Sole points this close to the lowest one of their frame may lie on the floor [m].
_BAND = 0.04
#: How far the rough upright may be off [rad], and how rough the floor's points are [m]: weights of the plane's fit.
_TILT_SIGMA, _POINT_SIGMA = 0.15, 0.01
#: Fewer resting points than this do not determine the ground.
_MIN_POINTS = 8
_LEFT_HIP, _RIGHT_HIP, _NECK = 1, 2, 12


@dataclass(frozen=True)
class Ground:
    """The plane of points x with ``up . x = height``, and the gravity perpendicular to it.

    Attributes:
        up: [..., 3] unit vector against gravity in the motion's frame; leading dimensions are those of a batch
            of motions, without time.
        height: [...] m along ``up``.
        source: where both come from, for the log.
        gravity_m_s2: strength of gravity.
    """

    up: torch.Tensor
    height: torch.Tensor
    source: str = "given"
    gravity_m_s2: float = STANDARD_GRAVITY

    @property
    def gravity(self) -> torch.Tensor:
        """Gravity [..., 1, 3] m/s^2, the same at all times."""
        return -self.gravity_m_s2 * self.up[..., None, :]

    def gap(self, positions: torch.Tensor) -> torch.Tensor:
        """Height above the ground [..., T, P] m of positions [..., T, P, 3]; negative inside it."""
        return (positions * self.up[..., None, None, :]).sum(-1) - self.height[..., None, None]


def find_ground(
    soles: torch.Tensor,
    dt_s: float,
    up: torch.Tensor | None = None,
    height: float | None = None,
    joints: torch.Tensor | None = None,
) -> Ground:
    """The ground of one motion; what is not given is estimated. Not differentiable.

    Without ``height``: the median height of sole points that rest near the lowest of their frame; where none rests (a
    take of running) the height that the lowest point stays above in 95 % of the frames.

    Without ``up``: the plane through the resting points, robustly fitted, starting from and held near the way the
    trunk points on average. A single foot flat on the floor is four points and suffices; a person who neither stands
    nor walks on the soles is beyond this, so give ``up`` where the camera's pitch is known.

    Args:
        soles: [T, P, 3] positions of points on the soles [m].
        dt_s: time between frames [s].
        up: [3] direction against gravity, of any length.
        height: of the ground along ``up`` [m].
        joints: [T, 24, 3] m, needed where ``up`` is not given.

    Raises:
        SettingsError: a height without a direction, neither ``up`` nor ``joints``, or positions that are not finite.
    """
    soles = soles.detach()
    if not bool(torch.isfinite(soles).all()):
        raise SettingsError("positions of the soles must be finite to find the ground below them")
    if height is not None and up is None:
        raise SettingsError("a height of the ground needs the direction `up` that it is measured along")
    if up is None and joints is None:
        raise SettingsError("to estimate which way is up the joints are needed; or give `up`")
    known = up is not None
    direction = up.to(soles) if known else upright(joints.detach())
    if not float(direction.norm()) > 0:
        raise SettingsError("the direction `up` has no length")
    direction = torch.nn.functional.normalize(direction, dim=0)
    if height is not None:
        return Ground(direction, torch.as_tensor(height).to(soles))
    resting = speed(soles, 1.0 / dt_s) < 2 * RESTING_SPEED
    direction_from = "up given"
    if not known:
        rough = direction
        for _ in range(4):  # the points that count as low depend on the direction
            points = soles[low_points(soles, direction) & resting]
            if len(points) >= _MIN_POINTS:
                direction = _plane_normal(points, rough)
        fitted = len(points) >= _MIN_POINTS
        direction_from = f"up from {len(points)} resting sole points" if fitted else "up from the trunk"
    along = soles @ direction
    low = low_points(soles, direction) & resting
    if int(low.sum()) >= _MIN_POINTS:
        # Feet that rest on a step are not on the floor: keep what lies near the lowest resting heights.
        floor = torch.quantile(along[low][:: max(1, int(low.sum()) // 100_000)], 0.1)
        near = low & (along < floor + _BAND)
        source = f"{direction_from}, height from {int(near.sum())} resting points"
        return Ground(direction, along[near].median(), source)
    lowest = torch.quantile(along.amin(1), 0.05)
    return Ground(direction, lowest, f"{direction_from}, height from the lowest points: no foot rests")


def low_points(soles: torch.Tensor, up: torch.Tensor, band_m: float = _BAND) -> torch.Tensor:
    """Boolean [T, P]: near the lowest point of the frame."""
    along = soles @ up
    return along < along.amin(1, keepdim=True) + band_m


def upright(joints: torch.Tensor) -> torch.Tensor:
    """Direction [3] from the hips to the neck, the median over time."""
    trunk = joints[:, _NECK] - 0.5 * (joints[:, _LEFT_HIP] + joints[:, _RIGHT_HIP])
    return torch.nn.functional.normalize(trunk, dim=-1).median(0).values


def _plane_normal(points: torch.Tensor, rough: torch.Tensor, iterations: int = 15) -> torch.Tensor:
    """Unit normal [3] of the plane through most of the points [N, 3], near a rough direction.

    ``rough + tilt`` with the tilt perpendicular to it, by iteratively reweighted least squares (Cauchy weights), the
    tilt's prior worth as much as points at :data:`_POINT_SIGMA`.
    """
    out = points.dtype
    points, rough = points.double(), rough.double()
    basis = torch.linalg.svd(rough[None]).Vh[1:]  # [2, 3] perpendicular to rough
    centre = points.median(0).values
    design = torch.cat([(points - centre) @ basis.T, torch.ones(len(points), 1).to(points)], 1)
    target = -((points - centre) @ rough)
    prior = torch.diag(torch.tensor([_TILT_SIGMA, _TILT_SIGMA, 1e3]).to(points).pow(-2))
    # Points of neighbouring frames repeat each other: they count as one in ten.
    solution, strength = torch.zeros(3).to(points), 0.1 / _POINT_SIGMA**2
    for _ in range(iterations):
        weight = strength / (1.0 + ((design @ solution - target) / _POINT_SIGMA).square())
        normal = design.T @ (weight[:, None] * design) + prior
        solution = torch.linalg.solve(normal, design.T @ (weight * target))
    return torch.nn.functional.normalize(rough + solution[:2] @ basis, dim=0).to(out)
