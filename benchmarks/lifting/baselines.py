"""Figures of other networks under the paper's protocol, measured once and committed with their origin.

``benchmarks/results/baselines/<name>.json`` holds for each network what it is, the sha256 of its weights, the command
and commit, and its figures over all frames (``full``) and over the subset of a quick run (``quick``). Measure one with
``python -m benchmarks.lifting --baseline NAME --weights FILE``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.page.report import RESULTS

FOLDER = RESULTS / "baselines"
#: The paper's second network, which the JSON line of ``benchmarks.lifting`` names.
MLP = "mlp"


@dataclass(frozen=True)
class Baseline:
    """One network.

    ``full`` and ``quick`` hold ``frames``, and by guidance weight ``pixel_error``, ``pixel_error_standard_error``,
    ``mpjpe_mm`` and ``pa_mpjpe_mm``.
    """

    name: str
    label: str
    parameters: int
    parameterisation: str
    weights_sha256: str
    commit: str
    command: str
    date: str
    hardware: str
    data: str
    full: dict
    quick: dict

    def figures(self, quick: bool) -> dict:
        """Of the run of that size."""
        return self.quick if quick else self.full

    def save(self, folder: Path = FOLDER) -> Path:
        """Write ``<name>.json``."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.name}.json"
        path.write_text(json.dumps(asdict(self), indent=2) + "\n")
        return path


def load_baselines(folder: Path = FOLDER) -> Sequence[Baseline]:
    """All that are committed, the MLP first.

    Raises:
        SystemExit: a file is damaged; the message names it.
    """
    found = []
    for path in sorted(folder.glob("*.json")):
        try:
            found.append(Baseline(**json.loads(path.read_text())))
        except (TypeError, ValueError) as error:
            message = f"{path} is no baseline ({error}); measure it again with --baseline {path.stem}"
            raise SystemExit(message) from error
    return sorted(found, key=lambda b: (b.name != MLP, b.name))
