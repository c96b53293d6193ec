"""The committed poses beyond motion capture are what they are said to be, and their score is right."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from benchmarks.lifting.made_poses import DATA, FAMILIES, MadePoseSet, made_camera, made_poses_scores
from benchmarks.lifting.made_poses_drawing import SEED, draw, draw_family
from diffmocap.body.joint_angles import limit_excess
from diffmocap.body.model import BodyModel
from diffmocap.lifting.settings import LiftingSettings
from diffmocap.types import PoseHypotheses
from training.lifting.plausibility import self_intersects


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return BodyModel.load()


@pytest.fixture(scope="module")
def made(body) -> MadePoseSet:
    return MadePoseSet.load(body)


@pytest.fixture(scope="module")
def upright(made) -> torch.Tensor:
    """Joints [N, 24, 3] about the pelvis in the y-up world."""
    return (made.joints - made.pelvis[:, None]) @ made.R_camera_world


def of(made, family: str) -> torch.Tensor:
    return made.family == FAMILIES.index(family)


def bend_deg(joints: torch.Tensor, a: int, b: int, c: int) -> torch.Tensor:
    first, second = joints[:, b] - joints[:, a], joints[:, c] - joints[:, b]
    return torch.rad2deg(torch.atan2(torch.linalg.cross(first, second).norm(dim=-1), (first * second).sum(-1)))


def hips_deg(made) -> torch.Tensor:
    """[N, 2] angles between each thigh and the pelvis' axis."""
    thighs = torch.nn.functional.normalize(made.joints[:, [4, 5]] - made.joints[:, [1, 2]], dim=-1)
    return (-(thighs * made.rotations[:, None, 0, :, 1]).sum(-1)).acos().rad2deg()


def test_bodies_could_do_it(body, made):
    assert len(made) == 400 and [int(of(made, f).sum()) for f in FAMILIES] == [100] * 4
    assert float(limit_excess(made.rotations).max()) < 1e-4
    assert not self_intersects(body, made.rotations).any()


def test_families_have_the_angles_they_promise(made, upright):
    knees = torch.stack([bend_deg(upright, 1, 4, 7), bend_deg(upright, 2, 5, 8)], 1)
    hips, seated = hips_deg(made), of(made, "seated")
    # Angles of bones, which are not quite straight in the mean body at rest.
    assert float(knees[seated].min()) > 83 and float(knees[seated].max()) < 143
    assert float(hips[seated].min()) > 85 and float(hips[seated].max()) < 135
    assert float(hips[seated].quantile(0.9)) > 120 and float(hips[seated].quantile(0.1)) < 100
    kicking = hips[of(made, "kick")].amax(1)
    assert float(kicking.min()) > 55 and float(kicking.max()) < 115 and float(kicking.max() - kicking.min()) > 45
    trunk = torch.nn.functional.normalize(upright[:, 12] - upright[:, 0], dim=-1)[:, 1].acos().rad2deg()
    bent = trunk[of(made, "bent")]
    assert float(bent.min()) >= 60 - 1e-3 and float(bent.max()) <= 100 + 1e-3 and float(bent.max() - bent.min()) > 35
    # On the floor the pelvis is low: at most a thigh above the knee that it kneels on.
    low = -upright[of(made, "floor")][..., 1].amin(1)
    assert float(low.max()) < 0.6 and float(low.median()) < 0.4


def test_cameras_look_down_at_the_whole_body(made):
    up = made.R_camera_world[:, :, 1]
    pitch = torch.atan2(-up[:, 2], -up[:, 1]).rad2deg()
    assert float(pitch.min()) >= 10 and float(pitch.max()) <= 30 and float(up[:, 0].abs().max()) < 1e-6
    camera = made_camera()
    assert 2 * np.rad2deg(np.arctan(camera.height / 2 / camera.fy)) == pytest.approx(59.5)
    points = np.stack([k.points_px for k in made.keypoints(False)])
    assert points.min() >= 0 and (points < [camera.width, camera.height]).all()
    middle = made.joints.mean(1)[:, 2]
    assert 2.6 < float(middle.min()) and float(middle.max()) < 4.4
    heading = torch.atan2(*(made.R_camera_world.mT @ made.rotations[:, 0])[:, [0, 2], 0].T)
    assert float(heading.cos().mean().abs()) < 0.15 and float(heading.sin().mean().abs()) < 0.15


def test_depths_are_those_beyond_the_mid_hip_along_the_ray_through_the_person(made):
    """Independently: along the ray through the middle of the box of rays."""
    points = made._points[1]
    keypoints = made.keypoints(True)
    for i in range(0, 400, 37):
        rays = points[i, :, :2] / points[i, :, 2:]
        centre = torch.cat([0.5 * (rays.amin(0) + rays.amax(0)), torch.ones(1)])
        along = points[i] @ centre / centre.norm()
        assert np.allclose(keypoints[i].depth_m, along - along[8], atol=1e-4)
        assert np.allclose(keypoints[i].points_px[0], made_camera().matrix[:2] @ [*rays[0].tolist(), 1.0], atol=1e-2)


class TruthfulLifter:
    """Answers with the truth, turned and moved as a whole; of kicks without depth an arm is bent by ``bend`` rad."""

    def __init__(self, made: MadePoseSet, bend: float = 0.0) -> None:
        self.made, self.bend, self.body, self.device, self.asked = made, bend, made.body, made.body.device, []

    def lift(self, keypoints, intrinsics, settings):
        i = len(self.asked) % len(self.made)
        self.asked.append((keypoints, intrinsics, settings))
        rotations = self.made.rotations[i : i + 1].clone()
        turn = torch.tensor([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]])
        rotations[:, 0] = turn @ rotations[:, 0]
        if keypoints.depth_m is None and self.made.family[i] == FAMILIES.index("kick"):
            c, s = np.cos(self.bend), np.sin(self.bend)
            rotations[:, 16] = rotations[:, 16] @ torch.tensor([[c, -s, 0], [s, c, 0], [0, 0, 1]], dtype=torch.float32)
        return PoseHypotheses(rotations, torch.tensor([[9.0, 0, 2]]), torch.zeros(1))


def test_the_truth_scores_zero_and_errors_count_where_they_are(made):
    lifter = TruthfulLifter(made)
    calls = SimpleNamespace(count=0)

    def progress() -> None:
        calls.count += 1

    scores = made_poses_scores(lifter, LiftingSettings(keypoint_noise=0.05), progress)
    names = [f"made_poses_{d}pa_mpjpe_mm{f}" for d in ("", "depth_") for f in ("", *(f"_{x}" for x in FAMILIES))]
    assert sorted(scores) == sorted(names) and max(scores.values()) < 0.01
    assert calls.count == len(lifter.asked) == 800
    assert all(settings.keypoint_noise == 0 for _, _, settings in lifter.asked)
    assert all((k.depth_m is None) == (i < 400) and (k.confidence == 1).all() for i, (k, *_) in enumerate(lifter.asked))
    bent = made_poses_scores(TruthfulLifter(made, bend=0.5))
    wrong = bent.pop("made_poses_pa_mpjpe_mm_kick")
    assert wrong > 5 and bent.pop("made_poses_pa_mpjpe_mm") == pytest.approx(wrong / 4, abs=0.01)
    assert max(bent.values()) < 0.01


def test_the_rules_and_the_seed_that_are_here_drew_the_file(body, made):
    """The file's first poses; all of them take half a minute."""
    drawn = draw_family(body, np.random.default_rng(SEED), "seated", 15)
    assert np.allclose(made.rotations[:15, 1:].numpy(), drawn[:, 1:], atol=1e-5)
    few = draw(body, seed=3, each=1)
    with np.load(DATA) as data:
        assert {name: (x.dtype, x.shape[1:]) for name, x in few.items()} == {
            name: (data[name].dtype, data[name].shape[1:]) for name in data.files
        }
