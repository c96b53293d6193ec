"""What the denoiser hears beyond the paper: the detector's depths and the pose before."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import roma
import torch
from safetensors.torch import load_file, save_file

from diffmocap.body.model import BodyModel
from diffmocap.body.rotations import sixd_from_matrix
from diffmocap.errors import KeypointError
from diffmocap.lifting.lifter import Lifter
from diffmocap.lifting.network.condition import MID_HIP, Condition, condition_from_rays
from diffmocap.lifting.network.denoiser import DenoiserConfig, TransformerDenoiser
from diffmocap.lifting.network.weights import load_weights, save_weights
from diffmocap.lifting.settings import LiftingSettings
from diffmocap.types import CameraIntrinsics, Keypoints2D, PoseHypotheses
from training.views.detector_noise import DetectorNoise
from training.views.simulated_detector import ErrorConfig, Errors, body_yaw, detect, draw_errors
from training.views.views import ViewConfig, sample_views

TINY = DenoiserConfig(width=32, heads=2, feedforward=32, decoder_layers=2)


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return BodyModel.load()


@pytest.fixture(scope="module")
def model() -> TransformerDenoiser:
    torch.manual_seed(0)
    return TransformerDenoiser(TINY).eval().requires_grad_(False)


def poses(n: int, seed: int = 0) -> torch.Tensor:
    """[n, 24, 3, 3] in the y-up world."""
    g = torch.Generator().manual_seed(seed)
    return roma.rotvec_to_rotmat(0.3 * torch.randn(n, 24, 3, generator=g))


def a_condition(n: int = 4, depth: bool = True) -> Condition:
    g = torch.Generator().manual_seed(1)
    rays = 0.3 * torch.randn(n, 25, 2, generator=g)
    return condition_from_rays(rays, torch.ones(n, 25), 0.02, 0.3 * torch.randn(n, 25, generator=g) if depth else None)


def predict(model: TransformerDenoiser, condition: Condition, keep: torch.Tensor | None = None) -> torch.Tensor:
    n = len(condition)
    x = torch.randn(n, 24, 6, generator=torch.Generator().manual_seed(2))
    return model(x, torch.full((n,), 500), model.encode_condition(condition, keep))


def test_unknown_depths_are_no_depths(model):
    known = a_condition()
    unknown = replace(known, depth=torch.full_like(known.depth, 5.0), depth_known=torch.zeros_like(known.depth_known))
    assert not torch.allclose(predict(model, known), predict(model, replace(known, depth=-known.depth)), atol=1e-4)
    rays, nan = torch.rand(3, 25, 2), torch.full((3, 25), float("nan"))
    without = condition_from_rays(rays, torch.ones(3, 25))
    with_nan = condition_from_rays(rays, torch.ones(3, 25), depth=nan)
    assert torch.equal(with_nan.depth, without.depth) and float(with_nan.depth_known.sum()) == 0
    assert float(unknown.depth_known.sum()) == 0


def test_depth_of_a_missing_keypoint_is_unknown():
    confidence = torch.ones(1, 25)
    confidence[0, 4] = 0
    condition = condition_from_rays(torch.rand(1, 25, 2), confidence, depth=torch.ones(1, 25))
    assert float(condition.depth[0, 4]) == 0 and float(condition.depth_known[0, 4]) == 0
    assert float(condition.depth_known.sum()) == 24


def test_previous_pose_is_heard_only_where_known_and_kept(model):
    condition = a_condition(depth=False)
    silent = predict(model, condition)
    condition.previous = sixd_from_matrix(poses(4, 3))
    condition.previous_known = torch.tensor([1.0, 1.0, 0.0, 0.0])
    heard = predict(model, condition)
    difference = (heard - silent).abs().amax((1, 2))
    assert (difference[:2] > 1e-4).all() and torch.equal(heard[2:], silent[2:])
    # The null branch of guidance hears neither keypoints nor the pose before.
    nobody = torch.zeros(4, dtype=torch.bool)
    condition.previous_known = torch.ones(4)
    assert torch.equal(predict(model, condition, nobody), predict(model, a_condition(depth=False), nobody))


def test_codes_stack_and_repeat_row_by_row(model):
    condition = a_condition()
    condition.previous, condition.previous_known = sixd_from_matrix(poses(4)), torch.tensor([1.0, 0.0, 1.0, 0.0])
    code = model.encode_condition(condition)
    x, t = torch.randn(8, 24, 6), torch.full((8,), 300)
    one = model(x[:4], t[:4], code)
    stacked, repeated = code.stack(code), code.repeat(2)
    assert len(stacked) == len(repeated) == 8
    assert torch.allclose(model(torch.cat([x[:4], x[:4]]), t, stacked)[4:], one, atol=1e-5)
    assert torch.allclose(model(x[:4].repeat_interleave(2, 0), t, repeated)[::2], one, atol=1e-5)


def test_weights_from_before_keep_their_function(model, tmp_path):
    """A file without the new inputs loads, and its network behaves as it did."""
    path = tmp_path / "new.safetensors"
    save_weights(model, path)
    tensors = load_file(path)
    tensors["keypoint_in.weight"] = tensors["keypoint_in.weight"][:, :3].contiguous()
    del tensors["previous_in.weight"]
    from safetensors import safe_open

    with safe_open(path, "pt") as f:
        metadata = f.metadata()
    save_file(tensors, tmp_path / "old.safetensors", metadata)
    old, new = load_weights(tmp_path / "old.safetensors"), load_weights(path)
    assert torch.equal(predict(old, a_condition()), predict(old, a_condition(depth=False)))
    assert torch.allclose(predict(old, a_condition()), predict(new, a_condition(depth=False)), atol=1e-5)


def test_simulated_detector_without_errors_tells_the_truth(body):
    """Rays are the projections, and depths are those of the keypoints along the ray through the box."""
    rotations = poses(16)
    rotations[:, 0] = torch.tensor([1.0, -1, -1]).diag() @ rotations[:, 0]
    points = body.keypoints(rotations, torch.tensor([0.7, -0.2, 3.0]).expand(16, 3))
    exact = Errors(torch.zeros(16, 25, 2), torch.ones(16, 25), torch.zeros(16, 25), torch.zeros(16))
    condition = detect(points, torch.ones(16, 25, dtype=torch.bool), exact)
    rays = torch.cat([condition.rays, torch.ones(16, 25, 1)], -1) @ condition.R_camera_crop.transpose(-1, -2)
    assert torch.allclose(rays[..., :2] / rays[..., 2:], points[..., :2] / points[..., 2:], atol=1e-4)
    axis = condition.R_camera_crop[:, :, 2]  # the crop's optical axis in the camera's frame
    along = torch.einsum("bnk,bk->bn", points - points[:, [MID_HIP]], axis)
    assert torch.allclose(condition.depth, along, atol=1e-4) and float(condition.depth_known.min()) == 1
    offset = 0.1 * torch.randn(16, 25, 2, generator=torch.Generator().manual_seed(0))
    moved = detect(points, torch.ones(16, 25, dtype=torch.bool), replace(exact, offset=offset))
    # Before the noisy box is put around them, the points moved by the offset times the half-size.
    back = torch.cat([moved.rays, torch.ones(16, 25, 1)], -1) @ moved.R_camera_crop.transpose(-1, -2)
    crop = back @ condition.R_camera_crop
    shift = (crop[..., :2] / crop[..., 2:]) / condition.half_size[:, None, None] - condition.points
    assert torch.allclose(shift, offset, atol=1e-3)


def test_body_yaw_turns_with_the_body():
    for wanted in (0.0, 0.5, -2.0, 3.0):
        c, s = np.cos(wanted), np.sin(wanted)
        root = torch.tensor([[c, 0, s], [0, 1, 0], [-s, 0, c]], dtype=torch.float32)
        rotations = torch.eye(3).repeat(1, 24, 1, 1)
        rotations[0, 0] = torch.tensor([1.0, -1, -1]).diag() @ root
        rays = torch.tensor([[-0.1, -0.3], [0.1, 0.3]]).repeat(13, 1)[None, :25]
        assert float(body_yaw(rotations, rays, torch.ones(1, 25, dtype=torch.bool))[0]) == pytest.approx(
            wanted, abs=1e-5
        )


def test_measured_errors_come_in_their_share_and_only_in_the_wild():
    g = torch.Generator().manual_seed(0)
    seen, wild = torch.ones(4000, 25, dtype=torch.bool), torch.arange(4000) < 3000
    config = ErrorConfig(measured_share=0.5, depth_share=0.8)
    now, before = draw_errors(g, seen, wild, config, torch.zeros(4000), 1, DetectorNoise.load())
    told = now.depth_error.isfinite().any(1)
    assert float(told[:3000].float().mean()) == pytest.approx(0.4, abs=0.03) and not told[3000:].any()
    assert (now.offset[3000:] == 0).all() and (now.confidence[3000:] == 1).all()
    # A frame and the one before it share most of their error.
    a, b = (e.offset[:3000].clamp(-0.1, 0.1).flatten() for e in (now, before))
    assert 0.6 < float(torch.corrcoef(torch.stack([a, b]))[0, 1]) < 0.98
    none, _ = draw_errors(g, seen, wild, config, torch.zeros(4000))
    assert not none.depth_error.isfinite().any()


def test_views_of_two_moments_share_camera_and_shape(body):
    g = torch.Generator().manual_seed(0)
    now = poses(64)
    view = sample_views(body, now, ViewConfig(errors=ErrorConfig(clean_share=1.0)), g, before=now, detector=None)
    assert torch.equal(view.rotations, view.before.rotations) and torch.equal(view.pelvis, view.before.pelvis)
    assert torch.allclose(view.condition.points, view.before.condition.points, atol=1e-6)


def keypoints(body: BodyModel, depth: np.ndarray | None = None) -> tuple[Keypoints2D, CameraIntrinsics]:
    intrinsics = CameraIntrinsics.from_fov(640, 480)
    rotations = poses(1)
    rotations[:, 0] = torch.tensor([1.0, -1, -1]).diag() @ rotations[:, 0]
    points = body.keypoints(rotations, torch.tensor([[0.0, 0, 3.0]]))[0].numpy()
    px = points[:, :2] / points[:, 2:] * intrinsics.fx + [intrinsics.cx, intrinsics.cy]
    return Keypoints2D(px.astype(np.float32), np.ones(25, np.float32), 640, 480, depth_m=depth), intrinsics


def test_lifter_uses_depths_and_the_pose_before_as_told(body, model):
    lifter = Lifter(model, body)
    settings = LiftingSettings(fresh_noise=False, warm_start=False, use_previous=True)
    plain, intrinsics = keypoints(body)
    deep, _ = keypoints(body, np.linspace(-0.5, 0.5, 25, dtype=np.float32))
    first = lifter.lift(plain, intrinsics, settings)
    assert not torch.equal(lifter.lift(deep, intrinsics, settings).rotations, first.rotations)
    ignoring = replace(settings, use_depth=False)
    assert torch.equal(lifter.lift(deep, intrinsics, ignoring).rotations, first.rotations)
    other = PoseHypotheses(poses(1, 5), torch.zeros(1, 3), torch.zeros(1))
    assert not torch.equal(lifter.lift(plain, intrinsics, settings, other).rotations, first.rotations)
    assert torch.equal(
        lifter.lift(plain, intrinsics, replace(settings, use_previous=False), other).rotations, first.rotations
    )


def test_hypotheses_whose_pose_before_is_unknown_start_from_the_image_alone(body, model):
    lifter = Lifter(model, body)
    settings = LiftingSettings(fresh_noise=False, hypotheses=3, use_previous=True)
    seen, intrinsics = keypoints(body)
    alone = lifter.lift(seen, intrinsics, settings)
    before = PoseHypotheses(poses(3, 5), torch.zeros(3, 3), torch.zeros(3), known=torch.tensor([True, False, True]))
    mixed = lifter.lift(seen, intrinsics, settings, before)
    same = [torch.allclose(a, b, atol=1e-5) for a, b in zip(mixed.rotations, alone.rotations)]
    assert same == [False, True, False]


def test_depths_of_another_number_are_refused():
    with pytest.raises(KeypointError, match=r"depths \[25\]"):
        Keypoints2D(np.zeros((25, 2), np.float32), np.zeros(25, np.float32), 4, 4, depth_m=np.zeros(33, np.float32))
