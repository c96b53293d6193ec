"""The denoiser with a ray head: what it sees, what it must not see, and its life in files and in the lifter."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from diffmocap.body.model import BodyModel
from diffmocap.errors import SettingsError
from diffmocap.lifting.lifter import Lifter
from diffmocap.lifting.network.acceleration import accelerate
from diffmocap.lifting.network.fused_ray_denoiser import FusedRayDenoiser
from diffmocap.lifting.network.ray_denoiser import RayConfig, RayDenoiser
from diffmocap.lifting.network.weights import load_weights, save_weights
from diffmocap.lifting.settings import LiftingSettings
from diffmocap.types import CameraIntrinsics, Keypoints2D, PastKeypoints
from tests.lifting.test_mlp_denoiser import random_condition

TINY = RayConfig(width=96, layers=2, time_width=32)


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return BodyModel.load()


@pytest.fixture
def model(body) -> RayDenoiser:
    torch.manual_seed(0)
    model = RayDenoiser(TINY).eval()
    model.head.set_body(body)
    return model


def told(n: int):
    g = torch.Generator().manual_seed(5)
    y = random_condition(n)
    confidence = torch.rand(n, 4, 25, generator=g)
    confidence[:, 2] = 0.0
    past = torch.randn(n, 4, 25, 4, generator=g)
    past[..., 3] = confidence
    return replace(
        y, noise=0.05 * torch.rand(n, 25, generator=g), up=torch.nn.functional.normalize(torch.randn(n, 3), dim=-1),
        past=torch.where(confidence[..., None] > 0, past, 0.0),
    )  # fmt: skip


def test_what_is_missing_has_no_influence(model):
    y = told(6)
    missing = y.confidence == 0
    other = replace(
        y, points=torch.where(missing[..., None], 7.0, y.points), depth=torch.where(missing, 7.0, y.depth),
        depth_known=torch.where(missing, 1.0, y.depth_known), noise=torch.where(missing, 7.0, y.noise),
    )  # fmt: skip
    assert torch.equal(model.features(y), model.features(other))


@pytest.mark.parametrize("name", ["points", "confidence", "noise", "depth", "depth_known", "view", "up", "past"])
def test_everything_that_is_told_has_influence(model, name):
    y = told(6)
    value = getattr(y, name)
    changed = replace(y, **{name: torch.where(value != 0, value * 0.7 + 0.05, value)})
    x = torch.randn(6, 24, 6)
    before, after = (model(x, 500, model.encode_condition(c)) for c in (y, changed))
    assert ((before - after).abs().amax((1, 2)) > 1e-6).all()


def test_the_null_condition_knows_nothing(model):
    y, x = told(6), torch.randn(6, 24, 6)
    hidden = model(x, 500, model.encode_condition(y, torch.zeros(6, dtype=torch.bool)))
    assert torch.allclose(hidden, model(x, 500, model.null_code(6)), atol=1e-6)
    # Without rays the head has no part: the trunk's pose stands alone.
    prediction = model.predict(x, 500, model.null_code(6))
    assert torch.equal(prediction.x0, prediction.trunk)
    shown = model(x, 500, model.encode_condition(y))
    assert ((shown - hidden).abs().amax((1, 2)) > 1e-3).all()


def test_rows_of_a_batch_do_not_know_each_other(model):
    y, x = told(6), torch.randn(6, 24, 6)
    code = model.encode_condition(y)
    assert torch.allclose(model(x[2:3], 400, model.encode_condition(y.rows(slice(2, 3)))), model(x, 400, code)[2:3],
                          atol=1e-5)  # fmt: skip
    repeated = code.repeat(2)
    assert torch.allclose(model(x.repeat_interleave(2, 0), 400, repeated)[::2], model(x, 400, code), atol=1e-5)
    stacked = code.stack(model.null_code(6))
    assert len(stacked) == 12
    assert torch.allclose(model(torch.cat([x, x]), 400, stacked)[6:], model(x, 400, model.null_code(6)), atol=1e-5)


def test_weights_survive_a_file_with_their_body(model, tmp_path):
    save_weights(model, tmp_path / "w.safetensors")
    loaded = load_weights(tmp_path / "w.safetensors")
    assert isinstance(loaded, RayDenoiser) and loaded.config == TINY
    assert torch.equal(loaded.head.rest_joints, model.head.rest_joints)
    x, y = torch.randn(3, 24, 6), told(3)
    assert torch.allclose(loaded(x, 9, loaded.encode_condition(y)), model(x, 9, model.encode_condition(y)), atol=0.02)


def test_configurations_that_make_no_sense_are_refused():
    for wrong in ({"layers": 0}, {"time_width": 31}, {"parameterisation": "epsilon"}):
        with pytest.raises(SettingsError):
            RayConfig(**wrong)


def keypoints(seed: int = 0) -> Keypoints2D:
    rng = np.random.default_rng(seed)
    points = rng.uniform(100, 400, (25, 2)).astype(np.float32)
    return Keypoints2D(points, np.ones(25, np.float32), 640, 480)


def test_the_lifter_tells_it_the_past_and_where_up_is(model, body):
    lifter, camera = Lifter(model, body), CameraIntrinsics.from_fov(640, 480)
    past = PastKeypoints(
        np.random.default_rng(1).normal(0, 0.2, (4, 25, 2)).astype(np.float32), np.ones((4, 25), np.float32),
        np.full((4, 25), np.nan, np.float32),
    )  # fmt: skip
    alone = lifter.lift(keypoints(), camera).rotations
    with_past = lifter.lift(keypoints(), camera, past=past).rotations
    with_up = lifter.lift(keypoints(), camera, up=(0.0, -0.8, -0.6)).rotations
    assert not torch.allclose(alone, with_past, atol=1e-4) and not torch.allclose(alone, with_up, atol=1e-4)
    deaf = lifter.lift(keypoints(), camera, LiftingSettings(use_past=False), past=past).rotations
    assert torch.equal(deaf, alone)


@pytest.mark.parametrize("rows", [1, 7])
def test_machine_code_equals_the_law(model, rows):
    fused = accelerate(model)
    assert isinstance(fused, FusedRayDenoiser)
    model.out.weight.data *= 3.0  # poses far from the mean
    y, x = told(rows), torch.randn(rows, 24, 6)
    with torch.no_grad():
        for code, other in (
            (model.encode_condition(y), fused.encode_condition(y)),
            (model.null_code(rows), fused.null_code(rows)),
        ):
            assert torch.allclose(fused(x, 700, other), model(x, 700, code), atol=2e-4)


def test_without_a_compiler_the_law_itself_is_called(model, by_torch):
    assert by_torch(accelerate, model) is model


def test_the_spread_is_the_models_own_at_the_start_of_sampling(model):
    y = told(5)
    with torch.no_grad():
        spread = model.spread_m(model.encode_condition(y))
        start = model.predict(torch.zeros(5, 24, 6), 999, model.encode_condition(y))
        assert torch.allclose(spread.log(), start.log_spread, atol=1e-6) and spread.shape == (5, 24)
        fused = accelerate(model)
        assert torch.allclose(fused.spread_m(fused.encode_condition(y)), spread, rtol=1e-4)
