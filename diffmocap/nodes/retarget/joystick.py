"""The joystick's two buttons."""

from __future__ import annotations

from collections.abc import Callable

from sensor_msgs.msg import Joy

from diffmocap.nodes.health.diagnostics import WARN, Diagnostics


class Joystick:
    """Reads `joy`.

    Args:
        diagnostics: told of buttons that the joystick does not have, as problem ``joystick``.
        held: called with every message: whether the engage button is held.
        stop: called when the stop button goes down.
    """

    def __init__(self, diagnostics: Diagnostics, held: Callable[[bool], None], stop: Callable[[], None]) -> None:
        self._diagnostics, self._held, self._stop = diagnostics, held, stop
        self._stopping = False

    def receive(self, message: Joy, engage_button: int, stop_button: int) -> None:
        """One message; a button of -1 is none."""
        buttons = message.buttons
        missing = [n for n in (engage_button, stop_button) if n >= len(buttons)]
        if missing:
            text = f"the joystick has {len(buttons)} buttons and none {missing[0]}: set engage_button and stop_button"
            self._diagnostics.problem("joystick", text, WARN)
        stopping = 0 <= stop_button < len(buttons) and bool(buttons[stop_button])
        if stopping and not self._stopping:
            self._stop()
        self._stopping = stopping
        if engage_button >= 0:
            self._held(engage_button < len(buttons) and bool(buttons[engage_button]))
