"""What a user's parameter file says to which node, before any node runs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

_PARAMETERS = "ros__parameters"


def parameter_in_file(path: str | Path, node: str, parameter: str) -> Any:
    """The value that the node of this full name will get from the file, as rcl reads it; None: the file is silent.

    Also of a file that cannot be read: the node that is given it says what is wrong.
    """
    value = None
    for name, parameters in sections(path):
        if names(name, node):
            value = parameters.get(parameter, value)
    return value


def sections(path: str | Path) -> list[tuple[str, Mapping[str, Any]]]:
    """The file's (name of nodes, which may have wildcards; their parameters) in its order; none of an unreadable file.

    Groups of parameters are levels, as they are written: ``{"physics_weights": {"slip": 1.0}}``.
    """
    from diffmocap.files.yaml_file import read_yaml  # most graphs ask nothing of their file

    try:
        document = read_yaml(path)
    except (OSError, ValueError):
        return []
    return [(name, parameters) for name, parameters in _sections(document) if isinstance(parameters, Mapping)]


def names(section: str, node: str) -> bool:
    """Whether a section's name stands for the node of this full name."""
    return re.fullmatch(_pattern(section), node) is not None


def _sections(document: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """(name of nodes, their parameters) in the file's order; namespaces may be levels of their own."""
    if not isinstance(document, Mapping):
        return
    for key, below in document.items():
        if key == _PARAMETERS:
            yield name, below
        else:
            yield from _sections(below, f"{name}/{str(key).strip('/')}")


def _pattern(name: str) -> str:
    """``*`` stands for one part of a name, ``**`` for any number of them."""
    parts = {"/*": r"(/\w+)", "/**": r"(/\w+)*"}
    return "".join(parts.get(part, re.escape(part)) for part in re.findall(r"/[^/]*", name))
