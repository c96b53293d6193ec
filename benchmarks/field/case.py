"""One measured case of an input from the field."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from tempfile import TemporaryDirectory
from typing import Any

#: Longest text of an error that a table shows.
ERROR_LENGTH = 160


@dataclass(frozen=True)
class Case:
    """A question to the code at hand.

    Attributes:
        kind: the kind of input, which is the row of the table that the case belongs to.
        what: the input, in a few words.
        unit: of the measured figure (mm, s, px, "of 90 images"); empty where the result is a text.
        wanted: what a correct program gives, in words or as a figure.
        measure: called with an empty folder; returns a figure or a short text. What it raises is the result.
    """

    kind: str
    what: str
    unit: str
    wanted: str
    measure: Callable[[Path], float | str]


def cases() -> Iterator[Case]:
    """All cases of the modules of this package, in the order of the modules' names."""
    package = __name__.rpartition(".")[0]
    folder = Path(__file__).parent
    for module in sorted(info.name for info in iter_modules([str(folder)])):
        if not module.startswith("__"):
            yield from getattr(import_module(f"{package}.{module}"), "CASES", ())


def measured(case: Case) -> dict[str, Any]:
    """The case's fields with its ``result``: a figure, a text, or ``{"error": text}``."""
    fields = {key: value for key, value in asdict(case).items() if key != "measure"}
    with TemporaryDirectory() as folder:
        try:
            result: Any = case.measure(Path(folder))
        except Exception as error:  # whatever the version at hand raises is what its user sees
            text = " ".join(f"{type(error).__name__}: {error}".split())
            result = {"error": text[:ERROR_LENGTH]}
    return fields | {"result": result}
