"""A student of guided paths: it hears the weight, spares the null branch, and is asked where several poses are."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from diffmocap.body.model import BodyModel
from diffmocap.lifting.lifter import MEAN_WORTH, Lifter
from diffmocap.lifting.network import weights as weights_module
from diffmocap.lifting.network.acceleration import accelerate
from diffmocap.lifting.network.ray_denoiser import RayDenoiser
from diffmocap.lifting.network.weights import load_student, load_weights, save_weights
from diffmocap.lifting.sampling.guidance import guided_denoiser, is_guided
from diffmocap.lifting.sampling.schedule import NoiseSchedule
from diffmocap.lifting.settings import LiftingSettings
from diffmocap.resources import sha256_of
from diffmocap.types import CameraIntrinsics
from tests.lifting.test_ray_denoiser import TINY, keypoints, told

CAMERA = CameraIntrinsics.from_fov(640, 480)
SCHEDULE = NoiseSchedule()


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return BodyModel.load()


def network(body, guided: bool, seed: int = 0) -> RayDenoiser:
    torch.manual_seed(seed)
    model = RayDenoiser(replace(TINY, guided=guided)).eval().requires_grad_(False)
    model.head.set_body(body)
    if guided:
        torch.nn.init.normal_(model.guidance_in.layers[-1].weight, std=0.3)
        model.student = {"sampler": "consistency", "guidance": 2.0}
    return model


def x0(model, code, weight) -> torch.Tensor:
    x = torch.randn(len(code), 24, 6, generator=torch.Generator().manual_seed(1))
    return guided_denoiser(model, SCHEDULE, code, weight)(x, 999)[0]


def test_a_new_input_changes_nothing_until_it_has_learnt(body):
    torch.manual_seed(0)
    plain, guided = RayDenoiser(TINY).eval(), RayDenoiser(replace(TINY, guided=True)).eval()
    for model in (plain, guided):
        model.head.set_body(body)
    missing = guided.load_state_dict(plain.state_dict(), strict=False).missing_keys
    assert missing and all(name.startswith("guidance_in.") for name in missing)
    code = plain.encode_condition(told(3))
    assert torch.allclose(x0(guided, code, 1.5), x0(plain, code, 0.0), atol=1e-6)


def test_the_weight_is_heard_and_needs_no_null_branch(body):
    model, y, rows = network(body, guided=True), told(3), []
    code = model.encode_condition(y)
    forward = model.forward
    model.forward = lambda x, t, code: rows.append(len(x)) or forward(x, t, code)
    plain, guided = x0(model, code, 0.0), x0(model, code, 1.5)
    assert is_guided(model) and rows == [3, 3]
    assert ((plain - guided).abs().amax((1, 2)) > 1e-3).all()
    fast = accelerate(model)
    assert torch.allclose(x0(fast, fast.encode_condition(y), 1.5), guided, atol=1e-4)


def test_a_weight_for_each_row_is_that_rows_guidance(body):
    """Of a teacher, both branches; of a student, its input."""
    for guided in (False, True):
        model = network(body, guided)
        code, each = model.encode_condition(told(3)), torch.tensor([0.0, 0.7, 2.0])
        together = x0(model, code, each[:, None, None])
        for row, weight in enumerate(each.tolist()):
            assert torch.allclose(together[row], x0(model, code, weight)[row], atol=1e-4)


def test_it_survives_a_file(body, tmp_path):
    save_weights(network(body, guided=True), tmp_path / "s.safetensors", {"student": {"sampler": "consistency"}})
    loaded = load_weights(tmp_path / "s.safetensors")
    assert loaded.config.guided and loaded.student == {"sampler": "consistency"}


def test_it_is_taken_only_where_the_weights_are_its_teacher(body, tmp_path, monkeypatch):
    save_weights(network(body, guided=False), tmp_path / "teacher.safetensors")
    save_weights(network(body, guided=False, seed=1), tmp_path / "other.safetensors")
    teacher = {"student": {"sampler": "consistency", "teacher_sha256": sha256_of(tmp_path / "teacher.safetensors")}}
    save_weights(network(body, guided=True), tmp_path / "student.safetensors", teacher)
    monkeypatch.setattr(weights_module, "weights_file", lambda path: tmp_path / f"{path}.safetensors")
    for name, expected in (("teacher", True), ("other", False), ("student", False)):
        assert (load_student(name, load_weights(name)) is not None) == expected


@pytest.mark.parametrize(
    ("changes", "student"),
    [
        ({}, True), ({"hypotheses": 1}, False), ({"sampler": "ddim"}, False), ({"warm_start": True}, False),
    ],
)  # fmt: skip
def test_it_draws_several_hypotheses_from_the_image_alone(body, changes, student):
    lifter, used = Lifter(network(body, guided=False), body, network(body, guided=True, seed=1)), []
    for name, part in (("teacher", lifter), ("student", lifter.student)):
        evaluate = part.network
        part.network = Counted(evaluate, name, used)
    settings = replace(LiftingSettings(hypotheses=4, guidance=0.5), **changes)
    poses = lifter.lift(keypoints(), CAMERA, settings)
    assert used.count("student") == int(student)
    if student:
        assert used.count("teacher") == 1, "the mean"
    assert len(poses.score) == settings.hypotheses and float(poses.worth[0]) == 1.0 + MEAN_WORTH * (
        settings.hypotheses - 1
    )


class Counted:
    """A network that notes each evaluation."""

    def __init__(self, network, name: str, used: list[str]) -> None:
        self._network, self._name, self._used = network, name, used

    def __getattr__(self, name):
        return getattr(self._network, name)

    def __call__(self, *given):
        self._used.append(self._name)
        return self._network(*given)


def test_guidance_and_seed_reach_the_samples_and_not_their_centre(body):
    lifter = Lifter(network(body, guided=False), body, network(body, guided=True, seed=1))

    def lifted(**changes):
        return lifter.lift(keypoints(), CAMERA, LiftingSettings(hypotheses=4, fresh_noise=False, **changes)).rotations

    same, again = lifted(guidance=0.5), lifted(guidance=0.5)
    assert torch.equal(same, again), "fixed noise repeats itself"
    seed, weight = lifted(guidance=0.5, seed=1), lifted(guidance=1.5)
    assert ((seed - same)[1:].abs().amax((1, 2, 3)) > 1e-3).all() and torch.allclose(seed[0], same[0], atol=1e-5)
    assert ((weight - same)[1:].abs().amax((1, 2, 3)) > 1e-3).all() and torch.allclose(weight[0], same[0], atol=1e-5)
    # More than it was taught means the most that it was taught.
    assert torch.equal(lifted(guidance=2.0), lifted(guidance=5.0))
