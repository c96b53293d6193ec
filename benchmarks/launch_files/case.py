"""What every part of the benchmark has to show: rows of figures, with what was asked."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.launch_files.install import Install

_HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Row:
    """One measurement; ``met`` is None where nothing was asked of it."""

    what: str
    measured: str
    asked: str = ""
    met: bool | None = None


@dataclass(frozen=True)
class Work:
    """Where a part works: the install, a folder for its files, the bundled clip."""

    install: Install
    folder: Path
    clip: Path


@dataclass(frozen=True)
class Part:
    """A named part of the benchmark."""

    name: str
    title: str
    measure: Callable[[Work], Iterable[Row]]


class Observer:
    """The observer's process; :meth:`report` is what it has heard since it was started."""

    def __init__(self, install: Install) -> None:
        self._process = install.python(str(_HERE / "observer.py"))

    def __enter__(self) -> Observer:
        return self

    def __exit__(self, *_) -> None:
        self._process.stdin.close()
        self._process.wait(20.0)

    def report(self) -> dict[str, Any]:
        """Diagnostics by node, arrivals and stamps by topic, frames by topic."""
        self._process.stdin.write("report\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


def of_node(diagnostics: dict[str, dict], node: str) -> dict:
    """The status of a node, in whatever namespace; empty where it said nothing."""
    return next((status for name, status in diagnostics.items() if name.rpartition("/")[2] == node), {})
