"""What can be chosen about an exported file, and what each tool expects."""

from __future__ import annotations

from dataclasses import dataclass

from diffmocap.errors import SettingsError
from diffmocap.motion.export.joint_names import SKELETONS

UP_AXES = ("y", "z")
#: Units of length, in metres.
UNITS = {"m": 1.0, "cm": 0.01, "mm": 0.001}
#: Which bone carries the way through the room.
ROOT_MOTIONS = ("hips", "bone")


@dataclass(frozen=True)
class ExportOptions:
    """How a motion is written.

    Attributes:
        up: axis that points up, ``y`` or ``z``. The rest pose looks along +z, or along -y where z is up; +x is the
            subject's left.
        unit: of lengths, ``m``, ``cm`` or ``mm``.
        skeleton: whose joint names, a key of :data:`~diffmocap.motion.export.joint_names.SKELETONS`.
        root_motion: ``hips``, the pelvis carries the way; ``bone``, a bone of the name ``root`` on the floor below the
            pelvis carries its horizontal part, as game engines take root motion from there. It does not turn.
        in_place: leave the horizontal way out; heights and turns stay.
        fps: frames a second of the file; None keeps the motion's.

    Raises:
        SettingsError: a value is none of these.
    """

    up: str = "y"
    unit: str = "m"
    skeleton: str = "smpl"
    root_motion: str = "hips"
    in_place: bool = False
    fps: float | None = None

    def __post_init__(self) -> None:
        for name, known in {
            "up": UP_AXES, "unit": UNITS, "skeleton": SKELETONS, "root_motion": ROOT_MOTIONS,
        }.items():  # fmt: skip
            if getattr(self, name) not in known:
                raise SettingsError(f"{name} is {getattr(self, name)!r}; expected one of {', '.join(known)}")
        if self.fps is not None and not 1.0 <= self.fps <= 1000.0:
            raise SettingsError(f"fps is {self.fps:g}; expected 1 to 1000 frames a second")


#: What each tool's importer expects with its own settings left alone.
PRESETS = {
    "blender": ExportOptions(up="y", unit="m"),
    "unity": ExportOptions(up="y", unit="m", skeleton="mixamo"),
    "unreal": ExportOptions(up="z", unit="cm", skeleton="metahuman", root_motion="bone"),
    "maya": ExportOptions(up="y", unit="cm"),
}
