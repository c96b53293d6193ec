"""One control in the page's side bar for each live parameter of pose_node.

The kind of control, its range and its help come from the parameter itself. What a user sets is handed on, newest value
only, and the control shows what the node then has: of a value that was refused the old one, beside the reason.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

#: Shown first and open; all others are in folders that are closed.
FAVOURITES = (
    "steps", "guidance", "hypotheses", "correction", "physics", "refinement_iterations", "smoothing", "min_cutoff",
    "keep_sides", "budget_ms", "profile",
)  # fmt: skip
#: A slider of this many steps can still be set to the value that one means; wider ranges are typed.
MOST_STEPS = 1000


@dataclass(frozen=True)
class Control:
    """A parameter as its node describes it.

    Attributes:
        name: of the parameter.
        value: bool, int, float or str, as it is now.
        description: for people.
        low, high: bounds of a number, None where it has none.
        choices: of a text.
    """

    name: str
    value: Any
    description: str = ""
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()

    @property
    def settable(self) -> bool:
        """Whether a control can be made: free texts, such as devices, would be set at every letter."""
        return isinstance(self.value, (bool, int, float)) or (isinstance(self.value, str) and bool(self.choices))

    @property
    def step(self) -> float:
        """Of a number: 1, or a decimal step that divides the range into at most :data:`MOST_STEPS`, from 0.001 on."""
        if isinstance(self.value, int):
            return 1
        span = (self.high - self.low) if self.low is not None else 1.0
        return max(10.0 ** math.floor(math.log10(max(span, 1e-3) / 100.0)), 1e-3)

    @property
    def by_slider(self) -> bool:
        """Whether a slider can be set to any sensible value of the range."""
        return self.low is not None and self.high - self.low <= (100 if isinstance(self.value, int) else 20.0)


class Controls:
    """The controls on a page.

    Args:
        gui: viser's.
        container: that holds the controls, such as a tab.
        set_value: called with a parameter's name and the value that the user chose, from a thread of viser's.
    """

    def __init__(self, gui: Any, container: Any, set_value: Callable[[str, Any], None]) -> None:
        self._gui, self._container, self._set_value = gui, container, set_value
        self._lock = threading.Lock()
        self._handles: dict[str, Any] = {}
        self._folders: list[Any] = []
        with container:
            self._note = gui.add_markdown("*waiting for pose_node*")

    @property
    def names(self) -> list[str]:
        """The parameters that have a control."""
        return list(self._handles)

    def offer(self, controls: Iterable[Control]) -> None:
        """Makes the controls, in place of those that there were."""
        found = {control.name: control for control in controls if control.settable}
        with self._lock, self._container:
            for folder in self._folders:
                folder.remove()
            self._folders, self._handles = [], {}
            for title, names, opened in _folders(found):
                folder = self._gui.add_folder(title, expand_by_default=opened)
                with folder:
                    self._handles |= {name: self._make(found[name]) for name in names}
                self._folders.append(folder)
        self._note.content = "" if found else "*pose_node has no parameter that can be set*"

    def tell(self, values: Mapping[str, Any]) -> None:
        """Shows values as the node has them."""
        for name, value in values.items():
            handle = self._handles.get(name)
            if handle is not None and handle.value != value:
                handle.value = value

    def say(self, text: str) -> None:
        """A line above the controls; empty takes it back."""
        self._note.content = text

    def _make(self, control: Control) -> Any:
        add, hint = self._gui, control.description
        if isinstance(control.value, bool):
            handle = add.add_checkbox(control.name, control.value, hint=hint)
        elif isinstance(control.value, str):
            handle = add.add_dropdown(control.name, control.choices, initial_value=control.value, hint=hint)
        else:
            make = add.add_slider if control.by_slider else add.add_number
            kind = type(control.value)
            bounds = {} if control.low is None else {"min": kind(control.low), "max": kind(control.high)}
            handle = make(control.name, initial_value=control.value, step=control.step, hint=hint, **bounds)

        @handle.on_update
        def _(event: Any) -> None:
            if event.client is not None:  # the user's, not what tell() shows
                self._set_value(control.name, event.target.value)

        return handle


def _folders(found: Mapping[str, Control]) -> Sequence[tuple[str, list[str], bool]]:
    """(title, names of parameters, whether it is open): the favourites, then groups by what stands before a dot."""
    favourites = [name for name in FAVOURITES if name in found]
    rest = [name for name in found if name not in favourites]
    made = [("Often used", favourites, True)]
    made.append(("More", [name for name in rest if "." not in name], False))
    for group in dict.fromkeys(name.partition(".")[0] for name in rest if "." in name):
        made.append((group, [name for name in rest if name.startswith(f"{group}.")], False))
    return [folder for folder in made if folder[1]]
