"""Inputs from the field: what a case gives, and the table that compares two checkouts."""

from __future__ import annotations

from pathlib import Path

from benchmarks import field_inputs
from benchmarks.field.case import Case, cases, measured
from benchmarks.field_inputs import shown, table


def failing(folder: Path) -> float:
    raise ValueError("no such\nthing")


def test_a_case_gives_a_figure_a_text_or_the_error_that_a_user_sees():
    figure = measured(Case("times", "a file", "s", "0", lambda folder: float(folder.is_dir())))
    assert figure == {"kind": "times", "what": "a file", "unit": "s", "wanted": "0", "result": 1.0}
    assert measured(Case("times", "a file", "s", "0", failing))["result"] == {"error": "ValueError: no such thing"}


def test_every_case_has_a_name_of_its_own():
    names = [(case.kind, case.what) for case in cases()]
    assert len(set(names)) == len(names)


def test_the_table_puts_what_was_beside_what_is():
    def row(what, result):
        return {"kind": "times", "what": what, "unit": "s", "wanted": "0 s", "result": result}

    before = [row("webm", 4.123456), row("mp4", {"error": "CameraError: a|b"})]
    lines = table([row("mp4", 0.0), row("webm", 0.25), row("mov", "played")], before)
    assert lines[2:] == [
        "| times | mp4 | error: CameraError: a\\|b | 0 s | 0 s |",
        "| times | webm | 4.123 s | 0.25 s | 0 s |",
        "| times | mov | not measured | played s | 0 s |",
    ]
    assert shown(None, "s") == "not measured"


def test_the_page_holds_the_cases_of_both_checkouts(monkeypatch, tmp_path, repo_root):
    asked = []

    def results_of(checkout, python, kinds, describe):
        asked.append((checkout, kinds))
        result = 1.0 if checkout == field_inputs.REPOSITORY else 567.0
        return [{"kind": "orientation", "what": "turned", "unit": "mm", "wanted": "49 mm", "result": result}]

    monkeypatch.setattr(field_inputs, "results_of", results_of)
    field_inputs.main(["--before", str(repo_root), "--kinds", "orientation", "--out", str(tmp_path)])
    page = next(tmp_path.glob("*-field-inputs.md")).read_text()
    assert len(asked) == 2 and asked[0][1] == ["orientation"]
    assert "| orientation | turned | 1 mm | 1 mm | 49 mm |" in page  # both are this checkout


def test_the_cases_run_as_a_package_of_their_own(repo_root):
    """As :func:`results_of` starts them, with no case wanted."""
    import sys

    assert field_inputs.results_of(repo_root, sys.executable, ["no such kind"], "nothing") == []
