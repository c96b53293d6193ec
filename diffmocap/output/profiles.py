"""The limits of the published motion: two profiles, and what may be set of them.

``animation`` follows with the least lag and is limited where no person moves; ``robot`` is limited to what a machine
follows. Both keep the position and effort limits of the URDF, and stay below its velocity limit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from diffmocap.settings import check_settings, setting

ANIMATION, ROBOT = PROFILES = ("animation", "robot")

#: Share of a limit that is used, so that no rounding of a message, of float32 or of a stamp leaves it.
_USED = 0.999
#: Fastest joint of `animation` [rad/s]: 0.8 rad in a frame of 30 Hz. The URDF's own limit is 35.
_ANIMATION_VELOCITY = 24.0
#: Of `animation` [rad/s^2]: within a frame from rest to the fastest; kicks and throws stay below 400.
_ANIMATION_ACCELERATION = 1000.0
#: `animation` has no jerk limit; the law wants a number [rad/s^3].
_NO_JERK_LIMIT = 1e9
#: Of both profiles: pelvis [m/s], and the root's turn [rad/s], which is 20 degrees in a frame of 30 Hz.
PELVIS_SPEED, ROOT_TURN = 4.0, math.radians(20.0) * 30.0
#: Pelvis [m/s^2] and root [rad/s^2] of `animation`.
_ANIMATION_ROOT = (120.0, 500.0)


@dataclass(frozen=True)
class MotionLimits:
    """What the published motion keeps at every sample.

    Attributes:
        velocity, acceleration, jerk: of every joint [rad/s, rad/s^2, rad/s^3].
        root_velocity: of the pelvis [m/s] and the root's turn [rad/s], lengths of the vectors.
        root_acceleration: likewise [m/s^2, rad/s^2].
    """

    velocity: float
    acceleration: float
    jerk: float
    root_velocity: tuple[float, float]
    root_acceleration: tuple[float, float]


@dataclass(frozen=True)
class MotionSettings:
    """How the published motion follows the refined poses."""

    profile: str = setting(
        ANIMATION,
        "Limits of the published motion; animation: least lag, joints up to 24 rad/s; robot: those of robot_velocity, "
        "robot_acceleration and robot_jerk.",
        choices=PROFILES,
    )
    robot_velocity: float = setting(8.0, "Fastest joint of the profile robot.", 0.1, 24.0, "rad/s")
    robot_acceleration: float = setting(
        200.0, "Largest acceleration of a joint and of the root's turn in the profile robot.", 1.0, 1000.0, "rad/s^2"
    )
    robot_jerk: float = setting(
        10_000.0, "Largest change of a joint's acceleration in the profile robot.", 10.0, 1e6, "rad/s^3"
    )
    robot_pelvis_acceleration: float = setting(
        40.0, "Largest acceleration of the pelvis in the profile robot.", 0.5, 120.0, "m/s^2"
    )
    outlier_rad: float = setting(
        0.5,
        "A joint whose rotation differs by more from where its motion leads is waited for in one image, at 30 Hz; "
        "twice in a row it is followed. 0: every pose is followed at once.",
        0.0,
        3.2,
        "rad",
    )
    predict_s: float = setting(
        0.3,
        "Without a pose the motion comes to rest within this time, marked as predicted; then nothing is published until"
        " a pose continues the track, or the track ends.",
        0.0,
        2.0,
        "s",
    )

    def __post_init__(self) -> None:
        check_settings(self)

    @property
    def limits(self) -> MotionLimits:
        """Those of the profile, a thousandth inside of what is promised."""
        if self.profile == ROBOT:
            joint = self.robot_velocity, self.robot_acceleration, self.robot_jerk
            root = self.robot_pelvis_acceleration, self.robot_acceleration
        else:
            joint = _ANIMATION_VELOCITY, _ANIMATION_ACCELERATION, _NO_JERK_LIMIT
            root = _ANIMATION_ROOT
        velocity, acceleration, jerk = (_USED * x for x in joint)
        turn = min(ROOT_TURN, self.robot_velocity) if self.profile == ROBOT else ROOT_TURN
        return MotionLimits(
            velocity, acceleration, jerk, (_USED * PELVIS_SPEED, _USED * turn), (_USED * root[0], _USED * root[1])
        )
