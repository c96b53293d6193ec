"""The parameters of sonic_node; those of beginning and ending stand in the settings class of the engagement."""

from __future__ import annotations

from typing import Any

from diffmocap.errors import SettingsError
from diffmocap.graph.frames import MAP_FRAME
from diffmocap.nodes.parameters import from_settings, own
from diffmocap.robots.live.engagement_settings import EngagementSettings
from diffmocap.robots.sonic.session import StreamSettings
from diffmocap.settings import with_values

_DEFAULTS = EngagementSettings()
_OF_ENGAGEMENT = (
    "pose_timeout", "max_age", "max_predicted", "blend_time", "allow_assumed_fov", "stand_time", "stand_lean",
)  # fmt: skip

PARAMETERS = (
    own(
        "host", "127.0.0.1",
        "Address to bind. With another than this computer's loopback everybody who reaches it is told the person's "
        "poses: no password, no encryption.", live=False,
    ),
    own(
        "port", 5556, "Port that SONIC connects to (--zmq-port); 0: any free one, which the log names.", 0, 65535,
        live=False,
    ),
    own("topic", "pose", "What SONIC subscribes to (--zmq-topic).", live=False),
    own(
        "window", 5,
        "Frames of a message, 50 a second: the robot follows so many frames later, and survives gaps as long.", 1, 50,
        live=False,
    ),
    own(
        "skeleton_height", 1.66,
        "Height that every person's skeleton is scaled to; SONIC has learned from SMPL-X's mean body, of 1.66 m. "
        "0: the person's own.", 0.0, 2.5, "m",
    ),
    own(
        "by_itself", False,
        "Begin when the person has stood, and go on when they come back, without being asked.",
    ),
    *(from_settings(_DEFAULTS, name) for name in _OF_ENGAGEMENT),
    own(
        "map_frame", MAP_FRAME,
        "Upright frame of static transforms that the camera is placed in; without it the camera is taken to be level.",
    ),
)  # fmt: skip


def engagement_settings(values: dict[str, Any]) -> EngagementSettings:
    """When the stream begins and ends.

    Raises:
        SettingsError: a value outside its range.
    """
    return with_values(_DEFAULTS, {name: values[name] for name in _OF_ENGAGEMENT})


def stream_settings(values: dict[str, Any]) -> StreamSettings:
    """What the stream is.

    Raises:
        SettingsError: the height is no person's, or the topic cannot be one.
    """
    if 0.0 < values["skeleton_height"] < 0.5:
        raise SettingsError(f"skeleton_height is {values['skeleton_height']:g} m; expected 0, or 0.5 to 2.5 m")
    if not values["topic"] or "{" in values["topic"]:
        raise SettingsError(f"topic is {values['topic']!r}; expected a name such as pose, the one of --zmq-topic")
    return StreamSettings(values["window"], values["skeleton_height"], values["by_itself"])
