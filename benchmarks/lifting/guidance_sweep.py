"""Samples under the paper's protocol for any way of guiding, and what became of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from diffmocap.body.joint_angles import limit_excess
from diffmocap.body.model import BodyModel
from diffmocap.body.rotations import matrix_from_6d
from diffmocap.camera.projection import project
from diffmocap.evaluation.paper_protocol import paper_intrinsics, paper_view
from diffmocap.lifting.network.condition import make_condition, root_from_network
from diffmocap.lifting.network.denoiser import TransformerDenoiser
from diffmocap.lifting.sampling.ddim import Denoise, ddim_sample, ddim_timesteps
from diffmocap.lifting.sampling.gradient_guidance import KeypointLikelihood, gradient_guided_denoiser
from diffmocap.lifting.sampling.guidance import EVERYWHERE, GUIDANCE_INTERVAL, guided_denoiser
from diffmocap.lifting.sampling.schedule import NoiseSchedule

#: A joint angle this far beyond its limit counts as implausible.
BEYOND_DEG = 5.0


@dataclass(frozen=True)
class Guidance:
    """One way of guiding. ``kind`` is ``classifier-free`` (at every step), ``interval`` or ``gradient``."""

    kind: str
    weight: float = 0.0
    conditional: bool = True
    form: str = ""
    limit: float | None = None

    @property
    def label(self) -> str:
        """A few words for a table."""
        bound = f", at most {self.limit:g}" if self.limit else ""
        return self.kind + (f": {self.form}{bound}" if self.form else "")


@dataclass
class Samples:
    """One sample a frame: rotations [N, 24, 3, 3], keypoints [N, 25, 3] m (both optical frame), and how good they are.

    ``pixel_error`` over the image size, ``mpjpe_m``, ``beyond`` 1 where an angle is more than :data:`BEYOND_DEG`
    outside its limits (all [N]); ``ms`` of processor time a sample.
    """

    rotations: torch.Tensor
    keypoints: torch.Tensor
    pixel_error: torch.Tensor
    mpjpe_m: torch.Tensor
    beyond: torch.Tensor
    ms: float

    def figures(self) -> dict[str, float]:
        """Means, for a table."""
        return {
            "pixel_error": round(float(self.pixel_error.mean()), 5),
            "standard_error": round(float(self.pixel_error.std() / len(self.pixel_error) ** 0.5), 5),
            "mpjpe_mm": round(1e3 * float(self.mpjpe_m.mean()), 1),
            "beyond_limits": round(float(self.beyond.mean()), 4),
            "ms": round(self.ms, 2),
        }


class Sweep:
    """Y-up world poses [N, 24, 3, 3] before the paper's camera, and a model to sample them with.

    Every sample starts from the same seeded noise and takes the same DDIM steps.
    """

    def __init__(
        self, model: TransformerDenoiser, body: BodyModel, poses: torch.Tensor, steps: int, seed: int = 0
    ) -> None:
        self.model, self.body = model, body
        self.schedule = NoiseSchedule(model.config.schedule, model.config.diffusion_steps)
        self.timesteps = ddim_timesteps(self.schedule.steps, steps)
        self.truth, self.pelvis, self.points = paper_view(body, poses.to(body.device))
        self.K = paper_intrinsics().to(body.device)
        self.condition = make_condition(self.points, torch.ones_like(self.points[..., 0]), self.K[None])
        self.true_joints = body.forward_kinematics(self.truth, self.pelvis)[1]
        with torch.no_grad():
            self.code, self.null = model.encode_condition(self.condition), model.null_code(len(poses))
        self.start = torch.randn(len(poses), 24, 6, generator=torch.Generator().manual_seed(seed)).to(body.device)

    def denoiser(self, g: Guidance) -> Denoise:
        """The function that a sampler calls."""
        code = self.code if g.conditional else self.null
        if g.kind == "gradient":
            likelihood = KeypointLikelihood(self.body, self.model, self.condition, self.pelvis)
            return gradient_guided_denoiser(self.model, self.schedule, code, likelihood, g.weight, g.form, g.limit)
        interval = GUIDANCE_INTERVAL if g.kind == "interval" else EVERYWHERE
        return guided_denoiser(self.model, self.schedule, code, g.weight, interval=interval, timesteps=self.timesteps)

    @torch.no_grad()
    def sample(self, g: Guidance) -> Samples:
        """One sample a frame."""
        begin = self._clock()
        x = ddim_sample(self.denoiser(g), self.start, self.schedule, self.timesteps)
        ms = 1e3 * (self._clock() - begin) / len(x)
        return self.judge(x, ms)

    def judge(self, x: torch.Tensor, ms: float = 0.0) -> Samples:
        """How good standardised poses [N, 24, 6] are."""
        rotations = root_from_network(matrix_from_6d(self.model.unstandardise(x)), self.condition.R_camera_crop)
        joints, keypoints = self.body.joints_and_keypoints(rotations, self.pelvis)
        beyond = torch.rad2deg(limit_excess(rotations)).amax(-1) > BEYOND_DEG
        return Samples(
            rotations.cpu(), keypoints.cpu(), (project(keypoints, self.K) - self.points).abs().mean((1, 2)).cpu(),
            (joints - self.true_joints).norm(dim=-1).mean(1).cpu(), beyond.float().cpu(), ms,
        )  # fmt: skip

    @torch.no_grad()
    def along_times(self, weight: float, report: Callable[[int], bool]) -> list[dict[str, float]]:
        """Both branches and their guided combination along the trajectory of guidance at every step.

        A row for each time that ``report`` (told the step's number) wants: ratio of noise to signal; norms of the
        guided x0, of the conditional x0 and of the branches' difference; pixel errors of the three estimates of x0.
        """
        rows, branches = [], []

        def watched(x: torch.Tensor, t: int) -> tuple[torch.Tensor, torch.Tensor]:
            x0, epsilon = guided(x, t)
            if report(len(branches)):
                conditional, unconditional = condition(x, t)[0], prior(x, t)[0]
                rows.append({
                    "ratio": float(self.schedule.sigma[t] / self.schedule.signal[t]),
                    **{f"{name}_norm": float(v.norm(dim=(1, 2)).mean()) for name, v in (
                        ("guided", x0), ("conditional", conditional), ("difference", conditional - unconditional))},
                    **{f"{name}_pixel_error": float(self.judge(v).pixel_error.mean()) for name, v in (
                        ("guided", x0), ("conditional", conditional), ("unconditional", unconditional))},
                })  # fmt: skip
            branches.append(t)
            return x0, epsilon

        guided = self.denoiser(Guidance("classifier-free", weight))
        condition, prior = (self.denoiser(Guidance("classifier-free", conditional=c)) for c in (True, False))
        ddim_sample(watched, self.start, self.schedule, self.timesteps)
        return rows

    def _clock(self) -> float:
        """Seconds: processor time, which other programs do not disturb, or the wall clock of a GPU's work."""
        if self.body.device.type == "cpu":
            return time.process_time()
        torch.cuda.synchronize()
        return time.perf_counter()
