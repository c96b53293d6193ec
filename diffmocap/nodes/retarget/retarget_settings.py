"""The parameters of retarget_node; those of beginning and holding stand in the settings class of the engagement."""

from __future__ import annotations

from typing import Any

from diffmocap.graph.frames import MAP_FRAME
from diffmocap.nodes.parameters import from_settings, own
from diffmocap.robots.live.engagement_settings import EngagementSettings
from diffmocap.settings import settings_of, with_values

_DEFAULTS = EngagementSettings()

PARAMETERS = (
    own(
        "robot", "g1",
        "Short name of a robot whose description ships, or the path of the YAML file of another one.", live=False,
    ),
    own("rate", 100.0, "Commands a second after a pose, which is answered at once.", 10.0, 500.0, "Hz", live=False),
    *(from_settings(_DEFAULTS, name) for name in settings_of(EngagementSettings)),
    own(
        "engage_button", 4,
        "Button of the joystick that lets the robot follow while it is held, counted from 0; -1: none.", -1, 31,
    ),
    own("stop_button", 1, "Button of the joystick that is the software stop, counted from 0; -1: none.", -1, 31),
    own(
        "map_frame", MAP_FRAME,
        "Upright frame of static transforms that the camera is placed in; without it the camera is taken to be level.",
    ),
    own(
        "stage_frame", "stage",
        "Frame that begins where the person stood, x forward as they looked, z up from the floor; that of the robot's "
        "base.", live=False,
    ),
)  # fmt: skip


def engagement_settings(values: dict[str, Any]) -> EngagementSettings:
    """The settings for these parameter values.

    Raises:
        SettingsError: a value outside its range.
    """
    return with_values(_DEFAULTS, {p.path: values[p.name] for p in PARAMETERS if p.path})
