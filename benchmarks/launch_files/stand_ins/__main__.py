"""Writes the prefix with the stand-ins: ``python -m benchmarks.launch_files.stand_ins FOLDER``."""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.launch_files.stand_ins.prefix import PACKAGES, make_prefix


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="the prefix to write; source its setup.bash after ROS 2")
    parser.add_argument(
        "--without", action="append", default=[], choices=sorted(PACKAGES), help="a package that is to be missing"
    )
    arguments = parser.parse_args()
    make_prefix(arguments.folder, arguments.without)


if __name__ == "__main__":
    main()
