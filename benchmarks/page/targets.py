"""What the pages of large benchmarks share: asked against measured, the last full run beside a quick one, remarks."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.page.report import commit, hardware, today


@dataclass(frozen=True)
class Target:
    """A row of the table.

    Attributes:
        figure: what is measured. reference: a paper's or peer's value. asked: in words.
        measured: from the figures of the JSON line what was measured in words, and whether that is what was asked
            (None: nothing was asked); it raises one of the ``absent`` of :meth:`cells` where a part was not run.
    """

    figure: str
    reference: str
    asked: str
    measured: Callable[[dict], tuple[str, bool | None]]

    def cells(self, figures: dict | None, absent: tuple[type[Exception], ...] = (TypeError,)) -> tuple[str, str]:
        """Measured and verdict, dashes where the part was not run."""
        try:
            text, met = self.measured(figures)
        except absent:
            return "–", "–"
        return text, {True: "met", False: "**missed**", None: "–"}[met]


def target_table(
    targets: Sequence[Target], reference: str, figures: dict, full: dict | None,
    absent: tuple[type[Exception], ...] = (TypeError,),
) -> list[str]:  # fmt: skip
    """Markdown rows, with a column for the full run where this is not one. ``reference``: head of that column."""
    head, rule = f"| figure | {reference} | asked | measured | |", "|---|---|---|---|---|"
    if full:
        head += f" full run of {full['date']}, commit `{full['commit']}` | |"
        rule += "---|---|"
    lines = [head, rule]
    for target in targets:
        cells = [target.figure, target.reference, target.asked, *target.cells(figures, absent)]
        cells += target.cells(full["figures"], absent) if full else ()
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def load_full_run(path: Path) -> dict | None:
    """The record of the last full run, None where there is none."""
    return json.loads(path.read_text()) if path.is_file() else None


def save_full_run(path: Path, figures: dict, command: str, device: str = "cpu") -> None:
    """Keeps a full run's figures with their origin."""
    record = {"date": today(), "commit": commit(), "command": command, "hardware": hardware(device), "figures": figures}
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(record, indent=1) + "\n")


def load_remarks(path: Path) -> str:
    """The remarks in Markdown, empty where there are none."""
    return path.read_text().strip() if path.is_file() else ""
