#!/usr/bin/env python3
"""Sets up everything that diffmocap needs on a machine without ROS 2: `make setup` calls it.

It makes the virtual environment `.venv`, installs the pinned requirements (ROS 2 comes as wheels from PyPI), generates
the message packages and installs diffmocap itself, editable. Each step leaves a stamp with the hash of its inputs,
so that a run with nothing to do takes a blink and needs no network.

Where a real ROS 2 is installed, none of this is used: see tools/setup_ros_venv.sh.

Only the standard library is used here: this runs before anything is installed. The Makefile takes the variables of
a sourced ROS 2 or of another venv out of the environment first.
"""

from __future__ import annotations

import argparse
import ctypes
import fcntl
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import time
from importlib.util import find_spec
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import setup_plan  # noqa: E402, beside this file

REPOSITORY = Path(__file__).resolve().parent.parent
REQUIREMENTS = REPOSITORY / "requirements"
PYTHON_VERSION = (3, 11)  # the ROS 2 wheels are built for this one

#: Our messages, and those of tf2_msgs and hri_msgs that no wheel provides.
MESSAGE_PACKAGES = (
    REPOSITORY / "ros_ws/src/diffmocap_msgs", REPOSITORY / "tools/tf2_msgs", REPOSITORY / "tools/hri_msgs",
)  # fmt: skip


class BootstrapError(Exception):
    """The setup cannot go on; the message says what to do."""


# --- the machine -------------------------------------------------------------------------------------------------


def check_machine(venv: Path) -> None:
    """Find out before a long download what would make the setup fail after it."""
    if sys.version_info[:2] != PYTHON_VERSION:
        found = ".".join(map(str, sys.version_info[:3]))
        raise BootstrapError(
            f"Python 3.11 is needed, since the ROS 2 wheels are built for it; this is Python {found} "
            f"({sys.executable}).\nOn Debian 12: apt install python3.11. Another path: make PYTHON=/path/to/python3.11"
        )
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        raise BootstrapError(
            f"the ROS 2 wheels exist for Linux on x86_64, this is {platform.system()} on {platform.machine()}.\n"
            "Install ROS 2 (Jazzy or newer) there and use tools/setup_ros_venv.sh."
        )
    if missing := missing_debian_packages():
        raise BootstrapError(f"missing on this machine: {', '.join(missing)}\nDebian: apt install {' '.join(missing)}")


def missing_debian_packages() -> list[str]:
    """Debian's names of what pip cannot bring and this machine lacks."""
    missing = []
    if find_spec("ensurepip") is None or find_spec("venv") is None:
        missing.append("python3.11-venv")
    if not (Path(sysconfig.get_path("include")) / "Python.h").is_file():
        missing.append("python3.11-dev")
    compilers = (os.environ.get("CXX", ""), "c++", "g++", "clang++")
    if not any(shutil.which(name.split()[0]) for name in compilers if name):
        missing.append("g++")
    for library, package in (
        ("libGL.so.1", "libgl1"), ("libgthread-2.0.so.0", "libglib2.0-0"),  # OpenCV's wheel
        ("libEGL.so.1", "libegl1"), ("libGLESv2.so.2", "libgles2"),  # MediaPipe's wheel
    ):  # fmt: skip
        try:
            ctypes.CDLL(library)
        except OSError:
            missing.append(package)
    return missing


# --- stamps ------------------------------------------------------------------------------------------------------


def digest(*inputs: Path | str) -> str:
    """Hash of texts, files and folders (names and contents)."""
    result = hashlib.sha256()
    for item in inputs:
        if isinstance(item, str):
            result.update(item.encode())
            continue
        files = sorted(path for path in item.rglob("*") if path.is_file()) if item.is_dir() else [item]
        for path in files:
            result.update(str(path.relative_to(REPOSITORY)).encode() + b"\0" + path.read_bytes() + b"\0")
    return result.hexdigest()


class Steps:
    """Runs the steps whose inputs changed and says how long each took."""

    def __init__(self, venv: Path) -> None:
        self.venv = venv
        self.stamps = venv / ".stamps"
        self.ran = 0

    def is_done(self, name: str, key: str) -> bool:
        """Whether the stamp `name` holds `key`."""
        stamp = self.stamps / name
        return stamp.is_file() and stamp.read_text() == key

    def run(self, name: str, key: str, title: str, action) -> None:
        """Call `action` unless the stamp `name` already holds `key`; stamp it only once it succeeded."""
        stamp = self.stamps / name
        if self.is_done(name, key):
            return
        if not self.ran:
            check_machine(self.venv)
        self.ran += 1
        print(f"[setup] {title} ...", flush=True)
        start = time.monotonic()
        stamp.unlink(missing_ok=True)
        action()
        self.stamps.mkdir(exist_ok=True)
        stamp.write_text(key)
        print(f"[setup] {title}: done in {time.monotonic() - start:.0f} s", flush=True)

    def command(self, *arguments: str | Path, what: str) -> None:
        """Run a program; on failure show the end of its output and what it means."""
        log = self.venv / "setup.log"
        with log.open("a") as sink:
            sink.write(f"\n$ {' '.join(map(str, arguments))}\n")
            sink.flush()
            start = sink.tell()
            options = {"stdout": sink, "stderr": subprocess.STDOUT, "stdin": subprocess.DEVNULL}
            code = subprocess.run(arguments, cwd=REPOSITORY, check=False, **options).returncode
        if code == 0:
            return
        with log.open(errors="replace") as source:
            source.seek(start)
            text = source.read()
        tail = "\n".join("    " + line for line in text.splitlines()[-15:])
        raise BootstrapError(f"{what} failed (exit code {code}).\n{tail}\n{explain(text)}Full output: {log}")

    def pip_install(self, *arguments: str | Path, what: str) -> None:
        """`pip install` into the venv."""
        pip = (self.venv / "bin/python", "-m", "pip", "install", "--disable-pip-version-check")
        self.command(*pip, *arguments, what=f"installing {what}")


def explain(output: str) -> str:
    """What a failed command's output says in plain words, or nothing."""
    causes = (
        (r"No space left on device|Errno 28", "The disk is full: free some space and run this again."),
        (
            r"NewConnectionError|NameResolutionError|Failed to establish|ConnectTimeout|ReadTimeout|ProxyError"
            r"|Temporary failure in name resolution|Network is unreachable|Connection refused",
            "No connection to the package index. The first setup needs one (pip's own settings for proxies and "
            "mirrors apply, such as PIP_INDEX_URL); later runs do not.",
        ),
        (
            r"THESE PACKAGES DO NOT MATCH THE HASHES",
            "A package differs from the one that was pinned: the mirror or the download is damaged. Nothing was "
            "installed from it.",
        ),
        (r"No matching distribution found", "The package index does not have a pinned version; check PIP_INDEX_URL."),
        (r"Killed|Cannot allocate memory", "The machine ran out of memory."),
    )
    return next((f"{advice}\n" for pattern, advice in causes if re.search(pattern, output)), "")


# --- the steps ---------------------------------------------------------------------------------------------------


def make_venv(steps: Steps) -> None:
    """Make the venv, or make it anew where it does not work (moved, half made, another Python)."""
    venv = steps.venv
    key = f"{venv} {PYTHON_VERSION}"
    if not (venv / "bin/python").exists():  # also a link to a Python that is gone
        (steps.stamps / "venv").unlink(missing_ok=True)

    def action() -> None:
        if not venv_works(venv):
            if venv.exists():
                print(f"[setup] {venv} is not a working venv of Python 3.11 at this path: making it anew", flush=True)
                shutil.rmtree(venv)
            base_python = getattr(sys, "_base_executable", sys.executable)  # not that of a venv, it may be this one
            result = subprocess.run([base_python, "-m", "venv", venv], check=False, capture_output=True, text=True)
            if result.returncode != 0:
                output = result.stdout + result.stderr
                raise BootstrapError(f"python -m venv failed:\n{output}\n{explain(output)}")
        (venv / "COLCON_IGNORE").touch()

    steps.run("venv", key, f"making the virtual environment {venv}", action)


def venv_works(venv: Path) -> bool:
    """Whether the venv's Python and pip start, have the right version, and belong to this very path."""
    script = f"import pip, sys; print(sys.version_info[:2] == {PYTHON_VERSION}, sys.prefix)"
    try:
        result = subprocess.run([venv / "bin/python", "-c", script], capture_output=True, text=True, check=False)
        return result.stdout.strip() == f"True {venv}" and str(venv) in (venv / "bin/activate").read_text()
    except OSError:
        return False


#: What is installed of requirements/, in this order, with pip's options: torch first and alone, see its file.
PARTS: dict[str, tuple[str, ...]] = {
    "torch": (),
    "base": (),
    "render": (),
    "ros": ("--no-deps", "--require-hashes", "--no-build-isolation"),
}
TEST_PARTS: dict[str, tuple[str, ...]] = {"train": (), "examples": (), "test": (), "export": (), "robots": ()}


def install(steps: Steps, parts: dict[str, tuple[str, ...]]) -> None:
    """`pip install -r requirements/<name>.txt` of those files that changed; what that means is said before."""
    keys = {name: digest(REQUIREMENTS / f"{name}.txt", *options) for name, options in parts.items()}
    changed = [name for name, key in keys.items() if not steps.is_done(f"requirements-{name}", key)]
    torch: tuple[str, ...] = ()
    if changed:
        torch = announce(steps.venv, changed)
    for name, options in parts.items():
        what = f"requirements/{name}.txt"
        given = torch if name == "torch" and torch else ("-r", str(REQUIREMENTS / f"{name}.txt"))

        def action(options: tuple[str, ...] = (*options, *given), what: str = what) -> None:
            steps.pip_install("--progress-bar", "off", *options, what=what)

        steps.run(f"requirements-{name}", keys[name], f"installing {what}", action)


def announce(venv: Path, changed: list[str]) -> tuple[str, ...]:
    """Say what is about to be downloaded, and look whether the disk holds it; returns pip's arguments for torch."""
    source = None
    if "torch" in changed:
        source = setup_plan.torch_source(venv / "bin/python")
        print(f"[setup] PyTorch: {source.why}")
    new = [name for name in changed if not (venv / ".stamps" / f"requirements-{name}").is_file()]
    parts = [source.part if name == "torch" else name for name in new]
    if parts:
        print("\n".join(["[setup] what comes now:", *setup_plan.announce(parts, venv)]), flush=True)
        try:
            setup_plan.check_disk(parts, venv)
        except setup_plan.DiskFull as error:
            raise BootstrapError(f"{error}: free some space and run this again") from error
    return source.arguments if source else ()


def generate_messages(steps: Steps) -> None:
    """Build and install the message packages with the generators that the wheels carry."""
    for package in MESSAGE_PACKAGES:

        def action(package: Path = package) -> None:
            correct_cmake_exports(steps.venv)
            build = steps.venv / "build" / package.name
            shutil.rmtree(build, ignore_errors=True)
            binaries = steps.venv / "bin"
            steps.command(
                binaries / "cmake", "-S", package, "-B", build, "-G", "Ninja", "-DBUILD_TESTING=OFF",
                "-DCMAKE_BUILD_TYPE=Release", f"-DCMAKE_MAKE_PROGRAM={binaries / 'ninja'}",
                f"-DCMAKE_PREFIX_PATH={steps.venv}", f"-DCMAKE_INSTALL_PREFIX={steps.venv}",
                f"-DPython3_EXECUTABLE={binaries / 'python'}", f"-DPython_EXECUTABLE={binaries / 'python'}",
                what=f"configuring {package.name}",
            )  # fmt: skip
            steps.command(binaries / "cmake", "--build", build, "--target", "install", what=f"building {package.name}")
            shutil.rmtree(build)
            check = (
                f"from rclpy.type_support import check_for_type_support as c; import {package.name}.msg as m; "
                "[c(t) for t in vars(m).values() if isinstance(t, type)]"
            )
            steps.command(binaries / "python", "-c", check, what=f"importing {package.name}")

        key = digest(package, REQUIREMENTS / "ros.txt")
        steps.run(f"messages-{package.name}", key, f"generating {package.name}", action)


def correct_cmake_exports(venv: Path) -> None:
    """Point the wheels' CMake exports at this Python.

    They carry the include directories of the container they were built in (`/opt/python/cp311-cp311/...`), and CMake
    refuses an imported target whose include directory does not exist. NumPy's moved between its releases, so that a
    directory written here for an older one is replaced as well.
    """
    script = "import numpy, sysconfig; print(sysconfig.get_path('include')); print(numpy.get_include())"
    result = subprocess.run([venv / "bin/python", "-c", script], check=True, capture_output=True, text=True)
    python_include, numpy_include = result.stdout.split("\n")[:2]
    for path in (venv / "share").rglob("*.cmake"):
        text = path.read_text()
        new = re.sub(r"(?<=[\";])/[^\";]*/site-packages/numpy/\w+/include", numpy_include, text)
        new = re.sub(r"/opt/python/cp311-cp311/include/python3\.11", python_include, new)
        if new != text:
            path.write_text(new)


def install_package(steps: Steps) -> None:
    """Install diffmocap itself: editable, so only a change of its metadata asks for it again."""

    def action() -> None:
        steps.pip_install("--no-deps", "--no-index", "--no-build-isolation", "--editable", REPOSITORY, what="diffmocap")

    inputs = [REPOSITORY / name for name in ("setup.py", "setup.cfg")]
    steps.run("package", digest(str(REPOSITORY), *inputs), "installing diffmocap", action)


def processor() -> str:
    """What this machine computes with, as far as Linux says."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    return "\n".join(sorted({line for line in lines if line.startswith(("model name", "flags"))}))


def compile_physics(steps: Steps) -> None:
    """Compile the physics for this processor, or the first start would. Any change of what it comes from counts."""
    package = REPOSITORY / "diffmocap"
    rooms = ("body", "camera", "lifting", "physics", "refinement")
    sources = sorted(path for name in rooms for path in (package / name).rglob("*.py"))

    def action() -> None:
        command = (steps.venv / "bin/python", "-m", "diffmocap.pipeline")
        steps.command(*command, what="compiling the physics")

    key = digest(REQUIREMENTS / "base.txt", processor(), package / "compiler.py", *sources)
    try:
        steps.run("physics", key, "compiling the physics for this processor", action)
    except BootstrapError as error:  # the first start will try again, and torch can do without
        print(f"[setup] the physics could not be compiled ahead: {error}", file=sys.stderr)


def main() -> int:
    """Parse the command line and run the steps; 1 on a failure that the user can mend."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--venv", type=Path, default=REPOSITORY / ".venv", help="where the virtual environment goes")
    parser.add_argument("--test", action="store_true", help="also install what tests, training and examples need")
    options = parser.parse_args()
    venv = options.venv.absolute()
    start = time.monotonic()
    try:
        # Two `make` at a time must not install into one venv: the second waits for the first.
        with open(__file__) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            steps = Steps(venv)
            make_venv(steps)
            install(steps, PARTS | (TEST_PARTS if options.test else {}))
            generate_messages(steps)
            install_package(steps)
            compile_physics(steps)
    except (BootstrapError, OSError) as error:
        advice = explain(str(error)) if isinstance(error, OSError) else ""
        print(f"\n[setup] error: {error}\n{advice}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\n[setup] interrupted; run it again to go on", file=sys.stderr)
        return 130
    if steps.ran:
        print(f"[setup] ready after {time.monotonic() - start:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
