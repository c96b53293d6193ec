"""The motion file that a command is about: its options, and that it is there."""

from __future__ import annotations

import argparse
from pathlib import Path

from diffmocap.errors import MotionFileError


def add_motion_options(parser: argparse.ArgumentParser) -> None:
    """Which motion of the file is meant, and of which body."""
    parser.add_argument("--clip", metavar="NAME", help="which clip of a collection")
    parser.add_argument("--body-model", metavar="FILE", help="SMPL body, .npz (default: the shipped body)")


def called(path: Path, clip: str | None) -> Path:
    """What files made of a motion are called after: its file, and the clip where one of a collection is meant."""
    return path if clip is None else path.with_name(f"{path.stem}_{clip.replace('/', '_')}{path.suffix}")


def require_motion_file(path: Path) -> None:
    """Raises MotionFileError where there is no such file."""
    if not path.exists():
        raise MotionFileError(f"there is no file '{path}' (looked in {Path.cwd()}); check the path")
