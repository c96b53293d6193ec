"""YAML files of unknown origin, within bounds.

A YAML file may name a part once and repeat it by an alias. Aliases of aliases make a file of a kilobyte stand for
billions of values, of which each copy is walked through by whoever reads the result. So what a file stands for is
counted before it is built.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

#: Largest file, and most values, keys and lists that it may stand for. A parameter file of all nodes has some 300.
MAX_BYTES = 1_000_000
MAX_VALUES = 100_000
#: Deepest nesting.
MAX_DEPTH = 50


def read_yaml(path: str | Path) -> Any:
    """The document in a YAML file, of plain values alone; None where the file is empty.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no YAML, or too large once its aliases are written out; the message says what is wrong.
    """
    with open(Path(path).expanduser(), "rb") as f:
        return parse_yaml(f.read(MAX_BYTES + 1))


def parse_yaml(data: bytes) -> Any:
    """The document in the bytes of a YAML file; ValueError as :func:`read_yaml`."""
    if len(data) > MAX_BYTES:
        raise ValueError(f"it is larger than {MAX_BYTES / 1e6:.0f} MB")
    loader = None
    try:
        loader = yaml.SafeLoader(data)
        root = loader.get_single_node()
        if root is None:
            return None
        _count(root, {}, MAX_DEPTH)
        return loader.construct_document(root)
    except yaml.YAMLError as error:
        raise ValueError(f"it is no YAML: {' '.join(str(error).split())}") from error
    except RecursionError as error:
        raise ValueError(f"it is nested deeper than {MAX_DEPTH} levels") from error
    finally:
        if loader is not None:
            loader.dispose()


def _count(node: yaml.Node, known: dict[yaml.Node, int], depth: int) -> int:
    """How many values a node stands for, its aliases written out."""
    if depth == 0:
        raise ValueError(f"it is nested deeper than {MAX_DEPTH} levels, or a part contains itself")
    if node not in known:
        total = 1
        if isinstance(node, yaml.SequenceNode):
            total += sum(_count(item, known, depth - 1) for item in node.value)
        elif isinstance(node, yaml.MappingNode):
            total += sum(_count(key, known, depth - 1) + _count(item, known, depth - 1) for key, item in node.value)
        known[node] = total
    if known[node] > MAX_VALUES:
        raise ValueError(f"its aliases, written out, stand for more than {MAX_VALUES} values")
    return known[node]
