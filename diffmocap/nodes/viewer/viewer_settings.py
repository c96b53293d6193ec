"""The parameters of viewer_node; default, range, unit and description of most stand in the viewer's settings class."""

from __future__ import annotations

from typing import Any

from diffmocap.nodes.parameters import from_settings, own
from diffmocap.settings import settings_of, with_values
from diffmocap.viewer.settings import ViewerSettings

_DEFAULTS = ViewerSettings()
#: Taken over at the start.
_AT_START = {"host", "port"}

PARAMETERS = (
    *(from_settings(_DEFAULTS, name, live=name not in _AT_START) for name in settings_of(ViewerSettings)),
    own("body_model", "", "SMPL body (.npz) to draw; empty: the shipped one. That of pose_node.", live=False),
    own(
        "map_frame",
        "map",
        "Upright frame of static transforms; the scene stands by it until physics knows the floor.",
    ),
)


def viewer_settings(values: dict[str, Any]) -> ViewerSettings:
    """The viewer's settings for these parameter values.

    Raises:
        SettingsError: a value outside its range.
    """
    return with_values(_DEFAULTS, {p.path: values[p.name] for p in PARAMETERS if p.path})
