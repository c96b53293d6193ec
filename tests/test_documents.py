"""The pages that a reader starts from: their links lead somewhere, and the README stays short."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(
    path
    for folder in (".", "docs", "benchmarks", "benchmarks/results", "examples", "media")
    for path in (ROOT / folder).glob("*.md")
)
#: Lines of the README, and what of it is seen without scrolling.
MOST_LINES, FIRST_SCREEN = 180, 30
#: Bytes of a picture that a reader downloads with the README.
MOST_BYTES = 2_000_000
_FENCE = re.compile(r"^```.*?^```", re.M | re.S)
_LINK = re.compile(r"\]\(([^)\s]+)\)")


def links(page: Path) -> list[str]:
    """Targets of the page's links and pictures, code left out."""
    text = _FENCE.sub("", page.read_text())
    text = "\n".join(line for line in text.splitlines() if not line.startswith("    "))
    return _LINK.findall(re.sub(r"`[^`]*`", "", text))


def anchors(page: Path) -> set[str]:
    """Names by which the page's headings are linked, as GitHub makes them."""
    found, seen = set(), Counter()
    for heading in re.findall(r"^#{1,6} (.+)$", _FENCE.sub("", page.read_text()), re.M):
        name = re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")
        found.add(name if not seen[name] else f"{name}-{seen[name]}")
        seen[name] += 1
    return found


def broken(page: Path) -> list[str]:
    """Links within the repository that lead nowhere."""
    wrong = []
    for link in links(page):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = unquote(link).partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or not target.is_relative_to(ROOT):
            wrong.append(link)
        elif anchor and anchor not in anchors(target):
            wrong.append(link)
    return wrong


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_to_files_and_headings(page):
    assert broken(page) == []


def test_broken_links_are_found(tmp_path, monkeypatch):
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    page = tmp_path / "page.md"
    page.write_text(
        "# One, two: `three`\n## A\n## A\n[a](#one-two-three) [b](#a-1) [c](page.md#a) [d](https://x.org/#y)\n"
        "[e](#a-2) [f](gone.md) ![g](page.md#two) [h](../outside.md)\n```\n[i](code.md)\n```\n`[j](code.md)`\n"
    )
    (tmp_path.parent / "outside.md").write_text("")
    assert broken(page) == ["#a-2", "gone.md", "page.md#two", "../outside.md"]


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= MOST_LINES


def test_its_first_screen_says_what_for_whom_how_to_try_and_shows_it():
    first = "\n".join((ROOT / "README.md").read_text().splitlines()[:FIRST_SCREEN])
    assert "motion capture" in first and "| for | what you get |" in first
    assert "make demo" in first and "make test" in first
    (picture,) = re.findall(r"!\[[^\]]+\]\(([^)]+\.(?:gif|webp))\)", first)
    assert (ROOT / picture).stat().st_size < MOST_BYTES


def test_every_page_of_docs_is_reached_from_the_readme():
    linked = {(ROOT / link.partition("#")[0]).resolve() for link in links(ROOT / "README.md")}
    assert set((ROOT / "docs").glob("*.md")) <= linked


#: `name`, and others, in `a/file.py`.
_NAMES_IN = re.compile(r"((?:`[^`|]+`(?:, | and | or )?)+) in `([\w/]+\.py)`")


def absent(text: str) -> list[str]:
    """Code that a page names and that is not there: files, and names in files."""
    files = {path for path in re.findall(r"`([\w/]+\.(?:py|json))`", text) if "/" in path}
    wrong = [path for path in sorted(files) if not (ROOT / path).is_file()]
    for names, path in _NAMES_IN.findall(text):
        code = (ROOT / path).read_text() if (ROOT / path).is_file() else ""
        for name in re.findall(r"`([^`]+)`", names):
            word = re.findall(r"\w+", name)[-1]
            if not re.search(rf"\b{word}\b", code):
                wrong.append(f"{name} in {path}")
    return wrong


def test_the_page_of_the_papers_names_code_that_is_there():
    text = (ROOT / "docs" / "papers.md").read_text()
    assert len(_NAMES_IN.findall(text)) > 40 and absent(text) == []
    gone = "`NoiseSchedule`, `no_such_name` in `diffmocap/lifting/sampling/schedule.py`, `diffmocap/gone.py`"
    assert absent(gone) == ["diffmocap/gone.py", "no_such_name in diffmocap/lifting/sampling/schedule.py"]
