"""Every Python file follows the rules of pyproject.toml: `ruff check` and `ruff format` find nothing.

The only version of ruff is the pin in requirements/test.txt, which this test and the hooks before a commit both run:
another version formats differently.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
#: What is run over all files, and what repairs most of what it finds.
COMMANDS = {
    "check": (("check", "--output-format", "concise"), "ruff check --fix ."),
    "format": (("format", "--check"), "ruff format ."),
}


def ruff(*arguments: str) -> subprocess.CompletedProcess[str]:
    """`python -m ruff`, by the Python of the tests, in the root of the repository."""
    command = [sys.executable, "-m", "ruff", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def pinned() -> str:
    """The pinned version, which is the installed one."""
    version = re.search(r"^ruff==(\S+)", (ROOT / "requirements/test.txt").read_text(), re.MULTILINE)[1]
    found = ruff("--version")
    installed = found.stdout.strip().removeprefix("ruff ") if found.returncode == 0 else "none"
    if installed != version:
        pytest.fail(
            f"the style is checked by ruff {version}, and {sys.executable} has {installed}: "
            "run `make test`, or install requirements/test.txt",
            pytrace=False,
        )
    return version


@pytest.mark.parametrize("name", COMMANDS)
def test_ruff_finds_nothing(name: str, pinned: str) -> None:
    arguments, repair = COMMANDS[name]
    result = ruff(*arguments, "--no-cache", ".")
    if result.returncode != 0:
        pytest.fail(f"{result.stdout}{result.stderr}`{repair}` repairs most of this.", pytrace=False)


def test_ruff_looks_at_every_python_file(pinned: str) -> None:
    """No exclusion hides a folder: ruff reads every file that git tracks, wherever it stands."""
    tracked = subprocess.run(["git", "ls-files", "-z", "*.py"], cwd=ROOT, capture_output=True, text=True, check=False)
    if tracked.returncode == 0:
        expected = {ROOT / name for name in tracked.stdout.split("\0") if name and (ROOT / name).is_file()}
    else:  # an unpacked archive
        expected = {
            path
            for folder in ("diffmocap", "tests", "training", "benchmarks")
            for path in (ROOT / folder).rglob("*.py")
        }
    read = {Path(line) for line in ruff("check", "--show-files", ".").stdout.splitlines()}
    assert expected and expected <= read, sorted(expected - read)


def test_the_hooks_before_a_commit_run_the_pinned_ruff() -> None:
    """They run what `make test` installed, so that the version stands in requirements/test.txt alone."""
    repositories = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert [part["repo"] for part in repositories] == ["local"]
    commands = [shlex.split(hook["entry"]) for hook in repositories[0]["hooks"]]
    assert all(command[:3] == [".venv/bin/python", "-m", "ruff"] for command in commands)
    assert {command[3] for command in commands} == set(COMMANDS)
    assert "required-version" not in (ROOT / "pyproject.toml").read_text()
