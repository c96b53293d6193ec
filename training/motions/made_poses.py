"""Poses that no motion capture of the training split holds: sitting, kneeling, squatting, bent, kicking, lying ...

Anatomical angles are drawn from the ranges of :mod:`training.motions.pose_kinds`, the body is placed on its feet or on
a floor (:mod:`training.motions.floor`), and what no body could do is drawn again: joints beyond their limits, limbs
inside one another, a trunk that does not lie or stand as its kind says.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import roma
import torch

from diffmocap.body.joint_angles import angles_from_rotations, rotations_from_angles
from diffmocap.body.model import BodyModel
from diffmocap.body.skeleton import JOINT_NAMES
from training.lifting.plausibility import self_intersects, within_limits
from training.motions.anatomy import SPINE_JOINTS, about, arm_rotations, leg_rotations, spine_rotations, to_side
from training.motions.floor import SKIN_POINTS, centre_of_mass, clearance, lay_on, settle, surface_points, turn_onto
from training.motions.pose_kinds import (
    ARM_ANGLES,
    ARMS,
    DEFAULTS,
    FEET,
    FLOOR,
    LEG_ANGLES,
    NOTHING,
    SEAT,
    SHARES,
    TRUNK_ANGLES,
    WAYS,
)  # fmt: skip
from training.motions.poses import mirror, turn

KINDS = tuple(SHARES)

_LEFT_LEG, _RIGHT_LEG = [1, 4, 7], [2, 5, 8]
_LEFT_ARM, _RIGHT_ARM = [13, 16, 18, 20], [14, 17, 19, 21]
_UPPER_BODY = [j for j in range(1, 24) if j not in (*_LEFT_LEG, *_RIGHT_LEG, 10, 11)]
_ANKLES = [7, 8]
#: The points of :func:`~training.motions.floor.surface_points` that belong to feet.
_FOOT_POINTS = [7, 8, 10, 11, *range(25, 31)]
#: Joints that must stay this far apart [m], beyond what :func:`self_intersects` sees: the trunk folded over the legs,
#: elbows in the trunk, in the head, in one another, in the knees.
_APART = (
    *((leg, trunk, 0.13) for leg in (4, 5) for trunk in (3, 6, 9, 12, 15)),
    *((leg, trunk, 0.14) for leg in (7, 8) for trunk in (0, 3, 6, 9, 12, 15)),
    *((elbow, trunk, 0.13) for elbow in (18, 19) for trunk in (0, 3, 6, 9, 12, 15)),
    *((elbow, leg, 0.08) for elbow in (18, 19) for leg in (4, 5)),
    *((hand, head, 0.09) for hand in (20, 21, 22, 23) for head in (12, 15)),
    (18, 19, 0.10), (20, 21, 0.05), (4, 5, 0.09), (15, 9, 0.17), (15, 16, 0.12), (15, 17, 0.12),
)  # fmt: skip
#: A foot that stands is at most this much higher than the other [m].
_STANCE_M = 0.12
#: What touches the floor lies at most so far above it [m].
_TOUCH_M = 0.05
#: The centre of mass is at most so far from what touches the floor of the feet, seen from above [m].
_BALANCE_M = 0.2
#: How far an ankle bends so that the foot lies flat, dorsiflexion and plantarflexion [rad].
_FLAT_ANKLE = (math.radians(-40), math.radians(60))
_CARRIERS = (FEET, FLOOR, SEAT, NOTHING)
_ON_FEET, _ON_FLOOR, _ON_SEAT, _ON_NOTHING = range(4)
#: Candidates are drawn in at least so many at once.
_LEAST_CANDIDATES = 512
#: A call draws at most so many at once, which bounds its memory.
_MOST_CANDIDATES = 8192
#: After so many rounds arms are drawn in another style, and after so many more it is given up.
_ROUNDS_AN_ARM, _ROUNDS = 8, 400


@dataclass(frozen=True)
class MadePoseShares:
    """Probabilities a pose.

    Attributes:
        same_arms: both arms are in the same style.
        turned: the whole body is turned freely, so that no floor is below it.
        captured_upper_body, captured_legs: that half is a captured frame's; with the legs comes the pelvis. None are
            where there are no captured frames.
    """

    same_arms: float = 0.6
    turned: float = 0.08
    captured_upper_body: float = 0.15
    captured_legs: float = 0.10


@dataclass
class MadePoseBatch:
    """Poses and what they are.

    Attributes:
        rotations: [B, 24, 3, 3] local, root in the y-up world.
        way: [B] index into :data:`~training.motions.pose_kinds.WAYS`, which places legs and trunk.
        arms: [B, 2] index into :data:`~training.motions.pose_kinds.ARMS` of the left and the right arm.
        mixed: [B] 0, or 1 where the upper body is captured, 2 where the legs are.
        turned: [B] bool, turned freely.
        flipped: [B] bool, mirrored afterwards: left in ``way`` and ``arms`` is the pose's right.
    """

    rotations: torch.Tensor
    way: torch.Tensor
    arms: torch.Tensor
    mixed: torch.Tensor
    turned: torch.Tensor
    flipped: torch.Tensor


class MadePoses:
    """Draws poses; the generator decides everything, and lies on the body's device.

    ``captured`` [N, 24, 3, 3] are frames whose halves may be mixed in.
    """

    def __init__(
        self, body: BodyModel, generator: torch.Generator, captured: torch.Tensor | None = None,
        shares: MadePoseShares = MadePoseShares(),
    ) -> None:  # fmt: skip
        self.body, self.generator, self.captured, self.shares = body, generator, captured, shares
        device = body.device

        def ranges(names: tuple[str, ...], *given: dict) -> torch.Tensor:
            rows = [[({**DEFAULTS, **g})[name] for name in names] for g in given]
            return torch.deg2rad(torch.tensor(rows, dtype=torch.float32, device=device))

        self._left = ranges(LEG_ANGLES, *(w.legs for w in WAYS))
        self._right = ranges(LEG_ANGLES, *(w.right or w.legs for w in WAYS))
        self._trunk = ranges(TRUNK_ANGLES, *(w.trunk or {} for w in WAYS))
        self._arms = ranges(ARM_ANGLES, *ARMS.values())
        self._upright = torch.deg2rad(torch.tensor([w.upright for w in WAYS], dtype=torch.float32, device=device))
        self._same_sides = torch.tensor([w.same_sides for w in WAYS], device=device)
        self._level = torch.deg2rad(torch.tensor([w.level for w in WAYS], dtype=torch.float32, device=device))
        count = {kind: sum(w.kind == kind for w in WAYS) for kind in KINDS}
        self._way_share = torch.tensor([SHARES[w.kind] / count[w.kind] for w in WAYS], device=device)
        styles = tuple(ARMS)
        self._arm_share = torch.tensor([[float(w.arms.count(s)) for s in styles] for w in WAYS], device=device)
        # [ways, 2, 24]: of each group one joint touches; a group that is not there touches with any joint.
        self._touching = torch.ones(len(WAYS), 2, 24, dtype=torch.bool, device=device)
        for i, way in enumerate(WAYS):
            for k, group in enumerate(way.touching):
                self._touching[i, k] = torch.tensor([name in group for name in JOINT_NAMES], device=device)
        supports = torch.tensor([[float(name in w.supports) for name in JOINT_NAMES] for w in WAYS], device=device)
        self._supports = torch.nn.functional.pad(supports, (0, len(SKIN_POINTS)))
        self._carrier = torch.tensor([_CARRIERS.index(w.carried_by) for w in WAYS], device=device)

    def __call__(self, batch: int) -> torch.Tensor:
        """[batch, 24, 3, 3] poses, root in the y-up world, heading any way."""
        sizes = [min(_MOST_CANDIDATES, batch - start) for start in range(0, batch, _MOST_CANDIDATES)]
        return torch.cat([self.draw(size).rotations for size in sizes])

    def draw(self, batch: int) -> MadePoseBatch:
        """Poses with what they are."""
        s, device = self.shares, self.body.device
        way = torch.multinomial(self._way_share, batch, replacement=True, generator=self.generator)
        mixed = torch.zeros(batch, dtype=torch.long, device=device)
        if self.captured is not None:
            u = self._uniform(batch)
            mixed[u < s.captured_upper_body + s.captured_legs] = 2
            mixed[u < s.captured_upper_body] = 1
        arms = self._arm_styles(way)
        poses = torch.zeros(batch, 24, 3, 3, device=device)
        rows = torch.arange(batch, device=device)
        for round_ in range(_ROUNDS):
            if round_ and round_ % _ROUNDS_AN_ARM == 0:
                arms[rows] = self._arm_styles(way[rows])
            candidates = rows.repeat(max(1, math.ceil(_LEAST_CANDIDATES / len(rows))))
            drawn, fine = self._candidates(way[candidates], arms[candidates], mixed[candidates])
            good, none = fine.nonzero()[:, 0], len(candidates)
            first = torch.full((batch,), none, device=device).scatter_reduce(0, candidates[good], good, "amin")
            done, rows = rows[first[rows] < none], rows[first[rows] == none]
            poses[done] = drawn[first[done]]
            if not len(rows):
                break
        else:
            raise RuntimeError(f"no pose within the limits was found for ways {sorted(set(way[rows].tolist()))}")
        flipped = self._uniform(batch) < 0.5
        poses = torch.where(flipped[:, None, None, None], mirror(poses), poses)
        poses = turn(poses, (self._uniform(batch) * 2 - 1) * math.pi)
        turned = self._uniform(batch) < s.turned
        free = torch.randn(batch, 4, generator=self.generator, device=device)
        free = roma.unitquat_to_rotmat(torch.nn.functional.normalize(free, dim=-1))
        root = torch.where(turned[:, None, None], free @ poses[:, 0], poses[:, 0])
        return MadePoseBatch(torch.cat([root[:, None], poses[:, 1:]], 1), way, arms, mixed, turned, flipped)

    def _uniform(self, *shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=self.generator, device=self.body.device)

    def _normal(self, *shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=self.generator, device=self.body.device)

    def _arm_styles(self, way: torch.Tensor) -> torch.Tensor:
        """[B, 2] styles of the left and the right arm."""
        styles = torch.multinomial(self._arm_share[way], 2, replacement=True, generator=self.generator)
        same = self._uniform(len(way)) < self.shares.same_arms
        styles[:, 1] = torch.where(same, styles[:, 0], styles[:, 1])
        return styles

    def _pairs(self, left: torch.Tensor, right: torch.Tensor, way: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Angles [B, A] of both sides from their ranges [B, A, 2]."""
        u, v = self._uniform(*left.shape[:2]), self._uniform(*left.shape[:2])
        same = self._uniform(len(way), 1) < self._same_sides[way][:, None]
        v = torch.where(same, (u + 0.07 * self._normal(*u.shape)).clamp(0, 1), v)
        return torch.lerp(left[..., 0], left[..., 1], u), torch.lerp(right[..., 0], right[..., 1], v)

    def _candidates(
        self, way: torch.Tensor, arms: torch.Tensor, mixed: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """One pose [B, 24, 3, 3] a row, and whether a body could take it [B]."""
        poses = self._pose(way, arms)
        carrier = self._carrier[way]
        if self.captured is not None:
            g, n = self.generator, len(way)
            frames = self.captured[torch.randint(len(self.captured), (n,), generator=g, device=self.body.device)]
            upper = torch.zeros(24, dtype=torch.bool, device=self.body.device)
            upper[_UPPER_BODY] = True
            take = ((mixed == 1)[:, None] & upper) | ((mixed == 2)[:, None] & ~upper)
            poses = torch.where(take[..., None, None], frames, poses)
            carrier = torch.where(mixed == 2, _ON_NOTHING, carrier)
        fine = within_limits(poses).all(1)
        rows = fine.nonzero()[:, 0]
        fine = fine.index_copy(0, rows, ~self_intersects(self.body, poses[rows]))
        for kind, place in ((_ON_FEET, self._stand), (_ON_FLOOR, self._settle)):
            rows = (fine & (carrier == kind)).nonzero()[:, 0]
            placed, stable = place(poses[rows], way[rows])
            poses, fine = poses.index_copy(0, rows, placed), fine.index_copy(0, rows, stable)
        rows = fine.nonzero()[:, 0]
        fine = fine.index_copy(0, rows, self._stays(poses[rows], way[rows], carrier[rows], mixed[rows]))
        return poses, fine

    def _pose(self, way: torch.Tensor, arms: torch.Tensor) -> torch.Tensor:
        """Joints at drawn angles [B, 24, 3, 3]; the pelvis is pitched and rolled."""
        n = len(way)
        poses = torch.eye(3, device=self.body.device).repeat(n, 24, 1, 1)
        for joints, angles in zip(
            (_LEFT_LEG, _RIGHT_LEG), self._pairs(self._left[way], self._right[way], way), strict=True
        ):
            poses[:, joints] = to_side(leg_rotations(angles, self._normal(n, 4)), joints is _RIGHT_LEG)
        sides = self._pairs(self._arms[arms[:, 0]], self._arms[arms[:, 1]], way)
        for joints, angles in zip((_LEFT_ARM, _RIGHT_ARM), sides, strict=True):
            poses[:, joints] = to_side(arm_rotations(angles, self._normal(n, 4)), joints is _RIGHT_ARM)
        low, high = self._trunk[way].unbind(-1)
        pitch, roll, *bends = torch.lerp(low, high, self._uniform(*low.shape)).unbind(-1)
        poses[:, 0] = about("x", pitch) @ about("z", roll)
        poses[:, list(SPINE_JOINTS)] = spine_rotations(torch.stack(bends, -1))
        return poses

    def _stand(self, poses: torch.Tensor, way: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Leans whole bodies until their centre of mass is above the feet that stand, and puts those flat."""
        points = surface_points(self.body, poses)
        ankles = points[:, _ANKLES]
        stands = ankles[..., 1] < ankles[..., 1].amin(1, keepdim=True) + _STANCE_M
        ahead = (points[:, [10, 11]] - ankles) * 0.35
        base = ((ankles + ahead) * stands[..., None]).sum(1) / stands.sum(1)[:, None]
        up = torch.tensor([0.0, 1.0, 0.0]).to(poses)
        lean = turn_onto(torch.nn.functional.normalize(centre_of_mass(points) - base, dim=-1), up)
        poses = torch.cat([(lean @ poses[:, 0])[:, None], poses[:, 1:]], 1)
        turned, _ = self.body.forward_kinematics(poses, torch.zeros(len(poses), 3).to(poses))
        shanks = turned[:, [4, 5]]
        # Flat: the sole's up is the world's, the toes keep the heading of the leg.
        toes = shanks[..., 2] * torch.tensor([1.0, 0.0, 1.0]).to(poses)
        toes = torch.nn.functional.normalize(toes, dim=-1)
        flat = torch.stack([torch.linalg.cross(up.expand_as(toes), toes), up.expand_as(toes), toes], -1)
        angles = torch.zeros(len(poses), 23, 3).to(poses)
        local = poses.clone()
        local[:, _ANKLES] = shanks.transpose(-1, -2) @ flat
        angles[:, [6, 7]] = angles_from_rotations(local).unflatten(-1, (-1, 3))[:, [6, 7]]
        angles[..., 2] = angles[..., 2].clamp(*_FLAT_ANKLE)
        ankle = rotations_from_angles(angles.flatten(1))[:, [6, 7]]
        poses[:, _ANKLES] = torch.where(stands[..., None, None], ankle, poses[:, _ANKLES])
        return poses, torch.ones_like(stands[:, 0])

    def _settle(self, poses: torch.Tensor, way: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Lays whole bodies onto a floor, on what their way says or as they come to rest."""
        points = surface_points(self.body, poses)
        supports = self._supports[way]
        rests = supports.sum(1) == 0
        rotations, stable = torch.empty_like(poses[:, 0]), torch.ones_like(rests)
        rotations[rests] = settle(points[rests])
        rotations[~rests], stable[~rests] = lay_on(points[~rests], supports[~rests])
        return torch.cat([(rotations @ poses[:, 0])[:, None], poses[:, 1:]], 1), stable

    def _stays(
        self, poses: torch.Tensor, way: torch.Tensor, carrier: torch.Tensor, mixed: torch.Tensor
    ) -> torch.Tensor:
        """[B] bool for placed poses: within the limits, apart from itself, and as its way says."""
        points = surface_points(self.body, poses)
        a, b, least = (torch.tensor(column, device=poses.device) for column in zip(*_APART, strict=True))
        fine = ((points[:, a] - points[:, b]).norm(dim=-1) > least).all(1)
        height = clearance(points)
        trunk = torch.nn.functional.normalize(points[:, 12] - points[:, 0], dim=-1)[:, 1].clamp(-1, 1).acos()
        low, high = self._upright[way].unbind(-1)
        captured_legs = mixed == 2
        hips = torch.nn.functional.normalize(points[:, 1] - points[:, 2], dim=-1)[:, 1].abs().clamp_max(1).asin()
        fine &= captured_legs | ((trunk >= low) & (trunk <= high) & (hips <= self._level[way]))
        on_feet = (carrier == _ON_FEET) | (carrier == _ON_SEAT)
        fine &= ~on_feet | (height[:, _FOOT_POINTS].amin(1) <= height.amin(1) + 1e-6)
        mass, feet = centre_of_mass(points), points[:, _FOOT_POINTS]
        away = (mass[:, None, [0, 2]] - feet[..., [0, 2]]).norm(dim=-1)
        away = torch.where(height[:, _FOOT_POINTS] < _TOUCH_M, away, torch.inf).amin(1)
        fine &= (carrier != _ON_FEET) | (away < _BALANCE_M)
        touching = ((height[:, None, :24] < _TOUCH_M) & self._touching[way]).any(-1).all(-1)
        fine &= (carrier != _ON_FLOOR) | touching
        return fine & within_limits(poses).all(1) & ~self_intersects(self.body, poses)
