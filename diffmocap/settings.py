"""What a setting means and may be: description, unit and range, said once, in the field of its settings class.

A settings class is a frozen dataclass whose fields :func:`setting` makes and whose ``__post_init__`` calls
:func:`check_settings`:

    @dataclass(frozen=True)
    class LiftingSettings:
        guidance: float = setting(0.0, "Weight w of classifier-free guidance; 0: none.", 0.0, 10.0)

The ROS parameters, the options of the command line, the comments of ``config/diffmocap.yaml`` and
``docs/parameters.md`` are made from these fields. This module knows nothing of them, and needs no package.
"""

from __future__ import annotations

import dataclasses
import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, TypeVar

from diffmocap.errors import SettingsError

_KEY = "setting"
_Settings = TypeVar("_Settings")


@dataclass(frozen=True)
class Setting:
    """The meaning and the range of a value.

    Attributes:
        description: whole sentences; the unit and the range are told apart from it.
        low, high: inclusive bounds of a number; ``low`` alone for a number without an upper bound.
        unit: of the number and its bounds.
        choices: the values that a text may take; empty for any.
    """

    description: str
    low: float | None = None
    high: float | None = None
    unit: str = ""
    choices: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.low is None and self.high is not None:
            raise SettingsError(f"a setting with an upper bound needs a lower one, too: {self.description}")

    def check(self, name: str, value: Any) -> None:
        """Raises SettingsError, with ``name`` in front, unless ``value`` is allowed."""
        if self.choices and value not in self.choices:
            raise SettingsError(f"{name}: expected one of {', '.join(self.choices)}, got '{value}'")
        if self.low is None:
            return
        unit = f" {self.unit}" if self.unit else ""
        if self.high is None:
            if not (math.isfinite(value) and value >= self.low):
                raise SettingsError(f"{name} must be a finite number of at least {_text(self.low)}{unit}, got {value}")
        elif not self.low <= value <= self.high:
            raise SettingsError(f"{name} must lie in [{_text(self.low)}, {_text(self.high)}]{unit}, got {value}")

    @property
    def range(self) -> str:
        """The bounds or choices in words, without the unit; empty where any value is allowed."""
        if self.choices:
            return ", ".join(self.choices)
        if self.low is None:
            return ""
        return f"at least {_text(self.low)}" if self.high is None else f"{_text(self.low)} to {_text(self.high)}"


def setting(
    default: Any,
    description: str,
    low: float | None = None,
    high: float | None = None,
    unit: str = "",
    choices: tuple[str, ...] = (),
) -> Any:
    """A field of a settings class; the arguments after ``default`` are those of :class:`Setting`."""
    return field(default=default, metadata={_KEY: Setting(description, low, high, unit, choices)})


def same_setting(settings_class: type, name: str) -> Any:
    """A field that is the same setting as that of another class, with the same default."""
    (found,) = (f for f in dataclasses.fields(settings_class) if f.name == name)
    return field(default=found.default, metadata=found.metadata)


@cache
def settings_of(settings_class: type) -> dict[str, Setting]:
    """The settings of a class by the names of their fields, in order; other fields are left out."""
    return {f.name: f.metadata[_KEY] for f in dataclasses.fields(settings_class) if _KEY in f.metadata}


def check_settings(settings: Any) -> None:
    """For ``__post_init__``: raises SettingsError where a field's value is outside its range."""
    for name, allowed in settings_of(type(settings)).items():
        allowed.check(name, getattr(settings, name))


def value_at(settings: Any, path: str) -> tuple[Any, Setting]:
    """The value of the field at a dotted path such as ``lifting.guidance``, and what the field may be."""
    *parents, name = path.split(".")
    for parent in parents:
        settings = getattr(settings, parent)
    return getattr(settings, name), settings_of(type(settings))[name]


def with_values(settings: _Settings, values: Mapping[str, Any]) -> _Settings:
    """A copy with other values at dotted paths; each settings object on the way is made, and so checked, once.

    Raises:
        SettingsError: a value outside its range.
    """
    own: dict[str, Any] = {}
    below: dict[str, dict[str, Any]] = defaultdict(dict)
    for path, value in values.items():
        name, dot, rest = path.partition(".")
        if dot:
            below[name][rest] = value
        else:
            own[name] = value
    own |= {name: with_values(getattr(settings, name), inner) for name, inner in below.items()}
    return dataclasses.replace(settings, **own)


def _text(number: float) -> str:
    if number == int(number):
        return str(int(number))
    text = f"{number:.6g}"
    return f"{number:.9f}".rstrip("0") if "e" in text else text
