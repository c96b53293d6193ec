"""Names of namespaces and topics that the user gives, checked before anything starts."""

from __future__ import annotations

import re

from diffmocap.errors import SettingsError

#: Levels of letters, digits and underscores, none with a digit first; ~ and {...} stand for names that ROS fills in.
_NAMES = {
    "namespace": re.compile(r"/?|/?[A-Za-z_]\w*(/[A-Za-z_]\w*)*/?", re.ASCII),
    "topic": re.compile(r"~|(~?/)?[A-Za-z_{][\w{}]*(/[A-Za-z_{][\w{}]*)*", re.ASCII),
}


def check_name(argument: str, kind: str, name: str) -> None:
    """Raises SettingsError unless ROS takes ``name`` for a ``kind``: "namespace" or "topic"; an empty one is none."""
    if name and not _NAMES[kind].fullmatch(name):
        raise SettingsError(
            f"{argument}: '{name}' is not a ROS {kind}: expected letters, digits and '_', with '/' between levels and "
            f"no digit at the start of one, such as '{'alice' if kind == 'namespace' else '/usb_cam/image_raw'}'"
        )
