"""Control trajectories: the drives' target rotations, as few numbers around a reference motion.

At knots evenly spread in time each driven joint has a rotation vector; in between they follow cubic B-splines, so that
targets have no corners. The target at a frame is the reference's local rotation, turned by it: zero is the reference
itself. Joints that are not driven by parameters have the reference as their target.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import roma
import torch

from diffmocap.body.skeleton import JOINT_NAMES, NUM_JOINTS
from diffmocap.errors import SettingsError
from diffmocap.refinement.window.b_splines import cubic_b_splines

#: Joints that balance, step and carry the arms' weight: what moves the body as a whole.
DRIVEN_JOINTS = (
    "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle", "left_foot", "right_foot",
    "spine1", "spine2", "spine3", "neck", "left_shoulder", "right_shoulder", "left_elbow", "right_elbow",
)  # fmt: skip
#: Sets of joints by the name that a setting has for them (:data:`diffmocap.refinement.diffphy.settings.JOINTS`).
JOINT_SETS = {"main": DRIVEN_JOINTS, "all": JOINT_NAMES[1:]}
#: Knots a second: walking has its main frequencies below 3 Hz.
KNOT_RATE_HZ = 10.0
#: Of the fit of knots: the outermost ones hardly count at any frame.
_RIDGE = 0.05


@dataclass(frozen=True)
class ControlTrajectory:
    """How K x D numbers turn the targets of T frames.

    Attributes:
        joints: indices in SMPL's order, from 1 on; D is three times their number.
        weights: [T, H + K] of the knots at each frame; rows sum to one.
        held: [H, D] rad, knots before the first unknown one that are known already; None: none are.
    """

    joints: tuple[int, ...]
    weights: torch.Tensor
    held: torch.Tensor | None = None

    def __post_init__(self) -> None:
        different = set(self.joints)
        if not different or len(different) < len(self.joints) or not different <= set(range(1, NUM_JOINTS)):
            raise SettingsError(f"driven joints must be different ones of 1 to {NUM_JOINTS - 1}, got {self.joints}")
        if self.held is not None and self.held.shape[1:] != (3 * len(self.joints),):
            raise SettingsError(f"held knots must be [H, {3 * len(self.joints)}], got {list(self.held.shape)}")

    @classmethod
    def over(
        cls, frames: int, dt_s: float, joints: tuple[str, ...] = DRIVEN_JOINTS, knot_rate_hz: float = KNOT_RATE_HZ
    ) -> ControlTrajectory:
        """Knots over ``frames`` frames that are ``dt_s`` apart, for joints by name."""
        if frames < 2 or not dt_s > 0 or not knot_rate_hz > 0:
            raise SettingsError(
                f"controls need two frames and positive times, got {frames} frames of {dt_s} s, {knot_rate_hz} Hz"
            )
        pieces = max(1, math.ceil((frames - 1) * dt_s * knot_rate_hz - 1e-6))
        return cls(_indices(joints), spline_weights(frames, pieces))

    @classmethod
    def every(
        cls, frames: int, spacing: int, joints: tuple[str, ...] = DRIVEN_JOINTS, held: torch.Tensor | None = None
    ) -> ControlTrajectory:
        """A knot on every ``spacing``-th frame, from the one before the first on: those of a window that begins a
        multiple of it later are the same knots. ``held``: the first of them, where they are known."""
        if frames < 2 or spacing < 1:
            raise SettingsError(f"controls need two frames and knots apart, got {frames} frames, spacing {spacing}")
        pieces = -(-(frames - 1) // spacing)
        at = torch.arange(frames, dtype=torch.float64) / spacing
        return cls(_indices(joints), cubic_b_splines(at, pieces + 3), held)

    @property
    def shape(self) -> tuple[int, int]:
        """(K, D)."""
        known = 0 if self.held is None else len(self.held)
        return self.weights.shape[1] - known, 3 * len(self.joints)

    def knots(self, x: torch.Tensor) -> torch.Tensor:
        """All knots [B, H + K, D] rad of parameters [B, K * D] rad."""
        knots = x.view(len(x), *self.shape)
        if self.held is None:
            return knots
        return torch.cat([self.held.to(knots).expand(len(x), *self.held.shape), knots], 1)

    def turns(self, x: torch.Tensor) -> torch.Tensor:
        """Rotation vectors [B, T, D / 3, 3] rad of parameters [B, K * D] rad."""
        return (self.weights.to(x) @ self.knots(x)).unflatten(-1, (len(self.joints), 3))

    def fitted(self, turns: torch.Tensor) -> torch.Tensor:
        """Parameters [1, K * D] rad of the turns nearest to [T, 23, 3] rad of all joints; held knots stay."""
        wanted = turns[:, torch.tensor(self.joints) - 1].flatten(1).double()
        weights, known = self.weights.double(), 0
        if self.held is not None:
            known = len(self.held)
            wanted = wanted - weights[:, :known] @ self.held.double()
        free = weights[:, known:]
        ridge = _RIDGE * torch.eye(free.shape[1], dtype=torch.float64)
        return torch.linalg.solve(free.T @ free + ridge, free.T @ wanted).flatten()[None]

    def targets(self, reference: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Local targets [B, T, 23, 3, 3] from the reference's [B, T, 23, 3, 3], turned in the joints' own axes."""
        place = torch.tensor(self.joints, device=x.device) - 1
        turned = reference.index_select(2, place) @ roma.rotvec_to_rotmat(self.turns(x))
        return reference.index_copy(2, place, turned)


def _indices(joints: tuple[str, ...]) -> tuple[int, ...]:
    unknown = set(joints) - set(JOINT_NAMES)
    if unknown:
        raise SettingsError(f"unknown joints {sorted(unknown)}; names are {', '.join(JOINT_NAMES[1:])}")
    return tuple(JOINT_NAMES.index(name) for name in joints)


def spline_weights(frames: int, pieces: int) -> torch.Tensor:
    """Uniform cubic B-splines of ``pieces`` + 3 knots at evenly spread frames [frames, pieces + 3], float64."""
    return cubic_b_splines(torch.linspace(0, pieces, frames, dtype=torch.float64), pieces + 3)
