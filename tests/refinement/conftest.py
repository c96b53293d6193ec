"""The body and the motions that refinement is tested on."""

from __future__ import annotations

import pytest
import torch

from diffmocap.body.mocap import load_split, retarget
from diffmocap.body.model import BodyModel
from diffmocap.body.motion_clip import MotionClip
from diffmocap.body.urdf import read_urdf
from diffmocap.physics.contact_points import ContactPoints
from diffmocap.physics.segments import BodySegments
from diffmocap.reconstruct.physics.simulated_motion import SimulatedBody
from diffmocap.refinement.window.body_points import BodyPoints


@pytest.fixture(scope="session")
def body() -> BodyModel:
    return BodyModel.load()


@pytest.fixture(scope="session")
def segments() -> BodySegments:
    return BodySegments.from_urdf(read_urdf())


@pytest.fixture(scope="session")
def contacts(body: BodyModel) -> ContactPoints:
    return ContactPoints.from_body(body)


@pytest.fixture(scope="session")
def points(body: BodyModel, segments: BodySegments, contacts: ContactPoints) -> BodyPoints:
    return BodyPoints.from_body(body, segments, contacts)


@pytest.fixture(scope="session")
def simulated_body(body: BodyModel) -> SimulatedBody:
    """The mean body as a simulation takes it; its capsules take a second."""
    return SimulatedBody.of(body, torch.zeros(10))


@pytest.fixture(scope="session")
def walks(mocap_dir, body: BodyModel) -> list[MotionClip]:
    """Validation walks on a flat floor, on the shipped body, long enough for a window."""
    clips = load_split(mocap_dir / "cmu_smpl30_val.npz")
    chosen = [c for c in clips if c.action.startswith("walk") and c.subject not in ("01", "03") and len(c) > 60]
    return [retarget(clip, body) for clip in chosen]
