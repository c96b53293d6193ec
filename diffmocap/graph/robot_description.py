"""The text of the body's URDF, with mesh addresses that a viewer can follow."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from diffmocap.errors import ModelFileError
from diffmocap.graph.elements import PACKAGE
from diffmocap.resources import share_path

_PACKAGE_ADDRESS = f"package://{PACKAGE}/"


def robot_description(environment: Mapping[str, str] = os.environ) -> str:
    """``models/human.urdf`` for the topic ``robot_description``.

    Meshes are addressed as ``package://`` where ROS finds this package installed, so that viewers on
    other computers find theirs too, and as ``file://`` where it runs from its source tree.

    Raises:
        ModelFileError: the file is missing.
    """
    path = share_path("models", "human.urdf")
    try:
        text = path.read_text()
    except OSError as error:
        raise ModelFileError(
            f"cannot read {path}: {error.strerror}; make it with `python -m diffmocap.body.urdf` or reinstall diffmocap"
        ) from error
    if _known_to_ament(environment):
        return text
    return text.replace(_PACKAGE_ADDRESS, share_path().resolve().as_uri() + "/")


def _known_to_ament(environment: Mapping[str, str]) -> bool:
    prefixes = filter(None, environment.get("AMENT_PREFIX_PATH", "").split(os.pathsep))
    return any((Path(p) / "share/ament_index/resource_index/packages" / PACKAGE).is_file() for p in prefixes)
