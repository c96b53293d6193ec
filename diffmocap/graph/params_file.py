"""What a user's parameter file says of one parameter of one node, before any node runs."""

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
    import yaml  # most graphs ask nothing of their file

    try:
        document = yaml.safe_load(Path(path).read_text())
    except (OSError, ValueError, yaml.YAMLError):
        return None
    value = None
    for name, parameters in _sections(document):
        if re.fullmatch(_pattern(name), node) and isinstance(parameters, Mapping):
            value = parameters.get(parameter, value)
    return value


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
