"""ROS parameters of a node, each declared in one place with its description, range and choices.

A node lists :class:`Setting` objects; :class:`Parameters` declares them with descriptors (so that
``ros2 param describe`` and rqt show ranges), reads the overrides of the parameter file, refuses bad
live changes with a reason, and hands good ones to the node. Whole numbers are taken where a
decimal or a text is wanted (``guidance: 2``, ``source: 0``): YAML and the shell make no difference.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.node import Node
from rclpy.parameter import Parameter

from diffmocap.errors import DiffmocapError, SettingsError


@dataclass(frozen=True)
class Setting:
    """One parameter.

    Attributes:
        name: of the parameter.
        default: bool, int, float, str or a list of one of them; it fixes the type.
        description: shown by ``ros2 param describe``, with the unit.
        low, high: inclusive bounds of a number; both or none.
        choices: the values that a text may take; empty for any.
        live: False for what takes effect at configure only: changing it is refused while the node
            is configured, instead of being accepted without effect.
    """

    name: str
    default: Any
    description: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    live: bool = True

    def __post_init__(self) -> None:
        if (self.low is None) != (self.high is None):
            raise SettingsError(f"parameter '{self.name}': give both bounds or none")
        self.check(self.default)

    def converted(self, value: Any) -> Any:
        """``value`` as this parameter's type, where nothing is lost by that; else unchanged."""
        if isinstance(value, bool) and str(value).lower() in self.choices:
            return str(value).lower()  # YAML and the shell take these words for a bool
        if isinstance(value, bool) or not isinstance(value, int):
            return value
        return type(self.default)(value) if type(self.default) in (float, str) else value

    def check(self, value: Any) -> None:
        """Raises SettingsError unless ``value`` has the right type and lies in the range."""
        wanted = type(self.default)
        if wanted is list and not isinstance(value, (str, bytes)) and hasattr(value, "__iter__"):
            return
        if type(value) is not wanted:
            got = "nothing" if value is None else f"{type(value).__name__} {value!r}"
            raise SettingsError(f"parameter '{self.name}': expected {wanted.__name__}, got {got}")
        if wanted is float and not math.isfinite(value):
            raise SettingsError(f"parameter '{self.name}': expected a finite number, got {value}")
        if self.low is not None and not self.low <= value <= self.high:
            raise SettingsError(f"parameter '{self.name}': expected {self.low} to {self.high}, got {value}")
        if self.choices and value not in self.choices:
            raise SettingsError(f"parameter '{self.name}': expected one of {', '.join(self.choices)}, got '{value}'")

    def descriptor(self) -> ParameterDescriptor:
        """The descriptor that tools show."""
        made = ParameterDescriptor(name=self.name, description=self.description, dynamic_typing=True)
        notes = [f"one of: {', '.join(self.choices)}"] if self.choices else []
        notes += [] if self.live else ["takes effect at configure"]
        made.additional_constraints = "; ".join(notes)
        if self.low is not None and isinstance(self.default, float):
            made.floating_point_range = [FloatingPointRange(from_value=float(self.low), to_value=float(self.high))]
        elif self.low is not None:
            made.integer_range = [IntegerRange(from_value=int(self.low), to_value=int(self.high), step=1)]
        return made


class Parameters:
    """The declared parameters of ``node``; ``parameters["name"]`` reads one, from any thread.

    Args:
        settings: what to declare.
        locked: returns True while settings with ``live=False`` cannot be changed.
        validate: called with all values as they would become (a dict); raises a DiffmocapError to
            refuse them, for what no single range can say.
        changed: called on the executor's thread with the set of names that were changed.

    Raises:
        SettingsError: where a parameter file or the command line gives a bad value.
    """

    def __init__(
        self,
        node: Node,
        settings: Sequence[Setting],
        locked: Callable[[], bool] = lambda: False,
        validate: Callable[[dict[str, Any]], None] = lambda values: None,
        changed: Callable[[set[str]], None] = lambda names: None,
    ) -> None:
        self._settings = {setting.name: setting for setting in settings}
        self._locked, self._validate, self._changed = locked, validate, changed
        self._values: dict[str, Any] = {}
        for setting in settings:
            try:
                value = node.declare_parameter(setting.name, setting.default, setting.descriptor()).value
            except (InvalidParameterValueException, InvalidParameterTypeException) as error:
                raise SettingsError(str(error)) from error
            if setting.converted(value) is not value:
                value = setting.converted(value)
                node.set_parameters([Parameter(setting.name, value=value)])
            setting.check(value)
            self._values[setting.name] = value
        validate(dict(self._values))
        node.add_pre_set_parameters_callback(self._convert)
        node.add_on_set_parameters_callback(self._accept)
        node.add_post_set_parameters_callback(self._apply)

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def values(self) -> dict[str, Any]:
        """All values, copied."""
        return dict(self._values)

    def _convert(self, parameters: list[Parameter]) -> list[Parameter]:
        made = []
        for parameter in parameters:
            setting = self._settings.get(parameter.name)
            value = setting.converted(parameter.value) if setting else parameter.value
            made.append(parameter if value is parameter.value else Parameter(parameter.name, value=value))
        return made

    def _accept(self, parameters: list[Parameter]) -> SetParametersResult:
        proposed = dict(self._values)
        try:
            for parameter in parameters:
                setting = self._settings.get(parameter.name)
                if setting is None:
                    continue
                setting.check(parameter.value)
                if not setting.live and parameter.value != self._values[parameter.name] and self._locked():
                    raise SettingsError(
                        f"parameter '{parameter.name}' takes effect at configure: "
                        "deactivate and clean up the node, change it, configure and activate again"
                    )
                proposed[parameter.name] = parameter.value
            self._validate(proposed)
        except DiffmocapError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _apply(self, parameters: list[Parameter]) -> None:
        changed = {p.name for p in parameters if p.name in self._settings and self._values[p.name] != p.value}
        self._values = self._values | {p.name: p.value for p in parameters if p.name in self._settings}
        if changed:
            self._changed(changed)
