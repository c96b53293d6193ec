"""Gravity and floor as given, from the camera's height and pitch or from a transform."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from diffmocap.errors import SettingsError
from diffmocap.settings import check_settings, setting

if TYPE_CHECKING:
    import torch

#: A rotation whose rows are this far from unit length is none.
_ROUNDING = 1e-3


@dataclass(frozen=True)
class CameraPlacement:
    """Where a camera that looks ahead without roll stands, as its owner measured it."""

    height_m: float = setting(0.0, "Height of the camera above the floor; 0: not known.", 0.0, 100.0, "m")
    pitch_rad: float = setting(0.0, "Pitch of the camera; positive looks down.", -0.5 * math.pi, 0.5 * math.pi, "rad")

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True)
class KnownGround:
    """Which way is up and where the floor is, in the camera's optical frame, as far as somebody said so.

    Attributes:
        up: unit vector against gravity; None: found from the motion.
        height_m: of the floor along ``up``; None: found from the motion.
        source: who said so, for the log; empty: nobody.
    """

    up: tuple[float, float, float] | None = None
    height_m: float | None = None
    source: str = ""

    def __post_init__(self) -> None:
        if self.height_m is not None and (self.up is None or not math.isfinite(self.height_m)):
            raise SettingsError("the floor's height needs the direction `up` that it is measured along, and a number")
        if self.up is not None and not abs(math.hypot(*self.up) - 1.0) < _ROUNDING:
            raise SettingsError(f"the direction up must be a unit vector, got {self.up}")

    @classmethod
    def from_camera(cls, height_m: float | None, pitch_rad: float) -> KnownGround:
        """A camera without roll that looks down by ``pitch_rad``, ``height_m`` above the floor where that is known."""
        up = (0.0, -math.cos(pitch_rad), -math.sin(pitch_rad))
        known = "height and pitch" if height_m is not None else "pitch"
        return cls(up, None if height_m is None else -height_m, f"camera {known} given")

    @classmethod
    def from_transform(cls, T_optical_ground: Sequence, source: str, with_height: bool) -> KnownGround:
        """From the pose [4, 4] of a frame whose z axis points up, in the optical frame.

        Args:
            with_height: whether that frame's plane z = 0 is the floor.

        Raises:
            SettingsError: no rigid transform.
        """
        import torch  # the settings of the refinement, which hold this class, do not need it

        T = torch.as_tensor(T_optical_ground, dtype=torch.float64)
        up = T[:3, 2]
        if not bool(torch.isfinite(T).all()) or not abs(float(up.norm()) - 1.0) < _ROUNDING:
            raise SettingsError(f"expected a rigid transform of the ground's frame, got {T.tolist()}")
        height = float(up @ T[:3, 3]) if with_height else None
        return cls(tuple(up.tolist()), height, source)

    def tensors(self) -> tuple[torch.Tensor | None, float | None]:
        """``up`` [3] and the height [m]."""
        import torch

        return None if self.up is None else torch.tensor(self.up), self.height_m
