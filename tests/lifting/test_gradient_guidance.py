"""Guidance by the gradient of body and camera, and the prior it guides."""

from __future__ import annotations

import pytest
import torch

from diffmocap.body.joint_angles import limit_excess
from diffmocap.body.mocap import load_split
from diffmocap.body.model import BodyModel
from diffmocap.body.rotations import sixd_from_matrix
from diffmocap.camera.projection import project
from diffmocap.errors import SettingsError
from diffmocap.evaluation.paper_protocol import paper_intrinsics, paper_view
from diffmocap.lifting.network.condition import make_condition, root_to_network
from diffmocap.lifting.network.denoiser import DenoiserConfig, TransformerDenoiser
from diffmocap.lifting.network.weights import load_weights
from diffmocap.lifting.sampling.ddim import ddim_sample, ddim_timesteps
from diffmocap.lifting.sampling.gradient_guidance import FORMS, KeypointLikelihood, gradient_guided_denoiser
from diffmocap.lifting.sampling.guidance import guided_denoiser
from diffmocap.lifting.sampling.schedule import NoiseSchedule
from tests.lifting.prior_samples import sample_prior

SCHEDULE = NoiseSchedule("cosine", 1000)


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return BodyModel.load()


@pytest.fixture(scope="module")
def tiny() -> TransformerDenoiser:
    torch.manual_seed(0)
    config = DenoiserConfig(width=32, heads=2, feedforward=32, decoder_layers=1)
    return TransformerDenoiser(config).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def frames(mocap_dir) -> torch.Tensor:
    """Sixteen poses of the validation split [16, 24, 3, 3], root in the y-up world."""
    clips = load_split(mocap_dir / "cmu_smpl30_val.npz")
    poses = torch.cat([torch.as_tensor(clip.rotations[::30]).float() for clip in clips])
    return poses[torch.linspace(0, len(poses) - 1, 16).long()]


def view(body: BodyModel, poses: torch.Tensor):
    """Condition, pelvis and optical-frame rotations of poses before the paper's camera."""
    truth, pelvis, points = paper_view(body, poses)
    return make_condition(points, torch.ones_like(points[..., 0]), paper_intrinsics()[None]), pelvis, truth


def some_poses(count: int) -> torch.Tensor:
    import roma

    return roma.rotvec_to_rotmat(0.3 * torch.randn(count, 24, 3, generator=torch.Generator().manual_seed(3)))


def test_the_true_pose_has_the_largest_likelihood_and_hidden_keypoints_do_not_count(body, tiny):
    condition, pelvis, truth = view(body, some_poses(3))
    x0 = tiny.standardise(sixd_from_matrix(root_to_network(truth, condition.R_camera_crop)))
    likelihood = KeypointLikelihood(body, tiny, condition, pelvis)
    assert torch.allclose(likelihood(x0), torch.zeros(3), atol=1e-4)
    moved = x0 + 0.1 * torch.randn(x0.shape, generator=torch.Generator().manual_seed(0))
    assert bool((likelihood(moved) < -0.01).all())
    condition.confidence[:] = 0
    assert torch.equal(likelihood(moved), torch.zeros(3))
    with pytest.raises(SettingsError, match="positive"):
        KeypointLikelihood(body, tiny, condition, pelvis, sigma=0.0)


@pytest.mark.parametrize("along", ["any", "guidance"])
@pytest.mark.parametrize("form", FORMS)
def test_guidance_follows_the_gradient_by_finite_differences(body, tiny, form, along):
    """The shift of x0 along any direction is w sigma^2 / a times the directional derivative of log p(y | x_t)."""
    condition, pelvis, _ = view(body, some_poses(2))
    likelihood = KeypointLikelihood(body, tiny, condition, pelvis, sigma=0.2)
    code, t, w, h = tiny.null_code(2), 400, 0.7, 3e-3
    a, s = float(SCHEDULE.signal[t]), float(SCHEDULE.sigma[t])
    x = torch.randn(2, 24, 6, generator=torch.Generator().manual_seed(1))
    plain = guided_denoiser(tiny, SCHEDULE, code, 0.0)
    x0, _ = plain(x, t)
    guided, epsilon = gradient_guided_denoiser(tiny, SCHEDULE, code, likelihood, w, form)(x, t)
    assert torch.allclose(a * guided + s * epsilon, x, atol=1e-4)
    # One direction at random, and the one that guidance takes.
    direction = torch.randn(2, 24, 6, generator=torch.Generator().manual_seed(5)) if along == "any" else guided - x0
    direction = direction / direction.square().mean((1, 2), keepdim=True).sqrt()

    def log_p(step: float) -> torch.Tensor:
        """Of y at x_t moved along the direction; for ``estimate`` at x0 moved as if its Jacobian were a_t."""
        if form == "through":
            return likelihood(plain(x + step * direction, t)[0])
        return likelihood((x + step * direction) / a if form == "noisy" else x0 + step * a * direction)

    derivative = (log_p(h) - log_p(-h)) / (2 * h)
    shift = ((guided - x0) * direction).sum((1, 2))
    assert torch.allclose(shift, w * s * s / a * derivative, rtol=0.01, atol=2e-3 * float((guided - x0).norm()))


@pytest.mark.parametrize("form", FORMS)
def test_scale_zero_is_the_unconditional_sampler(body, tiny, form):
    condition, pelvis, _ = view(body, some_poses(2))
    x = torch.randn(2, 24, 6, generator=torch.Generator().manual_seed(2))
    code, times = tiny.null_code(2), ddim_timesteps(1000, 4)
    likelihood = KeypointLikelihood(body, tiny, condition, pelvis)
    guided = gradient_guided_denoiser(tiny, SCHEDULE, code, likelihood, 0.0, form)
    plain = guided_denoiser(tiny, SCHEDULE, code, 0.0)
    assert torch.equal(ddim_sample(guided, x, SCHEDULE, times), ddim_sample(plain, x, SCHEDULE, times))


def test_the_limit_bounds_the_correction_and_unknown_forms_are_refused(body, tiny):
    condition, pelvis, _ = view(body, some_poses(2))
    likelihood = KeypointLikelihood(body, tiny, condition, pelvis)
    x, code, t = torch.randn(2, 24, 6, generator=torch.Generator().manual_seed(4)), tiny.null_code(2), 700
    x0, _ = guided_denoiser(tiny, SCHEDULE, code, 0.0)(x, t)
    for limit in (1e-3, 0.1):
        guided, _ = gradient_guided_denoiser(tiny, SCHEDULE, code, likelihood, 10.0, "noisy", limit)(x, t)
        size = (guided - x0).square().mean((1, 2)).sqrt()
        assert torch.allclose(size, torch.full((2,), limit * float(SCHEDULE.sigma[t])), rtol=1e-3)
    with pytest.raises(SettingsError, match="estimate"):
        gradient_guided_denoiser(tiny, SCHEDULE, code, likelihood, 1.0, "score")


@pytest.mark.parametrize("conditional", [False, True])
def test_the_error_falls_as_the_scale_grows(body, frames, conditional):
    model, steps = load_weights(), ddim_timesteps(1000, 15)
    condition, pelvis, _ = view(body, frames)
    with torch.no_grad():
        code = model.encode_condition(condition) if conditional else model.null_code(len(frames))
    x = torch.randn(len(frames), 24, 6, generator=torch.Generator().manual_seed(0))
    likelihood = KeypointLikelihood(body, model, condition, pelvis)
    errors = []
    for scale in (0.0, 0.03, 0.3):
        with torch.no_grad():
            denoise = gradient_guided_denoiser(model, SCHEDULE, code, likelihood, scale)
            errors.append(float(likelihood.residuals(ddim_sample(denoise, x, SCHEDULE, steps)).abs().mean()))
    assert errors[2] < errors[1] < errors[0]
    assert errors[2] < (0.95 if conditional else 0.75) * errors[0]


def test_poses_of_the_prior_are_plausible_and_as_varied_as_the_data(body, frames):
    samples = sample_prior(load_weights(), 64, steps=20, generator=torch.Generator().manual_seed(0))
    assert samples.shape == (64, 24, 3, 3)
    assert torch.allclose(samples @ samples.mT, torch.eye(3).expand(64, 24, 3, 3), atol=1e-4)
    assert float((torch.rad2deg(limit_excess(samples)).amax(1) > 5).float().mean()) < 0.1

    def spread(rotations: torch.Tensor) -> float:
        """Mean distance [m] between the joints of two poses about the pelvis, the root's turn left out."""
        upright = torch.cat([torch.eye(3).expand(len(rotations), 1, 3, 3), rotations[:, 1:]], 1)
        joints = body.forward_kinematics(upright, torch.zeros(len(rotations), 3))[1]
        return float(torch.pdist(joints.flatten(1)).mean()) / 24**0.5

    assert 0.7 < spread(samples) / spread(frames) < 1.4
    # People are seen upright: the head (15) above the pelvis, with y pointing down.
    joints = body.forward_kinematics(samples, torch.zeros(64, 3))[1]
    assert float((joints[:, 15, 1] < 0).float().mean()) > 0.8
    again = sample_prior(load_weights(), 64, steps=20, generator=torch.Generator().manual_seed(0))
    assert torch.equal(samples, again)
    assert float(project(joints + torch.tensor([0.0, 0, 3]), paper_intrinsics()).isfinite().float().mean()) == 1.0
