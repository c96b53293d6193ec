"""A result page is of committed code: what a benchmark refuses before it measures, and what says so on the page."""

from __future__ import annotations

import argparse
import re
import subprocess
from pathlib import Path

import pytest

from benchmarks.page import report
from training.commit import uncommitted

ROOT = Path(__file__).resolve().parents[2]


def git(folder: Path, *arguments: str) -> None:
    user = ("-c", "user.name=test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false")
    subprocess.run(["git", "-C", str(folder), *user, *arguments], check=True, capture_output=True)


@pytest.fixture
def checkout(tmp_path, monkeypatch) -> Path:
    """A checkout with one commit, in the place of this repository."""
    folder = tmp_path / "checkout"
    (folder / "benchmarks/results").mkdir(parents=True)
    (folder / "code.py").write_text("x = 1\n")
    (folder / "benchmarks/results/old.md").write_text("old\n")
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "first")
    monkeypatch.setattr(report, "REPOSITORY", folder)
    monkeypatch.setattr(report, "RESULTS", folder / "benchmarks/results")
    return folder


def read(*arguments: str, **options) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--no-page", action="store_true")
    parser.add_argument("--out", type=Path)
    return report.page_arguments(parser, arguments, **options)


def test_committed_code_may_write_a_page(checkout):
    assert not read().uncommitted and uncommitted(checkout) == [] and re.fullmatch(r"[0-9a-f]{7,}", report.commit())


@pytest.mark.parametrize("staged", [False, True])
@pytest.mark.parametrize("name", ["code.py", "new.py"])
def test_what_is_not_committed_is_refused_by_name_and_marked(checkout, name, staged):
    (checkout / name).write_text("x = 2\n")
    if staged:
        git(checkout, "add", "-A")
    with pytest.raises(SystemExit, match=rf"not committed: {name}\. .*--uncommitted"):
        read()
    assert report.commit().endswith("+changes")
    assert any(line.endswith("+changes`") for line in report.provenance("benchmarks.some", "data"))


def test_asked_for_or_without_a_page_it_may_be_measured(checkout, tmp_path):
    (checkout / "code.py").write_text("x = 2\n")
    assert read("--uncommitted").uncommitted
    read("--no-page")
    read("--out", str(tmp_path / "elsewhere"))
    read(writes=lambda options: False)
    with pytest.raises(SystemExit):
        read("--out", str(checkout / "benchmarks/results/page.md"))


def test_pages_and_notes_of_earlier_runs_are_no_code(checkout):
    (checkout / "benchmarks/results/old.md").write_text("old\nand a correction\n")
    (checkout / "benchmarks/results/new.md").write_text("new\n")
    (checkout / "note.txt").write_text("not tracked\n")
    read()
    assert uncommitted(checkout) == [] and "+changes" not in report.commit()


def test_many_files_are_counted(checkout):
    for i in range(8):
        (checkout / f"new_{i}.py").write_text("")
    with pytest.raises(SystemExit, match=r"new_4\.py and 3 more\. "):
        read()


def test_without_git_nothing_can_be_said(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "REPOSITORY", tmp_path)
    monkeypatch.setattr(report, "RESULTS", tmp_path / "benchmarks/results")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert report.commit() == "unknown" and read("--no-page").no_page
    with pytest.raises(SystemExit, match="no git checkout"):
        read()


def test_every_benchmark_that_writes_a_dated_page_asks():
    """Whoever puts the date into a page's name reads the options by :func:`~benchmarks.page.report.page_arguments`."""
    dated = re.compile(r"\{today\(\)\}-|Page\.of_today\(")
    rooms = {}
    for path in (ROOT / "benchmarks").rglob("*.py"):
        text = path.read_text()
        room = path.parent if path.parent.name != "benchmarks" else path
        rooms.setdefault(room, []).append((path, dated.search(text), "page_arguments(" in text, ".parse_args(" in text))
    for room, files in rooms.items():
        if room.name == "page" or not any(date for _, date, _, _ in files):
            continue
        assert any(asks for _, _, asks, _ in files), room
        for path, date, _, parses in files:
            assert not (date and parses), f"{path} reads its options past page_arguments"
