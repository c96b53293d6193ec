"""What docs/refinement.md says about the terms of the loss."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import pytest

from diffmocap.refinement.stream.settings import LiveSettings
from diffmocap.refinement.window.weights import UNITS, RefinementWeights


def test_the_page_lists_every_term_with_its_unit_and_the_size_that_costs_1(repo_root):
    text = (repo_root / "docs/refinement.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \| ([^|]+) \| ([\d.]+) \|$", text, re.M)
    told = {name: (unit, float(size)) for name, _, unit, size in rows if name in UNITS}
    assert list(told) == list(UNITS)
    weights = RefinementWeights()
    for name, (unit, size) in told.items():
        assert unit == UNITS[name], name
        assert size == pytest.approx(1 / math.sqrt(getattr(weights, name)), rel=1e-3), name
    live = LiveSettings().weights
    (slip,) = re.findall(r"^Live, `slip` costs 1 at ([\d.]+) m/s", text, re.M)
    assert float(slip) == pytest.approx(1 / math.sqrt(live.slip), rel=1e-3)
    assert replace(live, slip=weights.slip) == weights, "the page speaks of slip alone"
