"""The correction inside the lifter, with the shipped weights: what it gains, and that it makes nothing worse."""

from __future__ import annotations

import logging
import math
from pathlib import Path

import numpy as np
import pytest
import roma
import torch

from diffmocap.body.mocap import load_split
from diffmocap.body.model import BodyModel
from diffmocap.body.skeleton import LIMB_JOINTS
from diffmocap.camera.projection import project, rays_to
from diffmocap.errors import ModelFileError
from diffmocap.evaluation.joint_errors import pa_mpjpe_mm
from diffmocap.lifting.correction.error_covariance import PREFIX, ErrorCovariances
from diffmocap.lifting.correction.lift_correction import relative_noise
from diffmocap.lifting.lifter import Lifter
from diffmocap.lifting.network.condition import FACING, condition_from_rays, make_condition
from diffmocap.lifting.network.mlp_denoiser import MlpConfig, MlpDenoiser
from diffmocap.lifting.network.weights import load_weights, save_weights, with_error_covariances
from diffmocap.lifting.settings import LiftingSettings
from diffmocap.types import CameraIntrinsics, Keypoints2D

CAMERA = CameraIntrinsics.from_fov(1080, 1920)
CLIPS = Path(__file__).parents[1] / "data" / "cmu" / "cmu_smpl30_test.npz"
FRAMES = 24


@pytest.fixture(scope="module")
def lifter() -> Lifter:
    return Lifter.load()


@pytest.fixture(scope="module")
def truth(lifter) -> tuple[torch.Tensor, torch.Tensor]:
    """Frames of unseen subjects, turned at random before a camera that looks down by 20 degrees from 3.3 m away."""
    rotations = torch.cat([torch.as_tensor(clip.rotations).float() for clip in load_split(CLIPS)])
    rotations = rotations[torch.linspace(0, len(rotations) - 1, FRAMES).long()]
    yaw = torch.zeros(FRAMES, 3)
    yaw[:, 1] = 2 * math.pi * torch.rand(FRAMES, generator=torch.Generator().manual_seed(0))
    tilt = roma.rotvec_to_rotmat(torch.tensor([math.radians(20.0), 0.0, 0.0])) @ torch.tensor(FACING).diag()
    root = tilt @ roma.rotvec_to_rotmat(yaw) @ rotations[:, 0]
    return torch.cat([root[:, None], rotations[:, 1:]], 1), torch.tensor([[0.0, 0.0, 3.3]]).expand(FRAMES, 3)


def seen(
    body: BodyModel, truth: tuple[torch.Tensor, torch.Tensor], noise: float = 0.0, depth_noise_m: float | None = None,
    betas: torch.Tensor | None = None,
) -> list[Keypoints2D]:  # fmt: skip
    """Keypoints with noise over the box's half-size, and depths beyond the mid-hip where they have a noise."""
    g = torch.Generator().manual_seed(1)
    points = body.keypoints(*truth, betas)
    px = project(points, torch.tensor(CAMERA.matrix, dtype=torch.float32))
    half = 0.5 * (px.amax(1) - px.amin(1)).amax(-1)
    px = px + noise * half[:, None, None] * torch.randn(px.shape, generator=g)
    depth = None
    if depth_noise_m is not None:
        # Along the ray through the person's box.
        along = (points @ condition_from_rays(rays_to(points), torch.ones(FRAMES, 25)).R_camera_crop[..., 2:])[..., 0]
        depth = along - along[:, 8, None] + depth_noise_m * torch.randn(FRAMES, 25, generator=g)
    return [
        Keypoints2D(px[i].numpy(), np.ones(25, np.float32), CAMERA.width, CAMERA.height, 0,
                    depth_m=None if depth is None else depth[i].numpy())
        for i in range(FRAMES)
    ]  # fmt: skip


def error_mm(
    lifter: Lifter, keypoints: list[Keypoints2D], truth: tuple, settings: LiftingSettings, betas=None
) -> float:
    """PA-MPJPE over the limbs' joints."""
    found = torch.cat([lifter.lift(k, CAMERA, settings).rotations[:1] for k in keypoints])
    joints = [lifter.body.forward_kinematics(r, truth[1], betas)[1][:, list(LIMB_JOINTS)] for r in (found, truth[0])]
    return pa_mpjpe_mm(*(j.numpy() for j in joints))


def test_exact_input_is_lifted_more_exactly(lifter, truth):
    for depth, share in ((None, 0.85), (0.0, 0.3)):
        keypoints = seen(lifter.body, truth, 0.0, depth)
        before, after = (
            error_mm(lifter, keypoints, truth, LiftingSettings(keypoint_noise=0.0, correction=on))
            for on in (False, True)
        )
        assert after < share * before, f"{before:.1f} mm became {after:.1f} mm"


@pytest.mark.parametrize("depth_noise_m", [None, 0.05])
def test_noisy_keypoints_of_other_bodies_are_lifted_no_worse(lifter, truth, depth_noise_m):
    betas = 0.8 * torch.randn(FRAMES, 10, generator=torch.Generator().manual_seed(2))
    keypoints = seen(lifter.body, truth, 0.02, depth_noise_m, betas)
    before, after = (error_mm(lifter, keypoints, truth, LiftingSettings(correction=on), betas) for on in (False, True))
    assert after < before, f"{before:.1f} mm became {after:.1f} mm"


def test_every_hypothesis_is_corrected(lifter, truth):
    """Each covers the keypoints better than it did, and they stay different poses."""
    keypoints = seen(lifter.body, truth)[3]
    before, after = (
        lifter.lift(keypoints, CAMERA, LiftingSettings(
            hypotheses=4, steps=5, temperature=1.0, fresh_noise=False, keypoint_noise=0.0, correction=on
        ))
        for on in (False, True)
    )  # fmt: skip

    def off_px(poses) -> torch.Tensor:
        found = project(lifter.body.keypoints(poses.rotations, poses.pelvis), torch.tensor(CAMERA.matrix).float())
        return (found - torch.from_numpy(keypoints.points_px)).norm(dim=-1).mean(1)

    assert (off_px(after) < 0.6 * off_px(before)).all() and off_px(after).max() < off_px(before).min()
    # The score is the samples' own, by which right and wrong ones differ.
    assert torch.equal(after.score, before.score)
    assert float((after.rotations[0] - after.rotations[1]).abs().max()) > 1e-2


def test_a_keypoint_that_is_told_to_be_noisy_is_believed_less(lifter, truth):
    """A wrist that was moved pulls the arm less where its noise was told, and untold noise is as before."""
    wrist, g = 7, torch.Generator().manual_seed(0)
    points = lifter.body.keypoints(*truth)
    rays = points[..., :2] / points[..., 2:]
    half = 0.5 * (rays.amax(1) - rays.amin(1)).amax(-1)
    rays = rays + 0.02 * half[:, None, None] * torch.randn(rays.shape, generator=g)
    moved = rays.clone()
    moved[:, wrist, 0] += 0.1 * half
    pulled = {}
    for name, of_wrist in (("alike", 0.02), ("told", 0.1)):
        noise = torch.full((FRAMES, 25), 0.02).index_fill(1, torch.tensor([wrist]), of_wrist)
        wrists = []
        for seen_rays in (rays, moved):
            condition = condition_from_rays(seen_rays, torch.ones(FRAMES, 25), noise)
            corrected = lifter._correction(condition, truth[0], truth[1], 2)
            wrists.append(lifter.body.keypoints(corrected, truth[1])[:, wrist])
        pulled[name] = float((wrists[1] - wrists[0]).norm(dim=-1).mean())
    assert pulled["told"] < 0.6 * pulled["alike"]
    assert (relative_noise(condition_from_rays(rays, torch.ones(FRAMES, 25), 0.0)) == 1.0).all()


def test_gradients_may_pass_through_corrected_poses(lifter, truth):
    poses = lifter.lift(seen(lifter.body, truth)[5], CAMERA)
    turn = torch.zeros(1, 24, 3, requires_grad=True)
    (poses.rotations @ roma.rotvec_to_rotmat(turn)).square().sum().backward()
    assert turn.grad is not None and not poses.rotations.is_inference()


def test_samples_are_not_corrected(lifter, truth):
    """The paper's table and training ask for samples, of which the correction would make projections."""
    k = seen(lifter.body, truth)[0]
    condition = make_condition(
        torch.tensor(k.points_px)[None], torch.ones(1, 25), torch.tensor(CAMERA.matrix).float()[None]
    )
    samples = [lifter.sample(condition, LiftingSettings(correction=on)) for on in (False, True)]
    assert torch.equal(*samples)


def test_weights_that_do_not_know_their_errors_say_so_once(lifter, truth, caplog):
    torch.manual_seed(0)
    plain = Lifter(MlpDenoiser(MlpConfig(width=16, layers=1)).eval().requires_grad_(False), lifter.body)
    keypoints = seen(lifter.body, truth)[0]
    with caplog.at_level(logging.INFO):
        poses = [plain.lift(keypoints, CAMERA, LiftingSettings(correction=on)) for on in (True, True, False)]
    assert torch.equal(poses[0].rotations, poses[2].rotations)
    assert sum("not corrected" in r.message for r in caplog.records) == 1


def covariances() -> ErrorCovariances:
    g = torch.Generator().manual_seed(0)
    factors = 0.1 * torch.randn(5, 72, 72, generator=g, dtype=torch.float64)
    return ErrorCovariances(
        factors @ factors.mT + 1e-3 * torch.eye(72, dtype=torch.float64), torch.eye(75, dtype=torch.float64)
    )


def test_errors_travel_with_the_weights(tmp_path):
    torch.manual_seed(0)
    source, path = tmp_path / "weights.safetensors", tmp_path / "with.safetensors"
    save_weights(MlpDenoiser(MlpConfig(width=16, layers=1)), source, {"step": 3})
    with_error_covariances(source, covariances(), {"frames": 7}, path)
    plain, found = load_weights(source), load_weights(path)
    assert plain.error_covariances is None
    torch.testing.assert_close(found.error_covariances.poses, covariances().poses, atol=1e-6, rtol=1e-6)
    for name, value in plain.state_dict().items():
        assert torch.equal(found.state_dict()[name], value)
    with_error_covariances(path, covariances(), {"frames": 8}, path)  # measured again
    assert load_weights(path).error_covariances is not None


@pytest.mark.parametrize("name", ["noisy", "detector"])
@pytest.mark.parametrize("fault", ["missing", "shape", "indefinite"])
def test_errors_that_are_none_are_refused(tmp_path, name, fault):
    from safetensors import safe_open
    from safetensors.torch import save_file

    path = tmp_path / "weights.safetensors"
    save_weights(MlpDenoiser(MlpConfig(width=16, layers=1)), path)
    with_error_covariances(path, covariances(), {}, path)
    with safe_open(path, "pt") as f:
        metadata, tensors = f.metadata(), {key: f.get_tensor(key) for key in f.keys()}
    matrix = tensors.pop(PREFIX + name)
    if fault != "missing":
        tensors[PREFIX + name] = matrix[:-1].contiguous() if fault == "shape" else -matrix
    save_file(tensors, path, metadata)
    with pytest.raises(ModelFileError, match=name):
        load_weights(path)


def test_after_preparation_no_image_waits_for_a_compiler(lifter, truth):
    """Whatever is asked for: with and without depths, one sample and several, any number of steps."""
    from numba.core import event

    class Listener(event.Listener):
        def on_start(self, event: event.Event) -> None:
            raise AssertionError(f"{event.data['dispatcher']} is compiled")

        def on_end(self, event: event.Event) -> None:
            pass

    lifter.lift(seen(lifter.body, truth)[0], CAMERA, LiftingSettings(correction=False))  # the sampler's own
    lifter.prepare()
    with event.install_listener("numba:compile", Listener()):
        for keypoints in (seen(lifter.body, truth)[0], seen(lifter.body, truth, 0.0, 0.05)[0]):
            for settings in (
                LiftingSettings(hypotheses=1), LiftingSettings(hypotheses=5, correction_steps=3),
                LiftingSettings(hypotheses=2, temperature=1.0),
            ):  # fmt: skip
                assert lifter.lift(keypoints, CAMERA, settings) is not None


def test_where_nothing_compiles_poses_are_not_corrected_and_it_is_said_once(lifter, truth, caplog, by_torch):
    plain = by_torch(Lifter, lifter.model, lifter.body)
    plain.prepare()
    keypoints = seen(lifter.body, truth)[0]
    with caplog.at_level(logging.INFO):
        poses = [plain.lift(keypoints, CAMERA, LiftingSettings(correction=on)) for on in (True, True, False)]
    assert torch.equal(poses[0].rotations, poses[2].rotations)
    assert sum("Numba does not compile" in r.message for r in caplog.records) == 1
