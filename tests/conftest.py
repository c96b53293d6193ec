"""Fixtures that every test may use."""

from __future__ import annotations

import gc
import os
import random
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from operator import attrgetter
from pathlib import Path

if "PYTEST_XDIST_WORKER" in os.environ:  # the cores are shared among the workers already
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # read once, by NumPy, when it is imported

import cv2
import numpy as np
import pytest

from tests.demo_frames import EXCERPT_FRAMES, PERSON_FRAME, frames_of

REPO_ROOT = Path(__file__).resolve().parents[1]
#: Tests with one of these fixtures run in one process, one after the other: the group of the first that a test uses.
GROUPS = {"graph": "nodes", "ros_env": "graphs", "diffusers": "diffusers"}

# Looking for cycles among the million objects of imported libraries, every 700 new ones, would take a twentieth of all.
gc.set_threshold(20_000)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Seeds what draws without a generator of its own, each test by its name, and gives back the threads that another
    may have taken, whichever ran before it."""
    seed = zlib.crc32(item.nodeid.partition("@")[0].encode())
    random.seed(seed)
    for library, seeded in (("numpy", "random.seed"), ("torch", "manual_seed")):
        if library in sys.modules:
            attrgetter(seeded)(sys.modules[library])(seed)
    if "torch" in sys.modules and "PYTEST_XDIST_WORKER" in os.environ:
        sys.modules["torch"].set_num_threads(int(os.environ["OMP_NUM_THREADS"]))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[object]:
    """Lets go of the DDS participants of a test that took part in a graph: rclpy's contexts live until a cycle of
    objects is collected, and participants from the 33rd of a domain on do not find each other on one machine."""
    done = yield
    if item.get_closest_marker("ros"):
        gc.collect()
    return done


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Marks the tests that start ROS graphs as ``ros``: those that use the fixture ``ros_env``, directly or not.

    Where tests run in several processes (`pytest -n`), the tests of a file stay in one, so that its fixtures are made
    once. So do those of single nodes (fixture ``graph``), and those of whole graphs, so that at most two of them take
    the processor from each other; and those that import diffusers, which takes three seconds.
    """
    parallel = config.pluginmanager.hasplugin("xdist")
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        if "ros_env" in fixtures:
            item.add_marker(pytest.mark.ros)
        if parallel:
            group = next((group for fixture, group in GROUPS.items() if fixture in fixtures), None)
            item.add_marker(pytest.mark.xdist_group(group or item.nodeid.partition("::")[0]))


@pytest.fixture(scope="session")
def repo_root() -> Path:
    """Root of the source tree."""
    return REPO_ROOT


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """Folder beside the checkout with the whole splits of motion capture and videos of people."""
    path = REPO_ROOT.parent / "shared"
    if not (path / "data").is_dir():
        pytest.skip(f"needs the motion capture data in {path / 'data'}")
    return path


@pytest.fixture(scope="session")
def mocap_dir() -> Path:
    """Folder with a collection of motion capture for each split, cut short: see ``tests/data/README.md``."""
    return REPO_ROOT / "tests" / "data" / "cmu"


@pytest.fixture(scope="session")
def demo_clip() -> Path:
    """The bundled clip: 726 frames of 640 x 480, 30 a second, of a person drawn from motion capture."""
    return REPO_ROOT / "media" / "demo.mp4"


@pytest.fixture(scope="session")
def person(demo_clip: Path) -> np.ndarray:
    """One frame of the bundled clip, somebody who waves: uint8 [480, 640, 3] BGR."""
    return frames_of(demo_clip, PERSON_FRAME, 1)[0]


@pytest.fixture(scope="session")
def excerpt(demo_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled clip's first frames, a walk, as a file without its truth beside it."""
    path = tmp_path_factory.mktemp("excerpt") / "walk.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 30.0, (640, 480))
    for image in frames_of(demo_clip, 0, EXCERPT_FRAMES):
        writer.write(image)
    writer.release()
    return path


@pytest.fixture
def by_torch(monkeypatch) -> Callable:
    """Calls a function as if there were no compiler."""
    from diffmocap import compiler

    def call(function, *arguments):
        with monkeypatch.context() as patch:
            patch.setattr(compiler, "available", lambda: False)
            return function(*arguments)

    return call


@pytest.fixture()
def mjpeg_stream() -> Iterator[str]:
    """Address of a network camera's stream."""
    from tests.mjpeg_stream import streaming

    with streaming() as address:
        yield address


@pytest.fixture(scope="session")
def ros_domain_id() -> int:
    """A ROS domain that no other graph on this machine uses, so that test runs do not hear each other.

    Processes of one run look for theirs at the same moment: each takes those with its own remainder.
    """
    from diffmocap.cli.play import free_domain_id

    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    count = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    return next(i for i in iter(free_domain_id, None) if i % count == worker)


@pytest.fixture(scope="session")
def compiled_ahead() -> None:
    """What nodes would compile at their first start in a new clone, longer than tests wait for them, is compiled."""
    command = [sys.executable, "-m", "diffmocap.pipeline"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=REPO_ROOT)


@pytest.fixture(scope="session")
def ros_env(
    ros_domain_id: int, compiled_ahead: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    """Environment for ROS processes: loopback only, a domain of their own, logs in a temporary folder.

    It holds in this process too while the fixture lives, so that a test may call ``rclpy.init`` itself.
    """
    pytest.importorskip("rclpy", reason="needs ROS 2: run `make test`, or source a ROS 2 install")
    from diffmocap.middleware.ros_environment import child_environment

    wanted = {
        "ROS_DOMAIN_ID": str(ros_domain_id),
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
        "ROS_LOG_DIR": str(tmp_path_factory.mktemp("ros_log")),
        "RCUTILS_COLORIZED_OUTPUT": "0",
        "OMP_NUM_THREADS": "1",
        "PYTHONUNBUFFERED": "1",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name in ("ROS_STATIC_PEERS", "ROS_LOCALHOST_ONLY", "ROS_DISCOVERY_SERVER"):
            patch.delenv(name, raising=False)
        environment = child_environment({**os.environ, **wanted})
        for name, value in environment.items():
            patch.setenv(name, value)
        yield environment
