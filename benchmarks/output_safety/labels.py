"""Who is in view in the indoor video: intervals labelled by hand, ``intel_persons.csv`` says how."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

FILE = Path(__file__).with_name("intel_persons.csv")
#: Nobody; somebody whose pose can be asked for; somebody of whom too little is in the picture: not counted.
NONE, PERSON, PARTIAL = "none", "person", "partial"


def read_labels(path: Path = FILE) -> np.ndarray:
    """[T] of :data:`NONE`, :data:`PERSON` and :data:`PARTIAL`, for each frame of the video.

    Raises:
        ValueError: an interval does not begin where the one before it ended, or a label is unknown.
    """
    labels: list[str] = []
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    for row in csv.DictReader(lines):
        first, last, label = int(row["first"]), int(row["last"]), row["label"]
        if first != len(labels) or last < first:
            raise ValueError(f"{path.name}: expected an interval from frame {len(labels)} on, got {first} to {last}")
        if label not in (NONE, PERSON, PARTIAL):
            raise ValueError(f"{path.name}: a label is {NONE}, {PERSON} or {PARTIAL}, got {label!r}")
        labels += [label] * (last + 1 - first)
    return np.array(labels)
