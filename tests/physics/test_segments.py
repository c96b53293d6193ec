"""Mass properties from the URDF and from the skin."""

from __future__ import annotations

import pytest
import torch

from diffmocap.body.inertia import mesh_volume
from diffmocap.body.skeleton import JOINT_MIRROR, JOINT_NAMES
from diffmocap.body.urdf import read_urdf
from diffmocap.errors import ModelFileError, SettingsError
from diffmocap.physics.segments import BodySegments

#: Shares of body mass after de Leva 1996, table 4, mean of women and men.
DE_LEVA = {
    ("left_hip",): 0.1447, ("left_knee",): 0.0457, ("left_ankle", "left_foot"): 0.0133,
    ("left_shoulder",): 0.0263, ("left_elbow",): 0.0150, ("left_wrist", "left_hand"): 0.0059,
    ("head", "neck"): 0.0681,
    ("pelvis", "spine1", "spine2", "spine3", "left_collar", "right_collar"): 0.4302,
}  # fmt: skip


@pytest.fixture(scope="module")
def integrated(body):
    return BodySegments.from_body(body, mass=70.0)


def test_the_urdf_and_the_skin_say_the_same(integrated, segments):
    same = segments.weighing(70.0).to(dtype=torch.float32)
    torch.testing.assert_close(integrated.mass, same.mass, rtol=0.0, atol=0.1)
    torch.testing.assert_close(integrated.centre, same.centre, rtol=0.0, atol=3e-3)
    torch.testing.assert_close(integrated.offsets, same.offsets, rtol=0.0, atol=1e-6)
    heavy = same.mass > 0.5
    off = (integrated.inertia - same.inertia).flatten(1).norm(dim=1) / same.inertia.flatten(1).norm(dim=1)
    assert float(off[heavy].max()) < 0.06


def test_the_whole_weighs_what_is_given(body, integrated, segments):
    assert float(integrated.total_mass) == pytest.approx(70.0, rel=1e-5)
    light = segments.weighing(50.0)
    assert float(light.total_mass) == pytest.approx(50.0, rel=1e-12)
    torch.testing.assert_close(light.inertia / segments.inertia.norm(), segments.inertia * (50.0 / segments.total_mass)
                               / segments.inertia.norm())  # fmt: skip
    volume = mesh_volume(body.template.double().numpy(), body.faces.numpy())
    assert float(segments.total_mass) == pytest.approx(985.0 * volume, rel=1e-3)


@pytest.mark.parametrize(("names", "share"), DE_LEVA.items(), ids=lambda x: x[0] if isinstance(x, tuple) else "")
def test_shares_are_those_of_people(integrated, names, share):
    found = float(sum(integrated.mass[JOINT_NAMES.index(n)] for n in names) / integrated.total_mass)
    assert found == pytest.approx(share, rel=0.35)


def test_a_symmetric_body_is_symmetric(segments):
    """Left and right mirror each other in mass, centre and inertia."""
    mirror = torch.diag(torch.tensor([-1.0, 1.0, 1.0], dtype=torch.float64))
    other = list(JOINT_MIRROR)
    torch.testing.assert_close(segments.mass[other], segments.mass, rtol=0.03, atol=0.0)
    torch.testing.assert_close(segments.centre[other] @ mirror, segments.centre, rtol=0.0, atol=1e-3)
    off = (mirror @ segments.inertia[other] @ mirror - segments.inertia).flatten(1).norm(dim=1)
    assert float((off / segments.inertia.flatten(1).norm(dim=1)).max()) < 0.05


def test_inertias_are_physical(segments):
    moments = torch.linalg.eigvalsh(segments.inertia)
    assert bool((moments[:, 0] > 0).all() and (moments[:, 2] <= moments[:, 0] + moments[:, 1]).all())


def test_errors_say_what_is_wrong(segments):
    with pytest.raises(SettingsError, match="positive, got -1"):
        segments.weighing(-1)
    with pytest.raises(SettingsError, match="shapes"):
        BodySegments(segments.mass[:3], segments.centre, segments.inertia, segments.offsets)
    with pytest.raises(ModelFileError, match="lacks the link head"):
        BodySegments.from_urdf(read_urdf().replace('link name="head"', 'link name="skull"'))
    with pytest.raises(ModelFileError, match="turned"):
        BodySegments.from_urdf(read_urdf().replace('rpy="0 0 0"', 'rpy="0 0 1"'))
