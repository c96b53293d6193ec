"""The page: what was asked beside what was measured, and every stream by itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.output_safety.profiles import PROFILES
from benchmarks.output_safety.stream import Stream

Figures = dict[str, Any]


@dataclass(frozen=True)
class Row:
    """A figure of the summary: in words, how it is written, and what is asked of each profile at the most."""

    key: str
    words: str
    form: str = "{:.3g}"
    asked: tuple[float | None, float | None] = (None, None)
    percent: bool = False

    def cell(self, value: float | None, profile: str | None = None) -> str:
        """The value, bold where the profile's is more than asked."""
        if value is None:
            return "–"
        text = self.written(value)
        most = None if profile is None else self.asked[PROFILES.index(profile)]
        return f"**{text}**" if most is not None and value > most * (1 + 1e-9) else text

    def written(self, value: float) -> str:
        """With its unit where it is a share."""
        return f"{100 * value:.3g} %" if self.percent else self.form.format(value)


ROWS = (
    Row("max_velocity", "largest joint velocity, published or by positions [rad/s]", asked=(25.0, 8.0)),
    Row("velocity_published", "- as published [rad/s]"),
    Row("velocity_of_positions", "- by differences of published positions [rad/s]"),
    Row("max_jump", "largest jump of a joint in one frame at 30 Hz [rad]", asked=(0.8334, 0.27)),
    Row("jump_told", "- largest between two tracks, told as such [rad]"),
    Row("acceleration", "largest acceleration, of published velocities [rad/s²]"),
    Row("outside_limits", "samples outside the URDF's position limits, worst stream", asked=(0, 0), percent=True),
    Row("most_outside_rad", "- farthest outside [rad]"),
    Row("effort_over", "samples with an effort above the URDF's, worst stream", asked=(0, 0), percent=True),
    Row("effort_share", "- largest effort over its limit"),
    Row("pelvis_speed", "fastest pelvis [m/s]", asked=(4.0, 4.0)),
    Row("root_turn_deg", "largest turn of the root in one frame at 30 Hz [degrees]", asked=(20.0, 20.0)),
    Row("velocity_mismatch", "velocity against the derivative of position", asked=(0.01, 0.01), percent=True),
    Row("velocity_mismatch_rad_s", "- the largest difference [rad/s]"),
    Row("velocity_mismatch_rms", "- root mean square over root mean square", percent=True),
    Row("false_persons", "false persons, first 240 images of the indoor video", "{:d}", asked=(0, 0)),
    Row("false_persons_whole_video", "- in all of it", "{:d}"),
    Row("false_persons_garbage", "- and in images of keypoints anywhere", "{:d}"),
    Row("withheld_right", "right poses withheld (bundled clip, real clip, motions)", asked=(0.01, 0.01), percent=True),
    Row("withheld_persons", "persons withheld (indoor video)", asked=(0.02, 0.02), percent=True),
    Row("mpjpe_mm", "MPJPE, mean of bundled and real clip [mm]", "{:.1f}"),
    Row("mpjpe_bundled_mm", "- bundled clip [mm]", "{:.1f}"),
    Row("mpjpe_real_mm", "- real clip, mean of four views [mm]", "{:.1f}"),
    Row("mpjpe_paired_mm", "- more than before, same images, both clips [mm]", "{:+.2f}", asked=(0.0, 6.0)),
    Row("lag_ms", "lag behind the newest image (bundled clip) [ms]", "{:.0f}"),
)
COLUMNS = {
    "images": ("images", lambda f: f"{f['images']}"),
    "poses": ("poses", lambda f: f"{f['poses']}"),
    "v": ("velocity published, of positions [rad/s]", lambda f: _two(f, "velocity_published", "velocity_of_positions")),
    "jump": ("jump (told) [rad]", lambda f: _two(f, "max_jump", "jump_told", "{:.2f} ({:.2f})")),
    "a": ("acceleration [rad/s²]", lambda f: f"{f['acceleration']:.0f}"),
    "outside": ("outside limits", lambda f: f"{100 * f['outside_limits']:.1f} %"),
    "effort": ("effort over", lambda f: f"{100 * f['effort_over']:.1f} %"),
    "pelvis": ("pelvis [m/s]", lambda f: f"{f['pelvis_speed']:.1f}"),
    "turn": ("root turn [°]", lambda f: f"{f['root_turn_deg']:.0f}"),
    "mismatch": ("velocity mismatch", lambda f: f"{100 * f['velocity_mismatch']:.1f} %"),
    "breaks": ("breaks told", lambda f: f"{f['breaks_told']}"),
    "false": ("false persons", lambda f: _maybe(f, "false_persons", "{:d}")),
    "withheld": ("right withheld", lambda f: _withheld(f)),
    "mpjpe": ("MPJPE [mm]", lambda f: _maybe(f, "mpjpe_mm", "{:.0f}")),
    "lag": ("lag [ms]", lambda f: _maybe(f, "lag_ms", "{:.0f}")),
}  # fmt: skip


def page(
    head: list[str], streams: list[Stream], rows: dict[str, Figures], by_stream: dict[str, dict[str, Figures]],
    definitions: str, note: str = "",
) -> list[str]:  # fmt: skip
    """Lines of Markdown; ``rows`` and ``by_stream`` by the name of the row, those that do nothing first."""
    lines = ["# What is published of bad input", "", *head, *([f"- note: {note}"] if note else []), ""]
    lines += [definitions.strip(), "", "## In all", ""]
    lines += ["Bold: more than is asked. `lifted alone` and `frozen` do nothing for safety, or nothing else.", ""]
    lines += _summary(rows)
    lines += ["", "The stream behind each maximum:", "", *_worst(rows), "", "## The streams", ""]
    names: dict[str, list[str]] = {}
    for s in streams:
        names.setdefault(s.what, []).append(s.name)
    lines += [f"- {'; '.join(same)}: {what}" for what, same in names.items()]
    for name, figures in by_stream.items():
        lines += ["", f"### {name}", "", *stream_table(figures)]
    return lines


def _summary(rows: dict[str, Figures]) -> list[str]:
    asked = "asked: animation, robot"
    lines = [f"| figure | {asked} | {' | '.join(rows)} |", "|---" * 2 + "|---:" * len(rows) + "|"]
    for row in ROWS:
        if all(f.get(row.key) is None for f in rows.values()):
            continue
        wanted = ", ".join("–" if x is None else row.written(x) for x in row.asked) if any(
            x is not None for x in row.asked
        ) else ""  # fmt: skip
        cells = [row.cell(f.get(row.key), n if n in PROFILES else None) for n, f in rows.items()]
        lines.append(f"| {row.words} | {wanted} | {' | '.join(cells)} |")
    return lines


def _worst(rows: dict[str, Figures]) -> list[str]:
    keys = ("max_velocity", "max_jump", "pelvis_speed", "root_turn_deg", "outside_limits", "effort_over",
            "velocity_mismatch")  # fmt: skip
    named = {n: f for n, f in rows.items() if n != "frozen"}
    lines = [f"| figure | {' | '.join(named)} |", "|---" * (1 + len(named)) + "|"]
    for key in keys:
        cells = [f["worst"][key] if f[key] > 0 else "–" for f in named.values()]
        lines.append(f"| {key} | {' | '.join(cells)} |")
    return lines


def stream_table(figures: dict[str, Figures]) -> list[str]:
    """Markdown: a stream a line."""
    columns: list[tuple[str, Callable[[Figures], str]]] = list(COLUMNS.values())
    lines = [f"| stream | {' | '.join(head for head, _ in columns)} |", "|---" + "|---:" * len(columns) + "|"]
    for name, f in figures.items():
        lines.append(f"| {name} | {' | '.join(cell(f) for _, cell in columns)} |")
    return lines


def _two(f: Figures, first: str, second: str, form: str = "{:.1f}, {:.1f}") -> str:
    return form.format(f[first], f[second])


def _maybe(f: Figures, key: str, form: str) -> str:
    return "" if f[key] is None else form.format(f[key])


def _withheld(f: Figures) -> str:
    if f["right"] is not None:
        return f"{f['withheld_right']} of {f['right']}"
    return "" if f["persons"] is None else f"{f['withheld_persons']} of {f['persons']}"
