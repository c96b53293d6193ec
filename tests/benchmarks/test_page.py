"""The command line and the page that benchmarks share."""

from __future__ import annotations

import argparse
import datetime
import json
from pathlib import Path

import pytest

from benchmarks.page.command import benchmark_parser, clips_option, end_with_json, shared_options
from benchmarks.page.report import RESULTS, Page


def test_shared_options_have_one_meaning():
    parser = benchmark_parser("What it measures.\n\n    an equation = 50 %\n")
    clips_option(parser, "val")
    clips_option(parser, "test", "--test", what="clips to film")
    shared_options(parser, "weights", "every", "seed", "device", "json", "no_page", "out")
    args = parser.parse_args([])
    assert vars(args) == {
        "data": None, "test": None, "weights": None, "every": 5, "seed": 0, "device": "cpu", "json": False,
        "no_page": False, "out": RESULTS,
    }  # fmt: skip
    text = parser.format_help()
    assert "    an equation = 50 %" in text and "take every n-th frame of a clip (default 5)" in text
    flat = " ".join(text.split())
    assert "clips (default: the validation split;" in flat and "clips to film (default: the test split;" in flat
    given = parser.parse_args(["--out", "elsewhere", "--no-page", "--json", "--every", "2"])
    assert (given.out, given.no_page, given.json, given.every) == (Path("elsewhere"), True, True, 2)


@pytest.mark.parametrize("asked", [True, False])
def test_figures_are_the_last_line_where_they_are_asked_for(capsys, asked):
    end_with_json(argparse.Namespace(json=asked), {"error_mm": 1.5})
    out = capsys.readouterr().out
    assert (json.loads(out) == {"error_mm": 1.5}) if asked else out == ""


def test_a_page_and_what_lies_beside_it_begin_with_the_date(tmp_path):
    page = Page.of_today("speed", tmp_path / "new")
    today = datetime.date.today().isoformat()
    assert page.path == tmp_path / "new" / f"{today}-speed.md"
    assert page.beside("-legs.png").name == f"{page.name}-legs.png" == f"{today}-speed-legs.png"
    assert page.write(["# Speed", "", "fast", ""]) == page.path and page.path.read_text() == "# Speed\n\nfast\n"
    page.write("# Speed\n")
    assert page.path.read_text() == "# Speed\n"
