"""Options of the command line that set a field of a settings class, with the field's description and range."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Any

from diffmocap.settings import Setting, value_at

#: Where the value comes from without the option.
FROM_FILE = "as the parameter file says"


@dataclass(frozen=True)
class SettingOption:
    """An option for one field; what is not given is None, and stays as it is.

    Attributes:
        option: such as ``--steps``.
        settings: an object of a settings class (:mod:`diffmocap.settings`); its value fixes the option's type.
        path: of the field.
        metavar: stands for the value in the help; none for a switch, which is ``--name`` and ``--no-name``.
        default: what holds without the option, in words.
        explanation: what the description does not say because it depends on the command line.
    """

    option: str
    settings: Any
    path: str
    metavar: str = ""
    default: str = FROM_FILE
    explanation: str = ""

    @property
    def setting(self) -> Setting:
        """What the value may be."""
        return value_at(self.settings, self.path)[1]

    def add(self, parser: argparse._ActionsContainer) -> None:
        """Makes the parser take the option."""
        kind, setting = type(value_at(self.settings, self.path)[0]), self.setting
        limits = " ".join(part for part in (setting.range, setting.unit) if part and not setting.choices)
        text = setting.description[0].lower() + setting.description[1:].removesuffix(".")
        limits = ", ".join(part for part in (limits, self.explanation) if part)
        text = "; ".join(part for part in (text, limits) if part) + f" (default: {self.default})"
        if kind is bool:
            parser.add_argument(self.option, action=argparse.BooleanOptionalAction, help=text.replace("%", "%%"))
        else:
            choices = setting.choices or None
            parser.add_argument(
                self.option, type=kind, choices=choices, metavar=self.metavar or None, help=text.replace("%", "%%")
            )

    def value(self, args: argparse.Namespace) -> Any:
        """The value that was given, or None.

        Raises:
            SettingsError: it is outside the field's range.
        """
        value = getattr(args, self.option.lstrip("-").replace("-", "_"))
        if value is not None:
            self.setting.check(self.option, value)
        return value
