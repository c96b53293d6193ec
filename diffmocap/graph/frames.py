"""Names of the frames that a graph makes, with what stands before them where several graphs share a domain.

As robot_state_publisher's parameter of this name does, ``frame_prefix`` stands before a name as it is: with ``alice/``
the frame ``map`` is ``alice/map``. It goes before all frames of the graph, ``map`` included: that one lies below the
graph's own camera, so that two people before two cameras have two of them.
"""

from __future__ import annotations

from diffmocap.errors import SettingsError

#: Stands on the floor below the camera, x forward as the camera looks, z up (REP-105).
MAP_FRAME = "map"
#: The camera's body, x forward.
CAMERA_FRAME = "camera_link"
#: The frame of images (REP-103): z forward, x right, y down.
OPTICAL_FRAME = "camera_optical_frame"


def prefixed(name: str, prefix: str) -> str:
    """The frame's full name.

    Raises:
        SettingsError: the prefix makes no name of a frame.
    """
    if prefix.startswith("/") or any(character.isspace() for character in prefix):
        raise SettingsError(
            f"frame_prefix '{prefix}': names of frames begin with no '/' and hold no blanks; expected something like "
            f"'alice/', which makes '{name}' 'alice/{name}'"
        )
    return prefix + name
