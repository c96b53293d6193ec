"""What every benchmark page says about itself: date, hardware, versions, command, commit and data."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
import sys
from pathlib import Path

import torch

REPOSITORY = Path(__file__).resolve().parents[2]
RESULTS = REPOSITORY / "benchmarks" / "results"


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
    """Commit the benchmark ran at; ``+changes`` where tracked files differed from it."""

    def git(*arguments: str) -> str:
        return subprocess.check_output(
            ["git", "-C", str(REPOSITORY), *arguments], text=True, stderr=subprocess.DEVNULL
        ).strip()

    try:
        return git("rev-parse", "--short", "HEAD") + ("+changes" if git("status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


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
