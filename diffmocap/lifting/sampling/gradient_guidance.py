"""Guidance by the gradient of the forward model (the diffusion paper, section 3.4), without a conditional network.

Bayes' rule gives the guided score ``grad log p(x_t) + w grad log p(y | x_t)``, and with it
``eps <- eps - w sigma_t grad log p(y | x_t)`` or, what is the same,
``x0 <- x0 + w (sigma_t^2 / a_t) grad log p(y | x_t)`` with ``a_t = sqrt(abar_t)``. The forward model y = f(x), here the
body and the camera, is known, but only for clean poses: ``p(y | x_t)`` has to be approximated, and f is many-to-one, so
that an exact p(y | x) is zero almost everywhere. Keypoints are therefore given a normal error, and :data:`FORMS` are
three approximations of the gradient:

- ``noisy``: the paper's plain form, f at x_t itself (scaled back by a_t). At most diffusion times that is no pose.
- ``through``: f at the denoised estimate, differentiated through the network (DPS, Chung et al. 2023). By Tweedie's
  formula the network's Jacobian is (a_t / sigma_t^2) Cov[x0 | x_t]; a trained network's only roughly is.
- ``estimate``: f at the denoised estimate, the Jacobian replaced by that of data of unit variance, so that
  ``x0 <- x0 + w r^2 / (1 + r^2) grad log p(y | x0)`` with r = sigma_t / a_t. The network is not differentiated.

What each achieves is measured by ``benchmarks/lifting/guidance.py``.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from diffmocap.body.model import BodyModel
from diffmocap.body.rotations import matrix_from_6d
from diffmocap.camera.projection import rays_to
from diffmocap.errors import SettingsError
from diffmocap.lifting.network.condition import Condition, root_from_network
from diffmocap.lifting.network.denoiser import ConditionCode, TransformerDenoiser
from diffmocap.lifting.sampling.ddim import Denoise
from diffmocap.lifting.sampling.schedule import NoiseSchedule

FORMS = ("noisy", "through", "estimate")

#: ``log p(y | x)`` [B] up to a constant, differentiable, of standardised poses x [B, 24, 6].
LogLikelihood = Callable[[torch.Tensor], torch.Tensor]


class KeypointLikelihood:
    """``log p(y | x)`` of keypoints with normal errors, through the body model and the camera.

    Args:
        model: for its standardisation of poses.
        condition: the keypoints y and their crop frame; confidence weighs them, and 0 leaves one out.
        pelvis: [B, 3] m in the optical frame; the translation is not part of the pose and must be known.
        sigma: standard deviation of a coordinate over the box's half-size.
    """

    def __init__(
        self, body: BodyModel, model: TransformerDenoiser, condition: Condition, pelvis: torch.Tensor,
        sigma: float = 0.05,
    ) -> None:  # fmt: skip
        if sigma <= 0:
            raise SettingsError(f"the keypoints' standard deviation must be positive, got {sigma}")
        self.body, self.model, self.condition, self.pelvis, self.sigma = body, model, condition, pelvis, sigma

    def residuals(self, x: torch.Tensor) -> torch.Tensor:
        """Projected minus observed keypoints [B, 25, 2] over the box's half-size, for standardised poses [B, 24, 6]."""
        c = self.condition
        rotations = root_from_network(matrix_from_6d(self.model.unstandardise(x)), c.R_camera_crop)
        points = self.body.keypoints(rotations, self.pelvis) @ c.R_camera_crop  # rows times R: the crop frame
        return (rays_to(points) - c.rays) / c.half_size[:, None, None]

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        squares = self.residuals(x).square().sum(-1) * self.condition.confidence
        return -0.5 * squares.sum(1) / self.sigma**2


def gradient_guided_denoiser(
    model: TransformerDenoiser, schedule: NoiseSchedule, code: ConditionCode, log_likelihood: LogLikelihood,
    weight: float, form: str = "estimate", limit: float | None = None,
) -> Denoise:  # fmt: skip
    """The denoiser pushed along ``weight`` times the gradient of the log-likelihood, as a function of (x_t, t).

    Not to be called under ``torch.inference_mode``, whose tensors cannot be differentiated (``no_grad`` is fine).

    Args:
        code: ``model.null_code(B)`` guides the unconditional model, as the paper has it; a condition's code the
            conditional one.
        weight: w; 0 leaves the model as it is and costs nothing.
        form: one of :data:`FORMS`.
        limit: largest root mean square of a row's correction of x0, times r / sqrt(1 + r^2); None: any.

    Raises:
        SettingsError: the form is unknown.
    """
    if form not in FORMS:
        raise SettingsError(f"unknown form {form!r} of gradient guidance; one of {', '.join(FORMS)}")
    kind, batch = model.config.parameterisation, len(code)

    def predict(x: torch.Tensor, t: int) -> tuple[torch.Tensor, torch.Tensor]:
        times = torch.full((batch,), t, device=x.device)
        return schedule.x0_and_epsilon(model(x, times, code), x, times, kind)

    @torch.enable_grad()
    def correction(x: torch.Tensor, t: int) -> tuple[torch.Tensor, torch.Tensor]:
        """x0 before guidance, and what guidance adds to it."""
        a, s = float(schedule.signal[t]), float(schedule.sigma[t])
        if form == "through":
            x = x.detach().requires_grad_(True)
            x0, _ = predict(x, t)
            (gradient,) = torch.autograd.grad(log_likelihood(x0).sum(), x)
            return x0.detach(), s * s / a * gradient
        with torch.no_grad():
            x0, _ = predict(x, t)
        place = (x0 if form == "estimate" else x / a).detach().requires_grad_(True)
        (gradient,) = torch.autograd.grad(log_likelihood(place).sum(), place)
        # d(x_t / a_t) / d x_t = 1 / a_t; and s^2 = r^2 / (1 + r^2), as the schedule preserves the variance.
        return x0, s * s * (gradient if form == "estimate" else gradient / (a * a))

    def denoise(x: torch.Tensor, t: int) -> tuple[torch.Tensor, torch.Tensor]:
        if weight == 0.0:
            return predict(x, t)
        x0, step = correction(x, t)
        step = weight * step
        a, s = float(schedule.signal[t]), float(schedule.sigma[t])
        if limit is not None:
            size = step.square().mean((1, 2), keepdim=True).sqrt()
            step = step * (limit * s / size.clamp_min(1e-12)).clamp_max(1.0)
        x0 = x0 + step
        return x0, (x - a * x0) / s

    return denoise
