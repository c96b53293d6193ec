"""What may be set of a robot that follows: when it begins, when it holds, how a person stands for the calibration."""

from __future__ import annotations

from dataclasses import dataclass

from diffmocap.settings import check_settings, setting

#: Where the robot's joints are known from: its own joint states, or the commands that it got.
MEASURED, ASSUMED = ROBOT_STATES = ("measured", "assumed")


@dataclass(frozen=True)
class EngagementSettings:
    """Times in seconds, angles in radians; joints that slide count in metres."""

    pose_timeout: float = setting(0.5, "The robot holds when no pose has come for so long.", 0.05, 5.0, "s")
    max_age: float = setting(
        0.5,
        "A pose whose stamp differs by more from the time of its arrival is late and not followed; 0: stamps are not "
        "judged, as for a bag that is played without /clock.",
        0.0,
        10.0,
        "s",
    )
    max_predicted: float = setting(
        0.25, "The robot holds when poses have been PREDICTED, shown by no image, for longer.", 0.0, 2.0, "s"
    )
    blend_time: float = setting(
        1.0, "From where the robot is to the person's pose; longer where the robot's limits ask for it.", 0.2, 10.0, "s"
    )
    engage_distance: float = setting(
        0.6,
        "The robot begins to follow only where none of its joints is farther from the person's pose: stand as the "
        "robot does.",
        0.01,
        6.3,
        "rad",
    )
    allow_assumed_fov: bool = setting(
        False,
        "Follow also where nobody calibrated the camera: distances, and how far arms reach, are guesses then.",
    )
    robot_state: str = setting(
        MEASURED,
        "Where the robot's joints are known from; measured: its joint states, without which it is not moved; assumed: "
        "it rests in the pose of its description at first and follows every command, as a simulation does.",
        choices=ROBOT_STATES,
    )
    robot_timeout: float = setting(
        0.25, "The robot holds when its joint states have not come for so long.", 0.02, 5.0, "s"
    )
    following_error: float = setting(
        0.5,
        "The robot holds when one of its joints is farther from its command: it is blocked, or somebody else stopped "
        "it.",
        0.02,
        6.3,
        "rad",
    )
    start_velocity: float = setting(
        0.15, "The robot begins to follow only where none of its joints moves faster.", 0.001, 6.0, "rad/s"
    )
    max_stall: float = setting(
        0.25,
        "The robot holds when this computer could not send a command for so long: it has braked by itself meanwhile.",
        0.05,
        5.0,
        "s",
    )
    joy_timeout: float = setting(
        0.25,
        "The Joy button counts as let go when nothing has come from the joystick for so long; joy_node repeats what it "
        "said 20 times a second.",
        0.02,
        5.0,
        "s",
    )
    stand_time: float = setting(
        2.0, "How long somebody stands upright and still before the robot may follow.", 0.5, 10.0, "s"
    )
    stand_lean: float = setting(
        0.45,
        "A larger lean of body or torso in the stand is no error of the camera's: the person has to stand upright, or "
        "the camera's pitch has to be set.",
        0.05,
        1.0,
        "rad",
    )

    def __post_init__(self) -> None:
        check_settings(self)
