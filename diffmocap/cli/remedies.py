"""One command that fixes everything that ``diffmocap doctor`` found."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from diffmocap.errors import DiffmocapError
from diffmocap.resources import share_directory


@dataclass(frozen=True)
class Remedy:
    """What fixes one finding: packages of pip and of Debian, and commands that run before (a removal) or after them."""

    pip: tuple[str, ...] = ()
    apt: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    setup: bool = False  # the project's own setup brings it
    training: bool = False  # and only with what tests and training need


def one_command(remedies: Iterable[Remedy], prefix: Path = Path(sys.prefix)) -> str:
    """The shell command, empty where there is nothing to do.

    In an environment that the project's own setup made, that setup brings every package at its pinned version.
    """
    remedies = [remedy for remedy in remedies if remedy != Remedy()]
    setup = setup_command(prefix, any(remedy.training for remedy in remedies))
    steps = []
    if apt := _once(package for remedy in remedies for package in remedy.apt):
        steps.append(f"sudo apt-get install -y {' '.join(apt)}")
    steps += _once(command for remedy in remedies for command in remedy.before)
    pip = _once(package for remedy in remedies for package in remedy.pip)
    if setup and (pip or any(remedy.setup or remedy.before for remedy in remedies)):
        steps.append(setup)
    elif pip:
        steps.append(f"{sys.executable} -m pip install {' '.join(_pinned(name) for name in pip)}")
    steps += _once(command for remedy in remedies for command in remedy.after)
    return " && ".join(steps)


def setup_command(prefix: Path, training: bool = False) -> str:
    """How the project's setup is run again that made this environment; empty where none did.

    ``training``: with what tests and training need, where that setup can bring it.
    """
    repository = _repository()
    if repository is None:
        return ""
    if (prefix / ".stamps").is_dir():
        return f"make -C {repository} {'setup-test' if training else 'setup'}"
    if (prefix / "COLCON_IGNORE").is_file() and "AMENT_PREFIX_PATH" in os.environ:
        return f"(deactivate; {repository}/tools/setup_ros_venv.sh --venv {prefix})"
    return ""


def _repository() -> Path | None:
    """The source tree that this package runs from, None for an installed copy."""
    try:
        root = share_directory()
    except DiffmocapError:
        return None
    return root if (root / "tools/bootstrap.py").is_file() else None


def _pinned(name: str) -> str:
    """The requirement with the version that is tested, where the source tree is at hand."""
    root = _repository()
    for path in sorted((root / "requirements").glob("*.txt")) if root else ():
        if found := re.search(rf"(?mi)^{re.escape(name)}==([^\s;\\]+)", path.read_text()):
            return f"{name}=={found[1]}"
    return name


def _once(items: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(items))
