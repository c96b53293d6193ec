"""The body and the motions that the physics is tested on."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import roma
import torch

from diffmocap.body.mocap import load_split, retarget
from diffmocap.body.model import BodyModel
from diffmocap.body.motion_clip import MotionClip
from diffmocap.body.skeleton import NUM_JOINTS
from diffmocap.body.urdf import read_urdf
from diffmocap.physics.contact_points import ContactPoints
from diffmocap.physics.segments import BodySegments


@pytest.fixture(scope="session")
def body() -> BodyModel:
    return BodyModel.load()


@pytest.fixture(scope="session")
def segments() -> BodySegments:
    """The shipped body in float64."""
    return BodySegments.from_urdf(read_urdf()).to(dtype=torch.float64)


@pytest.fixture(scope="session")
def points(body: BodyModel) -> ContactPoints:
    return ContactPoints.from_body(body).to(dtype=torch.float64)


@pytest.fixture(scope="session")
def clips(mocap_dir, body: BodyModel) -> list[MotionClip]:
    """Validation takes on the shipped body, soles on the floor."""
    return [retarget(clip, body) for clip in load_split(mocap_dir / "cmu_smpl30_val.npz")]


Motion = Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]


def smooth_motion(seed: int = 0) -> Motion:
    """Local rotations [T, 24, 3, 3] and pelvis [T, 3] at times [T] s: every joint swings at its own pace, float64."""
    g = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=g, dtype=torch.float64)

    axis, phase, pace = 0.6 * draw(NUM_JOINTS, 3), 3 * draw(NUM_JOINTS), 2 + draw(NUM_JOINTS).abs()
    start, drift, wave = draw(3), draw(3), 0.2 * draw(3)

    def at(times: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        swing = torch.sin(pace * times[:, None] + phase)
        pelvis = start + drift * times[:, None] + wave * torch.sin(3 * times)[:, None]
        return roma.rotvec_to_rotmat(swing[..., None] * axis), pelvis

    return at


@pytest.fixture
def motion() -> Motion:
    return smooth_motion()
