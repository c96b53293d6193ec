"""A small robot without a wheel of its own, and a real motion for it to follow."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from diffmocap.body.model import BodyModel
from diffmocap.motion.motion_npz import read_motion
from diffmocap.resources import share_path
from diffmocap.robots.description import read_description
from diffmocap.robots.frames import HumanFrame
from diffmocap.robots.human_frames import human_frames

if TYPE_CHECKING:
    from diffmocap.robots.model import RobotModel

FOLDER = Path(__file__).parent
FPS = 30.0


@pytest.fixture(scope="session")
def body() -> BodyModel:
    """The shipped body."""
    return BodyModel.load(None)


@pytest.fixture(scope="session")
def frames(body: BodyModel) -> list[HumanFrame]:
    """The true motion of the bundled clip: a walk, waving, jumping jacks, squats."""
    return human_frames(read_motion(share_path("media", "demo.npz"), body), body, FPS)


def robot_of(name: str) -> RobotModel:
    """A robot of this folder; the test is skipped where the packages that it takes are missing."""
    for package in ("mujoco", "mink", "daqp"):
        pytest.importorskip(package, reason=f"{package} is not installed; pip install 'diffmocap[robots]'")
    from diffmocap.robots.model import load_model

    return load_model(read_description(FOLDER / f"{name}.yaml"))


@pytest.fixture(scope="session")
def small() -> RobotModel:
    """A robot of 21 joints."""
    return robot_of("small")


def t_pose(body: BodyModel, height: float = 0.0) -> HumanFrame:
    """The shipped body with arms spread, soles at a height [m]."""
    local = np.tile(np.eye(3), (24, 1, 1))
    rest = body.rest_joints(None)[0].double().numpy()
    world = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    up = height - float(body.template[:, 1].min())
    return HumanFrame.from_local(local, rest, world, np.array([0.0, 0.0, up]), np.ones(2, dtype=bool), body.height_m)
