#!/usr/bin/env python3
"""What a setup will download, from where PyTorch comes, and whether the disk has room for it.

Both setups use it, before anything is downloaded: tools/bootstrap.py imports it, tools/setup_ros_venv.sh runs

    tools/setup_plan.py --venv DIR torch base render

which prints the plan on stderr and pip's arguments for PyTorch on stdout, one per line; exit code 1 where the disk is
too small. Only the standard library is used here: this runs before anything is installed.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

REQUIREMENTS = Path(__file__).resolve().parent.parent / "requirements"

#: PyTorch's own index of builds without CUDA. DIFFMOCAP_TORCH_INDEX names another one; empty: only what pip finds.
TORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"
INDEX_TIMEOUT_S = 5.0
PIP_TIMEOUT_S = 120.0


@dataclass(frozen=True)
class Size:
    """Of a part: what it is for people, megabytes to download, megabytes on the disk once installed."""

    title: str
    download_mb: int
    disk_mb: int


#: By the names in requirements/, measured on Linux, x86_64 and Python 3.11; other platforms differ by a tenth or two.
SIZES = {
    "torch-cpu": Size("PyTorch, the build for CPUs", 192, 760),
    "torch-cuda": Size("PyTorch with CUDA", 3000, 5600),
    "base": Size("MediaPipe, OpenCV, Numba, SciPy, viser", 282, 1060),
    "render": Size("PyBullet", 104, 295),
    "ros": Size("ROS 2", 75, 240),
    "train": Size("TensorBoard", 20, 56),
    "examples": Size("scikit-learn", 10, 56),
    "test": Size("what tests need", 29, 138),
    "cluster": Size("Ray", 78, 240),
    "export": Size("USD, and readers of exported files", 35, 225),
    "robots": Size("mink and MuJoCo, for robots", 30, 105),
}
#: Beside all that: pip's temporary copies, the compiled physics, generated messages.
MARGIN_MB = 400


class DiskFull(Exception):
    """There is not enough room; the message says where and how much is missing."""


@dataclass(frozen=True)
class TorchSource:
    """Where PyTorch comes from.

    Attributes:
        arguments: of ``pip install``.
        part: its entry in :data:`SIZES`.
        why: for people.
    """

    arguments: tuple[str, ...]
    part: str
    why: str


def torch_pin() -> str:
    """The version in requirements/torch.txt."""
    found = re.search(r"(?m)^torch==([0-9.]+)", (REQUIREMENTS / "torch.txt").read_text())
    if found is None:
        raise ValueError("requirements/torch.txt pins no torch")
    return found[1]


def torch_source(python: Path | str) -> TorchSource:
    """The build for this machine: the one for CPUs where there is no NVIDIA GPU and one can be had.

    What pip's own settings lead to comes first (PIP_FIND_LINKS, PIP_EXTRA_INDEX_URL, pip.conf), then PyTorch's index
    where it answers, else whatever ``pip install torch`` brings.

    Args:
        python: of the environment that torch will be installed into; it has pip.
    """
    plain = ("-r", str(REQUIREMENTS / "torch.txt"))
    if sys.platform != "linux":  # elsewhere PyPI's build has no CUDA
        return TorchSource(plain, "torch-cpu", "PyPI's build has no CUDA here")
    if nvidia_gpu():
        return TorchSource(plain, "torch-cuda", "there is an NVIDIA GPU")
    cpu = f"torch=={torch_pin()}+cpu"
    if pip_finds(python, cpu):
        return TorchSource((cpu,), "torch-cpu", "there is no NVIDIA GPU; pip's own sources have this build")
    index = os.environ.get("DIFFMOCAP_TORCH_INDEX", TORCH_CPU_INDEX)
    if index and index_has(index, torch_pin(), wheel_tag(python)):
        return TorchSource(("--extra-index-url", index, cpu), "torch-cpu", f"there is no NVIDIA GPU; from {index}")
    why = "there is no NVIDIA GPU, but a build without CUDA was not found: see requirements/torch.txt"
    return TorchSource(plain, "torch-cuda", why)


def nvidia_gpu() -> bool:
    """Whether this machine has an NVIDIA GPU with its driver."""
    program = shutil.which("nvidia-smi") or "/usr/lib/wsl/lib/nvidia-smi"
    try:
        told = subprocess.run([program, "-L"], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return Path("/proc/driver/nvidia/gpus").is_dir()
    return told.returncode == 0 and "GPU 0" in told.stdout


def pip_finds(python: Path | str, requirement: str) -> bool:
    """Whether pip, as it is set up, finds it as a wheel; nothing is installed."""
    command = [
        str(python), "-m", "pip", "install", "--dry-run", "--ignore-installed", "--no-deps", "--only-binary", ":all:",
        "--disable-pip-version-check", "--retries", "0", "--quiet", requirement,
    ]  # fmt: skip
    try:
        return subprocess.run(command, capture_output=True, timeout=PIP_TIMEOUT_S, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def wheel_tag(python: Path | str) -> str:
    """How the file names of that Python's wheels say so: ``cp311-cp311``."""
    script = (
        "import sys, sysconfig; v = 'cp%d%d' % sys.version_info[:2]; "
        "print(v + '-' + v + ('t' if sysconfig.get_config_var('Py_GIL_DISABLED') else ''))"
    )
    return subprocess.run([str(python), "-c", script], capture_output=True, text=True, check=True).stdout.strip()


def index_has(index: str, version: str, tag: str) -> bool:
    """Whether an index answers, quickly, and lists torch's CPU wheel of this version for this Python and machine."""
    try:
        with urllib.request.urlopen(f"{index.rstrip('/')}/torch/", timeout=INDEX_TIMEOUT_S) as answer:
            page = answer.read(20_000_000).decode(errors="replace")
    except (OSError, ValueError, urllib.error.URLError):
        return False
    machine = os.uname().machine
    wheel = rf"torch-{re.escape(version)}(\+|%2B)cpu-{tag}-[A-Za-z0-9_.]*linux[A-Za-z0-9_.]*{machine}\.whl"
    return re.search(wheel, page) is not None


def announce(parts: Iterable[str], venv: Path) -> list[str]:
    """Lines that say what will be downloaded, how large it is, and how much room there is."""
    sizes = [SIZES[part] for part in parts]
    lines = [f"  {size.title:<32}{size.download_mb:>6} MB to download{size.disk_mb:>7} MB on disk" for size in sizes]
    total, disk = sum(size.download_mb for size in sizes), sum(size.disk_mb for size in sizes)
    free_mb = shutil.disk_usage(_existing(venv)).free / 1e6
    return [*lines, f"  {'together':<32}{total:>6} MB to download{disk:>7} MB on disk, {free_mb:.0f} MB free"]


def check_disk(parts: Sequence[str], venv: Path) -> None:
    """Raises DiskFull where the parts do not fit.

    Packages are unpacked into the venv; each file is downloaded into the temporary folder, and pip keeps a copy in its
    cache.
    """
    sizes = [SIZES[part] for part in parts]
    downloads_mb = sum(size.download_mb for size in sizes)
    needs: dict[int, tuple[Path, float]] = {}
    cache = Path(os.environ.get("PIP_CACHE_DIR", Path(os.path.expanduser("~")) / ".cache" / "pip"))
    wanted = (
        (venv, sum(size.disk_mb for size in sizes) + MARGIN_MB),
        (Path(tempfile.gettempdir()), max((size.download_mb for size in sizes), default=0)),
        (cache, 0 if os.environ.get("PIP_NO_CACHE_DIR") else downloads_mb),
    )
    for folder, megabytes in wanted:
        place = _existing(folder)
        device = place.stat().st_dev
        first, so_far = needs.get(device, (place, 0.0))
        needs[device] = first, so_far + megabytes
    for place, megabytes in needs.values():
        free_mb = shutil.disk_usage(place).free / 1e6
        if free_mb < megabytes:
            needed, free = f"{megabytes / 1e3:.1f} GB", f"{free_mb / 1e3:.1f} GB"
            raise DiskFull(f"the setup needs {needed} on the disk of {place}, which has {free} free")


def _existing(path: Path) -> Path:
    """The path, or what of it exists."""
    path = path.absolute()
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def main() -> int:
    """Command line for tools/setup_ros_venv.sh."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--venv", type=Path, required=True, help="the virtual environment that gets the packages")
    parser.add_argument("parts", nargs="+", choices=["torch", *SIZES], help="what will be installed")
    options = parser.parse_args()
    source = torch_source(options.venv / "bin/python")
    parts = [source.part if part == "torch" else part for part in options.parts]
    print("\n".join([f"PyTorch: {source.why}", *announce(parts, options.venv)]), file=sys.stderr)
    try:
        check_disk(parts, options.venv)
    except DiskFull as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print("\n".join(source.arguments))
    return 0


if __name__ == "__main__":
    sys.exit(main())
