"""What every benchmark page says about itself: date, hardware, versions, command, commit and data."""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from training.commit import REPOSITORY, git_commit, uncommitted

RESULTS = REPOSITORY / "benchmarks" / "results"
#: Files that a refusal names.
_MOST_NAMED = 5


def processor() -> str:
    """Name of the CPU and how many of its cores this process may use."""
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), name)
    except OSError:
        pass
    return f"{name}, {len(os.sched_getaffinity(0))} cores"


def hardware(device: str = "cpu") -> str:
    """The machine in a few words, with the GPU where one was used."""
    if device.startswith("cuda"):
        return f"{torch.cuda.get_device_name(device)}; {processor()}"
    return processor()


def commit() -> str:
    """Commit the benchmark ran at; ``+changes`` where files differed from it (:func:`training.commit.uncommitted`)."""
    return git_commit(REPOSITORY, short=True)


def page_arguments(
    parser: argparse.ArgumentParser, arguments: Sequence[str] | None = None,
    writes: Callable[[argparse.Namespace], bool] = lambda options: True,
) -> argparse.Namespace:  # fmt: skip
    """A benchmark's options, read before anything is measured; adds ``--uncommitted``.

    A page in ``benchmarks/results`` is a record: whoever reads it must be able to check out what it measured.

    Args:
        arguments: default: the command line's.
        writes: whether a run with these options writes a page; without one with ``--no-page`` it is not asked.

    Raises:
        SystemExit: the run would write such a page of code that is not committed, and ``--uncommitted`` is not given.
    """
    parser.add_argument(
        "--uncommitted", action="store_true",
        help="measure code that is not committed, too; the page then says +changes beside its commit",
    )  # fmt: skip
    options = parser.parse_args(arguments)
    folder = Path(getattr(options, "out", None) or RESULTS).resolve()
    record = folder.is_relative_to(REPOSITORY / "benchmarks" / "results")
    if options.uncommitted or getattr(options, "no_page", False) or not record or not writes(options):
        return options
    try:
        files = uncommitted(REPOSITORY)
    except (OSError, subprocess.CalledProcessError):
        raise SystemExit(
            "this is no git checkout, so that a page could not say what it measured; --uncommitted writes one all the "
            "same, --no-page measures without one"
        ) from None
    if files:
        more = f" and {len(files) - _MOST_NAMED} more" if len(files) > _MOST_NAMED else ""
        raise SystemExit(
            f"not committed: {', '.join(files[:_MOST_NAMED])}{more}. A result page is of committed code: commit first, "
            "or measure without a page (--no-page or --out elsewhere), or say --uncommitted, and the page says so"
        )
    return options


def today() -> str:
    """ISO date."""
    return datetime.date.today().isoformat()


def provenance(module: str, data: str, device: str = "cpu") -> list[str]:
    """Markdown lines for the head of a page; ``module`` as in ``python -m module``."""
    arguments = " ".join(sys.argv[1:])
    return [
        f"- date: {today()}",
        f"- hardware: {hardware(device)}",
        f"- software: Python {platform.python_version()}, PyTorch {torch.__version__}",
        f"- command: `python -m {module}{' ' + arguments if arguments else ''}`",
        f"- commit: `{commit()}`",
        f"- data: {data}",
    ]


@dataclass(frozen=True)
class Page:
    """A page in ``folder``, whose name begins with the date, and the pictures and figures beside it."""

    folder: Path
    name: str

    @classmethod
    def of_today(cls, subject: str, folder: Path) -> Page:
        """The page on ``subject``; makes the folder."""
        folder.mkdir(parents=True, exist_ok=True)
        return cls(folder, f"{today()}-{subject}")

    @property
    def path(self) -> Path:
        """Of the page itself."""
        return self.beside(".md")

    def beside(self, ending: str) -> Path:
        """Path of a file of the same name with another ending, such as ``.png`` or ``-poses.png``."""
        return self.folder / f"{self.name}{ending}"

    def write(self, lines: Sequence[str] | str) -> Path:
        """Writes the text, or lines of it; returns where."""
        text = lines if isinstance(lines, str) else "\n".join(lines)
        self.path.write_text(text.rstrip("\n") + "\n")
        return self.path


def mocap_file(split: str, given: str | Path | None = None) -> Path:
    """The mocap collection of a split: ``given``, or ``cmu_smpl30_<split>.npz`` in the folder DIFFMOCAP_DATA.

    Without that variable a folder ``shared/data`` beside the checkout is looked at.

    Raises:
        SystemExit: there is none; the message says where the data comes from.
    """
    folder = Path(os.environ.get("DIFFMOCAP_DATA", REPOSITORY.parent / "shared" / "data"))
    path = Path(given) if given else folder / f"cmu_smpl30_{split}.npz"
    if not path.is_file():
        raise SystemExit(
            f"no motion capture at {path}. Give a file with --data, or a folder in DIFFMOCAP_DATA: a clip collection "
            "(pose, trans, start, length) or AMASS npz files (https://amass.is.tue.mpg.de); CMU's original "
            "recordings are at http://mocap.cs.cmu.edu"
        )
    return path
