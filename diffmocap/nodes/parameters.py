"""ROS parameters of a node, each declared with the range, the unit and the description that its setting has.

A node lists :class:`NodeParameter` objects: :func:`from_settings` makes those that set a field of a settings class,
where default, range, unit and description stand, and :func:`own` those that only the node knows. :class:`Parameters`
declares them with descriptors (so that ``ros2 param describe`` and rqt show ranges), reads the overrides of the
parameter file, refuses bad live changes with a reason, and hands good ones to the node. Whole numbers are taken where a
decimal or a text is wanted (``guidance: 2``, ``source: 0``): YAML and the shell make no difference.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.node import Node
from rclpy.parameter import Parameter

from diffmocap.errors import DiffmocapError, SettingsError
from diffmocap.settings import Setting, value_at

#: What a descriptor says in words, as there is no field for it.
_CHOICES, _NOT_LIVE = "one of: ", "takes effect at configure"


@dataclass(frozen=True)
class NodeParameter:
    """One parameter.

    Attributes:
        name: of the parameter.
        default: bool, int, float, str or a list of one of them; it fixes the type.
        setting: what it means and may be; a number has both bounds or none.
        live: False for what takes effect at configure only: changing it is refused while the node
            is configured, instead of being accepted without effect.
        path: where the value belongs in the settings that it was made from by :func:`from_settings`; empty otherwise.
    """

    name: str
    default: Any
    setting: Setting
    live: bool = True
    path: str = ""

    def __post_init__(self) -> None:
        if (self.setting.low is None) != (self.setting.high is None):
            raise SettingsError(f"parameter '{self.name}': give both bounds or none")
        self.check(self.default)

    def converted(self, value: Any) -> Any:
        """``value`` as this parameter's type, where nothing is lost by that; else unchanged."""
        if isinstance(value, bool) and str(value).lower() in self.setting.choices:
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
        self.setting.check(f"parameter '{self.name}'", value)

    def descriptor(self) -> ParameterDescriptor:
        """The descriptor that tools show."""
        setting = self.setting
        unit = f" [{setting.unit}]" if setting.unit else ""
        made = ParameterDescriptor(name=self.name, description=setting.description + unit, dynamic_typing=True)
        notes = [_CHOICES + ", ".join(setting.choices)] if setting.choices else []
        notes += [] if self.live else [_NOT_LIVE]
        made.additional_constraints = "; ".join(notes)
        if setting.low is not None and isinstance(self.default, float):
            bounds = FloatingPointRange(from_value=float(setting.low), to_value=float(setting.high))
            made.floating_point_range = [bounds]
        elif setting.low is not None:
            made.integer_range = [IntegerRange(from_value=int(setting.low), to_value=int(setting.high), step=1)]
        return made


def choices_of(descriptor: ParameterDescriptor) -> tuple[str, ...]:
    """The values that a parameter's descriptor, made here, admits; empty for any."""
    notes = descriptor.additional_constraints.split("; ")
    return next((tuple(note.removeprefix(_CHOICES).split(", ")) for note in notes if note.startswith(_CHOICES)), ())


def is_live(descriptor: ParameterDescriptor) -> bool:
    """Whether the parameter of such a descriptor may change while its node is configured."""
    return _NOT_LIVE not in descriptor.additional_constraints.split("; ")


def own(
    name: str, default: Any, description: str, low: float | None = None, high: float | None = None, unit: str = "",
    choices: tuple[str, ...] = (), live: bool = True,
) -> NodeParameter:  # fmt: skip
    """A parameter that only the node knows: its home is the node's list."""
    return NodeParameter(name, default, Setting(description, low, high, unit, choices), live)


def from_settings(
    settings: Any, path: str, name: str = "", live: bool = True, description: str = "", unit: str = ""
) -> NodeParameter:
    """The parameter that sets the field of ``settings`` at a dotted path, whose value there is its default.

    Args:
        settings: an object of a settings class (:mod:`diffmocap.settings`).
        path: of the field.
        name: of the parameter, where it is not the field's.
        live: as in :class:`NodeParameter`.
        description, unit: for this parameter where the field's are those of a class with several uses.
    """
    default, setting = value_at(settings, path)
    if description:
        setting = replace(setting, description=description)
    if unit:
        setting = replace(setting, unit=unit)
    return NodeParameter(name or path.rpartition(".")[2], default, setting, live, path)


class Parameters:
    """The declared parameters of ``node``; ``parameters["name"]`` reads one, from any thread.

    Args:
        declared: what to declare.
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
        declared: Sequence[NodeParameter],
        locked: Callable[[], bool] = lambda: False,
        validate: Callable[[dict[str, Any]], None] = lambda values: None,
        changed: Callable[[set[str]], None] = lambda names: None,
    ) -> None:
        self._declared = {parameter.name: parameter for parameter in declared}
        self._locked, self._validate, self._changed = locked, validate, changed
        self._values: dict[str, Any] = {}
        for entry in declared:
            try:
                value = node.declare_parameter(entry.name, entry.default, entry.descriptor()).value
            except (InvalidParameterValueException, InvalidParameterTypeException) as error:
                raise SettingsError(str(error)) from error
            if entry.converted(value) is not value:
                value = entry.converted(value)
                node.set_parameters([Parameter(entry.name, value=value)])
            entry.check(value)
            self._values[entry.name] = value
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
            known = self._declared.get(parameter.name)
            value = known.converted(parameter.value) if known else parameter.value
            made.append(parameter if value is parameter.value else Parameter(parameter.name, value=value))
        return made

    def _accept(self, parameters: list[Parameter]) -> SetParametersResult:
        proposed = dict(self._values)
        try:
            for parameter in parameters:
                known = self._declared.get(parameter.name)
                if known is None:
                    continue
                known.check(parameter.value)
                if not known.live and parameter.value != self._values[parameter.name] and self._locked():
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
        changed = {p.name for p in parameters if p.name in self._declared and self._values[p.name] != p.value}
        self._values = self._values | {p.name: p.value for p in parameters if p.name in self._declared}
        if changed:
            self._changed(changed)
