"""Segment masses against the mesh's own integrals and published fractions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import trimesh

from diffmocap.body.inertia import BODY_DENSITY, interior_points, mesh_volume, segment_inertias
from diffmocap.body.model import BodyModel
from diffmocap.body.skeleton import JOINT_MIRROR, JOINT_NAMES
from diffmocap.errors import SettingsError


@pytest.fixture(scope="module")
def body():
    return BodyModel.load()


@pytest.fixture(scope="module")
def segments(body):
    return segment_inertias(body)


def share(segments, *names) -> float:
    total = sum(s.mass for s in segments)
    return sum(segments[JOINT_NAMES.index(n)].mass for n in names) / total


def test_interior_points_of_a_sphere_and_a_torus():
    for mesh in (trimesh.creation.icosphere(4, 0.3), trimesh.creation.torus(0.4, 0.1)):
        points = interior_points(mesh.vertices, mesh.faces, 0.01)
        assert mesh_volume(mesh.vertices, mesh.faces) == pytest.approx(mesh.volume, rel=1e-9)
        assert len(points) * 0.01**3 == pytest.approx(mesh.volume, rel=0.01)
        np.testing.assert_allclose(points.mean(axis=0), mesh.center_mass, atol=2e-3)
        assert len(np.unique(points.round(6), axis=0)) == len(points)


def test_total_equals_the_mesh_integrals(body, segments):
    """Mass, centre and inertia of the whole against trimesh's exact polyhedral integrals."""
    mesh = trimesh.Trimesh(body.template.numpy().astype(float), body.faces.numpy(), process=False)
    mesh.density = BODY_DENSITY
    joints = body.rest_joints()[0].numpy()
    mass = sum(s.mass for s in segments)
    centres = [s.centre + j for s, j in zip(segments, joints, strict=True)]
    centre = sum(s.mass * c for s, c in zip(segments, centres, strict=True)) / mass
    inertia = np.zeros((3, 3))
    for s, c in zip(segments, centres, strict=True):
        d = c - centre
        inertia += s.inertia + s.mass * (d @ d * np.eye(3) - np.outer(d, d))
    assert mass == pytest.approx(mesh.mass, rel=1e-6)
    np.testing.assert_allclose(centre, mesh.center_mass, atol=1e-3)
    np.testing.assert_allclose(inertia, mesh.moment_inertia, atol=0.005 * np.trace(mesh.moment_inertia))


def test_a_grown_up_weighs_as_one(segments):
    assert 55 < sum(s.mass for s in segments) < 80


def test_inertias_are_physical(segments):
    """Positive definite, and no principal moment above the sum of the other two."""
    for name, s in zip(JOINT_NAMES, segments, strict=True):
        np.testing.assert_allclose(s.inertia, s.inertia.T, atol=1e-12)
        moments = np.linalg.eigvalsh(s.inertia)
        assert s.mass > 0 and moments[0] > 0 and moments[2] <= moments[0] + moments[1], name


def test_left_and_right_match(segments):
    for j, k in enumerate(JOINT_MIRROR):
        assert segments[j].mass == pytest.approx(segments[k].mass, rel=0.05)
        np.testing.assert_allclose(segments[j].centre, segments[k].centre * [-1, 1, 1], atol=2e-3)


@pytest.mark.parametrize(
    ("names", "fraction"),
    [
        (("left_hip",), 0.145), (("left_knee",), 0.0457), (("left_ankle", "left_foot"), 0.0133),
        (("left_shoulder",), 0.0263), (("left_elbow",), 0.0150), (("left_wrist", "left_hand"), 0.0059),
        (("head", "neck"), 0.0681),
        (("pelvis", "spine1", "spine2", "spine3", "left_collar", "right_collar"), 0.4302),
    ],
)  # fmt: skip
def test_shares_are_near_de_leva(segments, names, fraction):
    """de Leva 1996, table 4, mean of women and men; where a segment ends differs, hence the tolerance."""
    assert share(segments, *names) == pytest.approx(fraction, rel=0.35)


def test_shape_changes_mass(body, segments):
    betas = torch.zeros(1, 10)
    betas[0, 0] = 2.0
    other = segment_inertias(body, betas)
    assert abs(sum(s.mass for s in other) - sum(s.mass for s in segments)) > 1.0


def test_too_coarse_is_said(body):
    with pytest.raises(SettingsError, match="spacing"):
        segment_inertias(body, spacing=0.2)
