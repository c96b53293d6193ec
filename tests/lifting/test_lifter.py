"""The condition's invariances, the translation solver, guidance and the lifter on real poses."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import roma
import torch
from safetensors.torch import save_file

from diffmocap import compiler
from diffmocap.body.model import BodyModel
from diffmocap.body.rotations import matrix_from_6d
from diffmocap.camera.projection import NEAREST_M, project, rays_from_pixels
from diffmocap.device import resolve_device
from diffmocap.errors import AbandonedError, DeviceError, ModelFileError, SettingsError
from diffmocap.lifting.lifter import Lifter
from diffmocap.lifting.network.condition import condition_from_rays, root_from_network, root_to_network
from diffmocap.lifting.network.denoiser import DenoiserConfig, TransformerDenoiser
from diffmocap.lifting.network.weights import load_weights, save_weights
from diffmocap.lifting.sampling.ddim import ddim_sample, ddim_timesteps
from diffmocap.lifting.sampling.guidance import EVERYWHERE, guided_denoiser, weights_along
from diffmocap.lifting.sampling.schedule import NoiseSchedule
from diffmocap.lifting.settings import LiftingSettings
from diffmocap.lifting.translation import solve_translation
from diffmocap.types import CameraIntrinsics, Keypoints2D

TINY = DenoiserConfig(width=32, heads=2, feedforward=32, decoder_layers=2)


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return BodyModel.load()


@pytest.fixture(scope="module")
def model() -> TransformerDenoiser:
    torch.manual_seed(0)
    return TransformerDenoiser(TINY).eval().requires_grad_(False)


def some_pose(n: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(seed)
    rotations = roma.rotvec_to_rotmat(0.3 * torch.randn(n, 24, 3, generator=g))
    upright = torch.tensor([1.0, -1, -1]).diag()
    rotations = torch.cat([(upright @ rotations[:, 0])[:, None], rotations[:, 1:]], 1)
    pelvis = torch.cat([torch.rand(n, 2, generator=g) * 2 - 1, 3 + 3 * torch.rand(n, 1, generator=g)], -1)
    return rotations, pelvis


def test_projection_inverts_and_agrees_with_opencv():
    import cv2

    K = torch.tensor([[500.0, 0, 330], [0, 520, 250], [0, 0, 1]])
    points = torch.randn(7, 3, generator=torch.Generator().manual_seed(0)) * 0.5 + torch.tensor([0.0, 0, 4])
    px = project(points, K)
    reference = cv2.projectPoints(
        points.numpy().astype(np.float64), np.zeros(3), np.zeros(3), K.numpy().astype(np.float64), None
    )[0]
    assert np.allclose(px.numpy(), reference[:, 0], atol=1e-3)
    assert torch.allclose(rays_from_pixels(px, K), points[:, :2] / points[:, 2:], atol=1e-5)
    batched = project(points.expand(3, 7, 3), K.expand(3, 3, 3))
    assert torch.allclose(batched[1], px)


@pytest.mark.parametrize("compiles", [True, False], ids=["machine code", "NumPy"])
def test_translation_is_recovered_and_survives_outliers(body, compiles, monkeypatch):
    rotations, pelvis = some_pose(8)
    points = body.keypoints(rotations, torch.zeros(8, 3))
    placed = points + pelvis[:, None]
    rays = placed[..., :2] / placed[..., 2:]
    monkeypatch.setattr(compiler, "available", lambda: compiles)
    assert torch.allclose(solve_translation(points, rays, torch.ones(8, 25)), pelvis, atol=1e-3)
    weights = torch.ones(8, 25)
    weights[:, :10] = 0
    broken = rays.clone()
    broken[:, :10] = 99.0
    assert torch.allclose(solve_translation(points, broken, weights), pelvis, atol=2e-3)
    wild = rays.clone()
    wild[:, 3] += 0.2
    plain = solve_translation(points, wild, torch.ones(8, 25), iterations=1)
    robust = solve_translation(points, wild, torch.ones(8, 25), iterations=6)
    assert (robust - pelvis).norm(dim=-1).mean() < 0.5 * (plain - pelvis).norm(dim=-1).mean()


@pytest.mark.parametrize("iterations", [1, 3, 6])
def test_machine_code_translates_as_numpy_does(iterations, monkeypatch):
    """Of points about bodies that stand near, far, or would have to stand behind the camera, with wild rays."""
    generator = torch.Generator().manual_seed(0)
    points = 0.5 * torch.randn(40, 25, 3, generator=generator).double()
    place = torch.tensor([0.3, -0.2, 1.0]) * torch.linspace(0.5, 8.0, 40)[:, None]
    rays = (points + place[:, None])[..., :2] / (points + place[:, None])[..., 2:].clamp_min(0.1)
    rays = rays + 0.02 * torch.randn(40, 25, 2, generator=generator).double()
    rays[::4, :3] += 0.5
    rays[1::8] *= -1.0  # mirrored: no place before the camera covers them
    weights = torch.rand(40, 25, generator=generator).double()
    weights[:, 20:] = 0.0
    compiled = solve_translation(points, rays, weights, iterations)
    monkeypatch.setattr(compiler, "available", lambda: False)
    by_numpy = solve_translation(points, rays, weights, iterations)
    torch.testing.assert_close(compiled, by_numpy, rtol=1e-9, atol=1e-9)
    assert float(compiled[:, 2].min()) == NEAREST_M and float(compiled[:, 2].max()) > 4.0


@pytest.mark.parametrize("wrong", ["weights", "rays", "iterations"])
def test_a_translation_of_other_shapes_is_refused(wrong):
    given = {"points": torch.ones(4, 25, 3), "rays": torch.ones(4, 25, 2), "weights": torch.ones(4, 25)}
    given |= {"iterations": 0} if wrong == "iterations" else {wrong: given[wrong][:1]}
    with pytest.raises(SettingsError, match="a translation takes"):
        solve_translation(**given)


def test_condition_does_not_depend_on_where_the_person_stands_in_the_view():
    """Turning the camera leaves the crop's keypoints alone, up to the box that is measured in the image."""
    rotations, pelvis = some_pose(1)
    body = BodyModel.load()
    points = body.keypoints(rotations, torch.tensor([[0.0, 0.0, 4.0]]))
    turned = points @ roma.rotvec_to_rotmat(torch.tensor([0.0, 0.35, 0.0])).T
    conditions = [condition_from_rays(p[..., :2] / p[..., 2:], torch.ones(1, 25)) for p in (points, turned)]
    assert torch.allclose(conditions[0].points, conditions[1].points, atol=0.05)
    assert (conditions[0].view - conditions[1].view).abs().max() > 0.2  # but the view token says it


def test_condition_is_scale_free_and_masks_missing_points():
    rays = torch.randn(2, 25, 2, generator=torch.Generator().manual_seed(0)) * 0.01
    confidence = torch.ones(2, 25)
    confidence[:, 5] = 0
    rays[:, 5] = 1e6
    c = condition_from_rays(rays, confidence)
    assert float(c.points.abs().max()) == pytest.approx(1.0, abs=1e-5)
    assert (c.points[:, 5] == 0).all()
    small = condition_from_rays(torch.where(confidence[..., None] > 0, rays * 0.1, rays), confidence)
    assert torch.allclose(small.points, c.points, atol=5e-3)


def test_root_frames_are_inverse_to_each_other():
    rotations, _ = some_pose(4)
    R = roma.random_rotmat(4)
    assert torch.allclose(root_from_network(root_to_network(rotations, R), R), rotations, atol=1e-5)


def test_missing_keypoints_do_not_reach_the_network(model):
    c = condition_from_rays(torch.randn(1, 25, 2) * 0.1, torch.ones(1, 25))
    c.confidence[:, 7] = 0
    x, t = torch.randn(1, 24, 6), torch.tensor([500])
    before = model(x, t, model.encode_condition(c))
    c.points[:, 7] = 123.0
    assert torch.allclose(model(x, t, model.encode_condition(c)), before, atol=1e-6)


def test_null_condition_ignores_the_observation(model):
    dropped = torch.zeros(1, dtype=torch.bool)
    x, t = torch.randn(1, 24, 6), torch.tensor([500])
    outputs = [
        model(x, t, model.encode_condition(condition_from_rays(torch.randn(1, 25, 2), torch.ones(1, 25)), dropped))
        for _ in range(2)
    ]
    assert torch.allclose(outputs[0], outputs[1])
    assert torch.allclose(outputs[0], model(x, t, model.null_code(1)))


def test_the_settings_guidance_reaches_the_samples(body, model):
    """What the lifter samples is what the guided denoiser of that weight makes of the same noise."""
    lifter = Lifter(model, body)
    condition = condition_from_rays(0.1 * torch.randn(1, 25, 2, generator=torch.Generator().manual_seed(0)),
                                    torch.ones(1, 25))  # fmt: skip
    times, found = ddim_timesteps(1000, 5), {}
    for weight in (0.0, 2.0):
        settings = LiftingSettings(guidance=weight, steps=5, hypotheses=2, sampler="ddim", temperature=1.0, seed=4)
        found[weight] = lifter.sample(condition, settings)
        noise = torch.randn(2, 24, 6, generator=torch.Generator().manual_seed(4))
        code = model.encode_condition(condition).repeat(2)
        denoise = guided_denoiser(model, lifter.schedule, code, weight, timesteps=times)
        x = model.unstandardise(ddim_sample(denoise, noise, lifter.schedule, times))
        wanted = root_from_network(matrix_from_6d(x), condition.R_camera_crop.expand(2, 3, 3))
        torch.testing.assert_close(found[weight], wanted, atol=1e-4, rtol=0)
        lifter = Lifter(model, body)
    assert float((found[2.0] - found[0.0]).abs().max()) > 1e-2


@pytest.mark.parametrize("kind", ["epsilon", "x0", "v"])
@pytest.mark.parametrize("weight", [0.0, 0.5, 2.0])
def test_guidance_is_the_papers_formula_in_epsilon(kind, weight):
    from dataclasses import replace

    torch.manual_seed(1)
    model = TransformerDenoiser(replace(TINY, parameterisation=kind)).eval().requires_grad_(False)
    schedule = NoiseSchedule()
    c = condition_from_rays(torch.randn(3, 25, 2) * 0.1, torch.ones(3, 25))
    x, t = torch.randn(3, 24, 6), 300
    times = torch.full((3,), t)
    code = model.encode_condition(c)
    _, conditional = schedule.x0_and_epsilon(model(x, times, code), x, times, kind)
    _, unconditional = schedule.x0_and_epsilon(model(x, times, model.null_code(3)), x, times, kind)
    _, guided = guided_denoiser(model, schedule, code, weight)(x, t)
    assert torch.allclose(guided, (weight + 1) * conditional - weight * unconditional, atol=1e-4)


def test_guidance_acts_within_its_interval_only(model):
    schedule = NoiseSchedule()
    c = condition_from_rays(torch.randn(2, 25, 2) * 0.1, torch.ones(2, 25))
    code, x = model.encode_condition(c), torch.randn(2, 24, 6)
    plain = guided_denoiser(model, schedule, code, 0.0)
    guided, everywhere = (guided_denoiser(model, schedule, code, 2.0, interval=i) for i in ((0.3, 0.7), EVERYWHERE))
    for t, acts in ((50, False), (300, True), (700, False)):
        ratio = float(schedule.sigma[t] / schedule.signal[t])
        assert (0.3 <= ratio <= 0.7) == acts
        assert torch.equal(guided(x, t)[0], (everywhere if acts else plain)(x, t)[0])
        assert not torch.allclose(everywhere(x, t)[0], plain(x, t)[0], atol=1e-4)


@pytest.mark.parametrize("steps", [1, 2, 3, 5, 7, 50, 400])
def test_the_steps_guidance_adds_up_to_the_interval(steps):
    schedule = NoiseSchedule()
    timesteps = ddim_timesteps(schedule.steps, steps)
    ratios = [float(schedule.sigma[t] / schedule.signal[t]) for t in timesteps] + [0.0]
    weights = weights_along(schedule, timesteps, 2.0)
    total = sum(weights[t] * (ratios[i] - ratios[i + 1]) for i, t in enumerate(timesteps))
    # Up to six steps the last one, which is not guided, crosses a part of it.
    assert total == pytest.approx(2.0 * (0.7 - min(max(0.3, ratios[-2]), 0.7)))
    assert all(0.0 <= w <= 2.0 for w in weights.values()) and weights[timesteps[-1]] == 0.0
    assert (total == pytest.approx(0.8)) == (steps >= 7)
    if steps == 400:  # where steps are small, it is all or nothing but for the two that cross the ends
        assert sum(0.0 < w < 2.0 for w in weights.values()) <= 2
    assert set(weights_along(schedule, timesteps, 2.0, EVERYWHERE).values()) == {2.0}


def test_guidance_along_a_trajectory_uses_the_steps_weights(model):
    schedule = NoiseSchedule()
    timesteps = ddim_timesteps(schedule.steps, 3)
    code = model.encode_condition(condition_from_rays(torch.randn(2, 25, 2) * 0.1, torch.ones(2, 25)))
    x = torch.randn(2, 24, 6)
    along = guided_denoiser(model, schedule, code, 2.0, timesteps=timesteps)
    for t, w in weights_along(schedule, timesteps, 2.0).items():
        alike = guided_denoiser(model, schedule, code, w, interval=EVERYWHERE)
        assert torch.allclose(along(x, t)[0], alike(x, t)[0], atol=1e-6)


def test_batching_does_not_change_a_row(model):
    rays = torch.randn(4, 25, 2, generator=torch.Generator().manual_seed(2)) * 0.1
    x, t = torch.randn(4, 24, 6), torch.tensor([3, 100, 500, 999])
    whole = model(x, t, model.encode_condition(condition_from_rays(rays, torch.ones(4, 25))))
    for i in range(4):
        one = condition_from_rays(rays[i : i + 1], torch.ones(1, 25))
        assert torch.allclose(model(x[i : i + 1], t[i : i + 1], model.encode_condition(one))[0], whole[i], atol=1e-5)


def keypoints_of(body: BodyModel, rotations, pelvis, camera: CameraIntrinsics) -> Keypoints2D:
    px = project(body.keypoints(rotations, pelvis), torch.tensor(camera.matrix, dtype=torch.float32))[0]
    return Keypoints2D(px.numpy(), np.ones(25, np.float32), camera.width, camera.height, 123)


@pytest.mark.parametrize("student, sampler", [(None, "ddim"), ({"sampler": "consistency"}, "consistency")])
def test_weights_say_which_sampler_they_were_made_for(model, body, tmp_path, student, sampler):
    path = tmp_path / "weights.safetensors"
    save_weights(model, path, {"step": 1} | ({"student": student} if student else {}))
    lifter = Lifter(load_weights(path), body)
    assert lifter.model.student == student
    condition = condition_from_rays(torch.randn(2, 25, 2, generator=torch.Generator().manual_seed(3)) * 0.1,
                                    torch.ones(2, 25))  # fmt: skip
    found = {
        name: lifter.sample(condition, LiftingSettings(sampler=name, steps=2, temperature=1.0, fresh_noise=False))
        for name in ("auto", "ddim", "consistency")
    }
    assert torch.equal(found["auto"], found[sampler])
    assert not torch.allclose(found["ddim"], found["consistency"], atol=1e-3)


def test_lifter_is_repeatable_and_covers_the_keypoints(model, body):
    rotations, _ = some_pose(1)
    camera = CameraIntrinsics.from_fov(640, 480)
    keypoints = keypoints_of(body, rotations, torch.tensor([[0.4, 0.1, 4.0]]), camera)
    settings = LiftingSettings(hypotheses=3, steps=2)
    first, second = (Lifter(model, body).lift(keypoints, camera, settings) for _ in range(2))
    assert torch.equal(first.rotations, second.rotations) and torch.equal(first.pelvis, second.pelvis)
    assert first.rotations.shape == (3, 24, 3, 3) and first.pelvis.shape == (3, 3) and first.stamp_ns == 123
    identity = first.rotations @ first.rotations.transpose(-1, -2)
    assert torch.allclose(identity, torch.eye(3).expand_as(identity), atol=1e-4)
    other = Lifter(model, body).lift(keypoints, camera, LiftingSettings(hypotheses=3, steps=2, seed=1))
    assert not torch.equal(first.rotations, other.rotations)


def test_noise_is_fresh_or_fixed_and_scaled(model, body):
    rotations, pelvis = some_pose(1)
    camera = CameraIntrinsics.from_fov(640, 480)
    keypoints = keypoints_of(body, rotations, pelvis, camera)

    def two_frames(**changes):
        settings = replace(LiftingSettings(temperature=1.0, fresh_noise=True, hypotheses=1), **changes)
        lifter = Lifter(model, body)
        return [lifter.lift(keypoints, camera, settings).rotations for _ in range(2)]

    fresh, fixed = two_frames(), two_frames(fresh_noise=False)
    assert torch.equal(fresh[0], fixed[0]) and torch.equal(fixed[0], fixed[1])
    assert not torch.allclose(fresh[0], fresh[1])
    steady = two_frames(temperature=0.0, hypotheses=3)
    assert torch.allclose(steady[0][0], steady[1][0])  # the first hypothesis starts from the centre
    assert not torch.allclose(steady[0][1], steady[0][2]) and not torch.allclose(steady[0][1], steady[1][1])


def test_the_level_of_the_keypoints_noise_is_told(model, body, monkeypatch):
    """The settings' level stands in the view that the network is told, and changes what it says."""
    rotations, pelvis = some_pose(1)
    camera, told, found = CameraIntrinsics.from_fov(640, 480), [], []
    keypoints = keypoints_of(body, rotations, pelvis, camera)
    for noise in (0.0, 0.08):
        lifter = Lifter(model, body)
        sample = lifter.sample
        monkeypatch.setattr(lifter, "sample", lambda c, *a, sample=sample: told.append(c) or sample(c, *a))
        found.append(lifter.lift(keypoints, camera, LiftingSettings(keypoint_noise=noise)).rotations)
    assert [float(c.view[0, 3]) for c in told] == pytest.approx([0.0, 0.08])
    assert not torch.allclose(*found)


def test_the_score_weighs_keypoints_by_their_confidence(model, body):
    """Two hypotheses' scores are as their weighted distances in the image, and what is not seen counts for none."""
    rotations, pelvis = some_pose(1)
    camera = CameraIntrinsics.from_fov(640, 480)
    keypoints = keypoints_of(body, rotations, pelvis, camera)
    confidence = np.linspace(0.31, 1.0, 25).astype(np.float32)
    confidence[[3, 9]] = 0.0
    points_px = keypoints.points_px.copy()
    points_px[[3, 9]] = 1e4
    keypoints = Keypoints2D(points_px, confidence, 640, 480, 0)
    poses = Lifter(model, body).lift(keypoints, camera, LiftingSettings(steps=2, temperature=1.0, hypotheses=2))
    found = project(body.keypoints(poses.rotations, poses.pelvis), torch.tensor(camera.matrix, dtype=torch.float32))
    distance = (found - torch.from_numpy(points_px)).norm(dim=-1)
    weighted = (distance * torch.from_numpy(confidence)).sum(1)
    assert float(poses.score[1] / poses.score[0]) == pytest.approx(float(weighted[1] / weighted[0]), rel=1e-3)
    assert not torch.allclose(weighted[0], weighted[1], rtol=0.01)


def test_warm_start_stays_near_the_previous_pose(body):
    """With an all-zero prediction of v, x_t decays towards the start; a late warm start must keep the pose."""
    torch.manual_seed(0)
    from dataclasses import replace

    model = TransformerDenoiser(replace(TINY, parameterisation="v")).eval().requires_grad_(False)
    for p in model.out.parameters():
        p.zero_()
    rotations, pelvis = some_pose(1)
    camera = CameraIntrinsics.from_fov(640, 480)
    keypoints = keypoints_of(body, rotations, pelvis, camera)
    lifter = Lifter(model, body)
    start = lifter.lift(keypoints, camera, LiftingSettings())
    start.rotations[:] = rotations
    near = lifter.lift(keypoints, camera, LiftingSettings(warm_start=True, warm_start_time=0.05), start)
    far = lifter.lift(keypoints, camera, LiftingSettings(warm_start=False), start)
    angle = roma.rotmat_geodesic_distance
    assert angle(near.rotations[0], rotations[0]).mean() < 0.2 < angle(far.rotations[0], rotations[0]).mean()


def test_too_few_keypoints_give_no_pose(model, body):
    camera = CameraIntrinsics.from_fov(640, 480)
    confidence = np.zeros(25, np.float32)
    confidence[:5] = 1
    assert Lifter(model, body).lift(Keypoints2D(np.ones((25, 2), np.float32), confidence, 640, 480), camera) is None


@pytest.mark.parametrize(
    "bad", [{"guidance": -1}, {"steps": 0}, {"hypotheses": 0}, {"sampler": "euler"}, {"warm_start_time": 0.0}]
)
def test_settings_are_validated(bad):
    with pytest.raises(SettingsError, match=next(iter(bad))):
        LiftingSettings(**bad)


def test_devices():
    assert resolve_device("cpu").type == "cpu"
    with pytest.raises(DeviceError, match="tpu"):
        resolve_device("tpu")
    if not torch.cuda.is_available():
        with pytest.raises(DeviceError, match="cuda"):
            resolve_device("cuda")


def test_weights_round_trip_and_bad_files(model, tmp_path):
    path = tmp_path / "w.safetensors"
    save_weights(model, path, {"step": 3})
    loaded = load_weights(path)
    assert loaded.config == model.config
    for a, b in zip(loaded.state_dict().values(), model.state_dict().values()):
        assert torch.allclose(a, b, atol=1e-3)
    corrupt = tmp_path / "c.safetensors"
    corrupt.write_bytes(path.read_bytes()[:1000])
    other = tmp_path / "o.safetensors"
    save_file({"a": torch.zeros(1)}, other)
    mismatched = tmp_path / "m.safetensors"
    save_file(
        {"a": torch.zeros(1)},
        mismatched,
        {"format": "diffmocap-lifting-1", "config": json.dumps({"width": 32, "heads": 2})},
    )
    for bad, words in (
        (corrupt, "corrupt"),
        (other, "no lifting weights"),
        (mismatched, "does not fit"),
        (tmp_path / "n", "does not exist"),
    ):
        with pytest.raises(ModelFileError, match=words):
            load_weights(bad)


def test_a_pose_in_the_making_is_abandoned_and_the_next_is_made(model, body, monkeypatch):
    """As for a thousand steps when fewer are asked for: the sampler ends before its next one."""
    lifter, camera = Lifter(model, body), CameraIntrinsics.from_fov(640, 480)
    keypoints = keypoints_of(body, *some_pose(1), camera)
    calls = 0

    def counted(*arguments, **named):
        denoise = guided_denoiser(*arguments, **named)

        def count_and_abandon(x_t, t):
            nonlocal calls
            calls += 1
            if calls == 5:
                lifter.abandon()
            return denoise(x_t, t)

        return count_and_abandon

    monkeypatch.setattr("diffmocap.lifting.lifter.guided_denoiser", counted)
    with pytest.raises(AbandonedError):
        lifter.lift(keypoints, camera, LiftingSettings(steps=1000))
    assert calls == 5
    lifter.abandon()  # too late for anything
    assert lifter.lift(keypoints, camera, LiftingSettings(steps=2)) is not None
