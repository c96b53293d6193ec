"""Gravity and floor as given, from the camera's height, pitch and roll or from a transform."""

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
    """Where a camera stands and how it is turned, as its owner measured it."""

    height_m: float = setting(0.0, "Height of the camera above the floor; 0: not known.", 0.0, 100.0, "m")
    pitch_rad: float = setting(0.0, "Pitch of the camera; positive looks down.", -0.5 * math.pi, 0.5 * math.pi, "rad")
    roll_rad: float = setting(
        0.0,
        "Roll of the camera about its viewing direction; positive is clockwise as seen from behind it, which turns the "
        "picture's content counterclockwise.",
        -math.pi,
        math.pi,
        "rad",
    )

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
    def from_camera(cls, height_m: float | None, pitch_rad: float, roll_rad: float = 0.0) -> KnownGround:
        """A camera that looks down by ``pitch_rad``, ``height_m`` above the floor where that is known.

        A positive ``roll_rad`` turns it clockwise about its viewing direction, as seen from behind it. These are the
        angles of tf's ``map`` -> ``camera_link``, roll about x after which comes pitch about y, both fixed: ``up`` is
        the third row of ``Ry(pitch) Rx(roll)``, the z axis of ``map``, with the axes of the optical frame.
        """
        level = math.cos(pitch_rad)
        up = (-level * math.sin(roll_rad), -level * math.cos(roll_rad), -math.sin(pitch_rad))
        given = {"height": height_m is not None, "pitch": True, "roll": roll_rad != 0.0}
        known = " and ".join(", ".join(name for name, is_given in given.items() if is_given).rsplit(", ", 1))
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
