"""Writes what people read about the nodes' parameters: docs/parameters.md, and the comments in config/diffmocap.yaml.

    python -m tools.parameter_docs            # writes both; run it after a change of a setting
    python -m tools.parameter_docs --check    # writes nothing, fails where a file is not up to date

Both come from the nodes' lists of parameters, and so from the fields of the settings classes. In config/diffmocap.yaml
only the comments behind parameters are written: values, order and headings are edited there by hand. Needs ROS 2.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from diffmocap.nodes import camera_node, keypoint_node
from diffmocap.nodes.hri import hri_settings
from diffmocap.nodes.parameters import NodeParameter
from diffmocap.nodes.pose import pose_settings
from diffmocap.nodes.retarget import retarget_settings
from diffmocap.nodes.sonic import sonic_settings
from diffmocap.nodes.viewer import viewer_settings

ROOT = Path(__file__).resolve().parents[1]
CONFIG, PAGE = ROOT / "config/diffmocap.yaml", ROOT / "docs/parameters.md"
#: Node -> heading -> parameters; the heading is empty where there is one group.
NODES: dict[str, Mapping[str, Sequence[NodeParameter]]] = {
    "camera_node": {"": camera_node.PARAMETERS},
    "keypoint_node": {"": keypoint_node.PARAMETERS},
    "pose_node": pose_settings.GROUPS,
    "retarget_node": {"": retarget_settings.PARAMETERS},
    "hri_node": {"": hri_settings.PARAMETERS},
    "sonic_node": {"": sonic_settings.PARAMETERS},
    "viewer_node": {"": viewer_settings.PARAMETERS},
}
#: Where comments begin, and how long lines become.
COLUMN, WIDTH = 36, 120
_VALUE = re.compile(r"(    ([\w.]+): (?:\"[^\"]*\"|[^#]*?)) *(?:#.*)?")
#: Stands for a blank at which no line ends; no blank to textwrap.
_GLUE = "\0"
_CONTINUED = re.compile(f" {{{COLUMN - 8},}}#.*")

INTRODUCTION = """\
# Parameters of the nodes

<!-- Written by `python -m tools.parameter_docs` from the settings classes and the nodes' lists; edit those. -->

[`config/diffmocap.yaml`](../config/diffmocap.yaml) holds those that people change; `params_file:=` of the launch files
and `--params-file` of `diffmocap live` take another file. `ros2 param describe /human/pose_node guidance` shows
description and range of one, `ros2 param set /human/pose_node guidance 1.0` changes it at once. Those marked with *
take effect when the node is configured. "file:" gives the value of
`config/diffmocap.yaml` where it is not the default.
"""


def page(nodes: Mapping[str, Mapping[str, Sequence[NodeParameter]]], file: Mapping[str, Any]) -> str:
    """The text of ``docs/parameters.md``; ``file`` is the content of the parameter file."""
    parts = [INTRODUCTION]
    for node, groups in nodes.items():
        values = file.get(f"/**/{node}", {}).get("ros__parameters", {})
        parts.append(f"## {node}\n")
        for heading, parameters in groups.items():
            if heading:
                parts.append(f"### {heading}\n")
            rows = [_row(parameter, values.get(parameter.name, parameter.default)) for parameter in parameters]
            parts.append("| parameter | default | range | meaning |\n|---|---|---|---|\n" + "\n".join(rows) + "\n")
    return "\n".join(parts)


def commented(text: str, nodes: Mapping[str, Mapping[str, Sequence[NodeParameter]]]) -> str:
    """A parameter file with the comment of each parameter as it should be.

    Raises:
        ValueError: a parameter that its node does not have.
    """
    lines: list[str] = []
    known: dict[str, NodeParameter] = {}
    for line in text.splitlines():
        if section := re.fullmatch(r"/\*\*/(\w+):", line):
            known = {p.name: p for parameters in nodes[section[1]].values() for p in parameters}
        if _CONTINUED.fullmatch(line):
            continue
        if (found := _VALUE.fullmatch(line)) is None:
            lines.append(line)
        elif found[2] in known:
            lines += _with_comment(found[1], known[found[2]])
        else:
            raise ValueError(f"{found[2]}: the node has no such parameter")
    return "\n".join(lines) + "\n"


def _row(parameter: NodeParameter, in_file: Any) -> str:
    setting, live = parameter.setting, "" if parameter.live else " *"
    default = f"`{_as_yaml(parameter.default)}`"
    if in_file != parameter.default:
        default += f", file: `{_as_yaml(in_file)}`"
    limits = " ".join(part for part in (setting.range, setting.unit) if part)
    return f"| `{parameter.name}`{live} | {default} | {limits} | {setting.description} |".replace("|  |", "| |")


def _with_comment(value: str, parameter: NodeParameter) -> list[str]:
    setting = parameter.setting
    limits = " ".join(part for part in (setting.range, setting.unit) if part)
    if not setting.choices:
        limits = limits.replace(" ", _GLUE)  # a range is read at once
    text = ("" if parameter.live else "(configure) ") + setting.description + (f" [{limits}]" if limits else "")
    lines = textwrap.wrap(text, WIDTH - COLUMN - 2, break_long_words=False, break_on_hyphens=False)
    first, *rest = (line.replace(_GLUE, " ") for line in lines)
    return [f"{value:<{COLUMN}}# {first}" if len(value) < COLUMN else f"{value}  # {first}"] + [
        f"{'':<{COLUMN}}# {line}" for line in rest
    ]


def _as_yaml(value: Any) -> str:
    return value if isinstance(value, str) and value else json.dumps(value)


def main(argv: Sequence[str] | None = None) -> int:
    """Writes the files, or with ``--check`` compares them; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing, fail where a file is not up to date")
    args = parser.parse_args(argv)
    config = CONFIG.read_text()
    wanted = {CONFIG: commented(config, NODES), PAGE: page(NODES, yaml.safe_load(config))}
    old = [path for path, text in wanted.items() if not path.is_file() or path.read_text() != text]
    for path in old:
        if not args.check:
            path.write_text(wanted[path])
        said = "is not up to date: run `python -m tools.parameter_docs`" if args.check else "written"
        print(f"{path.relative_to(ROOT)} {said}", file=sys.stderr if args.check else sys.stdout)
    return 1 if old and args.check else 0


if __name__ == "__main__":
    raise SystemExit(main())
