"""The paper's MLP: what it sees, what it must not see, and that it learns through the same interface."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from diffmocap.body.model import BodyModel
from diffmocap.body.rotations import sixd_from_matrix
from diffmocap.errors import SettingsError
from diffmocap.evaluation.paper_protocol import paper_view
from diffmocap.lifting.lifter import Lifter
from diffmocap.lifting.network.condition import Condition
from diffmocap.lifting.network.mlp_denoiser import MlpCode, MlpConfig, MlpDenoiser
from diffmocap.lifting.network.weights import load_weights, save_weights
from diffmocap.lifting.sampling.ddim import ddim_sample, ddim_timesteps
from diffmocap.lifting.sampling.guidance import guided_denoiser
from diffmocap.lifting.sampling.schedule import NoiseSchedule
from diffmocap.lifting.settings import LiftingSettings
from diffmocap.types import CameraIntrinsics, Keypoints2D

TINY = MlpConfig(width=192, layers=2, time_width=32)


def random_condition(n: int, seed: int = 0) -> Condition:
    g = torch.Generator().manual_seed(seed)
    confidence = torch.rand(n, 25, generator=g) + 0.1
    confidence[:, ::4] = 0.0
    return Condition(
        torch.randn(n, 25, 2, generator=g), confidence, torch.randn(n, 4, generator=g),
        torch.eye(3).expand(n, 3, 3), torch.ones(n),
        depth=torch.randn(n, 25, generator=g), depth_known=(torch.rand(n, 25, generator=g) < 0.5).float(),
        previous=torch.randn(n, 24, 6, generator=g), previous_known=(torch.arange(n) % 2).float(),
    )  # fmt: skip


def first_layer(code: MlpCode) -> torch.Tensor:
    """What the condition adds to the first layer."""
    return code.observed + code.joints


@pytest.fixture
def model() -> MlpDenoiser:
    torch.manual_seed(0)
    return MlpDenoiser(TINY).eval()


def test_what_is_missing_has_no_influence(model):
    y = random_condition(6)
    missing = y.confidence == 0
    other = replace(
        y, points=torch.where(missing[..., None], 7.0, y.points), depth=torch.where(missing, 7.0, y.depth),
        depth_known=torch.where(missing, 1.0, y.depth_known),
        previous=torch.where(y.previous_known[:, None, None] > 0, y.previous, 7.0),
    )  # fmt: skip
    assert torch.equal(first_layer(model.encode_condition(y)), first_layer(model.encode_condition(other)))
    bare = replace(y, previous=None, previous_known=None)
    same = (first_layer(model.encode_condition(y)) == first_layer(model.encode_condition(bare))).all(1)
    assert same.tolist() == [True, False] * 3


def test_what_is_seen_has_influence(model):
    y = random_condition(6)
    code = first_layer(model.encode_condition(y))
    for name in ("points", "confidence", "depth", "depth_known", "view"):
        changed = replace(y, **{name: getattr(y, name) + 0.5})
        assert (first_layer(model.encode_condition(changed)) - code).abs().amax(1).min() > 1e-3, name


def test_null_condition_ignores_everything(model):
    keep = torch.tensor([True, False, True, False])
    a, b = (first_layer(model.encode_condition(random_condition(4, seed), keep)) for seed in (1, 2))
    assert torch.equal(a[~keep], b[~keep]) and not torch.isclose(a[keep], b[keep]).all(1).any()
    assert torch.equal(a[~keep], first_layer(model.null_code(2)))


def test_codes_repeat_and_stack_like_their_conditions(model):
    y = random_condition(3)
    code = model.encode_condition(y)
    both = code.repeat(2).stack(model.null_code(4))
    assert len(both) == 10
    x, t = torch.randn(10, 24, 6), torch.arange(10) * 90
    out = model(x, t, both)
    assert torch.allclose(out[:6:2], model(x[:6:2], t[:6:2], code), atol=1e-5)
    assert torch.allclose(out[6:], model(x[6:], t[6:], model.null_code(4)), atol=1e-5)
    assert torch.allclose(model(x[:6], 90, code.repeat(2)), model(x[:6], torch.full((6,), 90), code.repeat(2)))


def test_it_learns_eight_poses_by_their_conditions():
    torch.manual_seed(0)
    model, schedule = MlpDenoiser(TINY), NoiseSchedule()
    condition = replace(random_condition(8), previous=None, previous_known=None)
    x0 = torch.randn(8, 24, 6)
    optimizer = torch.optim.AdamW(model.parameters(), 2e-3)
    for _ in range(400):
        t = torch.randint(schedule.steps, (64,))
        keep = torch.rand(64) >= 0.1
        target, noise = x0.repeat_interleave(8, 0), torch.randn(64, 24, 6)
        code = model.encode_condition(condition).repeat(8)
        code.observed = torch.where(keep[:, None], code.observed, model.null_vector)
        loss = (model(schedule.add_noise(target, noise, t), t, code) - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        for weight in (0.0, 0.5):
            denoise = guided_denoiser(model, schedule, model.encode_condition(condition), weight)
            sample = ddim_sample(denoise, torch.randn(8, 24, 6), schedule, ddim_timesteps(schedule.steps, 20))
            assert (sample - x0).square().mean() < 0.05  # unit variance before


def test_the_lifter_and_the_weights_file_take_it(model, tmp_path):
    path, body = tmp_path / "mlp.safetensors", BodyModel.load()
    for parameter in model.parameters():
        parameter.data = parameter.data.half().float()  # what the file keeps of them
    save_weights(model, path)
    rotations, pelvis, points = paper_view(body, torch.eye(3).expand(1, 24, 3, 3))
    keypoints = Keypoints2D(480 * points[0].numpy(), np.ones(25, np.float32), 480, 480)
    settings = LiftingSettings(hypotheses=3, guidance=0.5, steps=4, temperature=1.0)
    results = []
    for network in (model, load_weights(path)):
        lifter, camera = Lifter(network, body), CameraIntrinsics.from_fov(480, 480)
        first = lifter.lift(keypoints, camera, settings)
        results.append(lifter.lift(keypoints, camera, settings, first))
    assert results[0].rotations.shape == (3, 24, 3, 3)
    assert torch.allclose(results[0].rotations, results[1].rotations, atol=1e-4)


def test_configuration_is_checked_and_names_the_architecture():
    assert MlpConfig().as_dict()["architecture"] == "mlp"
    for wrong in ({"layers": 0}, {"time_width": 31}):
        with pytest.raises(SettingsError):
            MlpConfig(**wrong)


def test_standardisation_is_undone(model):
    sixd = sixd_from_matrix(torch.eye(3).expand(2, 24, 3, 3))
    model.pose_mean.fill_(0.3)
    model.pose_std.fill_(2.0)
    assert torch.allclose(model.unstandardise(model.standardise(sixd)), sixd)
    assert torch.allclose(model.standardise(sixd)[0, 0], (sixd[0, 0] - 0.3) / 2)
