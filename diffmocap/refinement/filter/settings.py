"""How poses are filtered where no physics runs. Imports no torch: the command line reads the settings early."""

from __future__ import annotations

from dataclasses import dataclass

from diffmocap.settings import check_settings, setting


@dataclass(frozen=True)
class OneEuroSettings:
    """Parameters of :class:`diffmocap.refinement.filter.one_euro.OneEuroFilter`, named as in the paper."""

    min_cutoff_hz: float = setting(
        1.0, "Cutoff at rest; lower: less jitter, and more lag when still.", 1e-6, 1000.0, "Hz"
    )
    beta: float = setting(
        1.0, "Rise of the cutoff with speed, in Hz per rad/s or m/s; higher: less lag in motion.", 0.0, 1000.0
    )
    speed_cutoff_hz: float = setting(1.0, "Cutoff of the speed estimate; 1 Hz in the paper.", 1e-6, 1000.0, "Hz")

    def __post_init__(self) -> None:
        check_settings(self)


#: Chosen on validation walks and karate at 30 Hz with 1.7 and 3.4 degrees, or 1 to 4 cm, of noise on each axis and
#: frame: rotations come out closer to the truth than they went in, and jitter falls to about a third.
ROTATION_FILTER = OneEuroSettings(min_cutoff_hz=1.0, beta=1.5, speed_cutoff_hz=2.0)
PELVIS_FILTER = OneEuroSettings(min_cutoff_hz=1.0, beta=3.0, speed_cutoff_hz=2.0)


@dataclass(frozen=True)
class FilterSettings:
    """How a :class:`~diffmocap.refinement.filter.pose_filter.PoseFilter` weighs the present against the past.

    ``rotation`` filters the 24 local rotations (``beta`` in Hz per rad/s), ``pelvis`` the pelvis position (in Hz per
    m/s).
    """

    enabled: bool = setting(True, "Filter poses over time (one-euro filter); false: the followed hypothesis as it is.")
    rotation: OneEuroSettings = ROTATION_FILTER
    pelvis: OneEuroSettings = PELVIS_FILTER

    def __post_init__(self) -> None:
        check_settings(self)
