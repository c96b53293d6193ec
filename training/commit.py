"""Which commit a run is of, and whether its code was committed."""

from __future__ import annotations

import subprocess
from pathlib import Path

#: The checkout that this code is in, if it is one.
REPOSITORY = Path(__file__).resolve().parents[1]


def uncommitted(checkout: Path = REPOSITORY) -> list[str]:
    """Files that a run of now may depend on and that the commit does not have as they are, sorted.

    Tracked files that differ from the commit, but for those of ``benchmarks/results``, which a run writes itself, and
    Python files that are not tracked.

    Raises:
        OSError, subprocess.CalledProcessError: this is no git checkout.
    """
    changed = _git(checkout, "diff", "--name-only", "HEAD", "--", ".", ":(exclude)benchmarks/results")
    unknown = _git(checkout, "ls-files", "--others", "--exclude-standard", "--", "*.py")
    return sorted({*changed.splitlines(), *unknown.splitlines()})


def git_commit(checkout: Path = REPOSITORY, short: bool = False) -> str:
    """The commit of a checkout, ``+changes`` behind it where files differ (:func:`uncommitted`); or ``unknown``."""
    try:
        commit = _git(checkout, "rev-parse", *(["--short"] if short else []), "HEAD")
        return commit + ("+changes" if uncommitted(checkout) else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(checkout: Path, *arguments: str) -> str:
    command = ["git", "-C", str(checkout), *arguments]
    return subprocess.check_output(command, text=True, stderr=subprocess.DEVNULL).strip()
