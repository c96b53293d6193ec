"""Every step of DDIM and DPM-Solver++ against diffusers, and the order of both against an ODE with a known solution."""

from __future__ import annotations

import pytest
import torch

from diffmocap.lifting.sampling.ddim import ddim_sample, ddim_timesteps
from diffmocap.lifting.sampling.dpm_solver import dpm_sample
from diffmocap.lifting.sampling.schedule import NoiseSchedule

#: Our schedules as diffusers names them.
OPTIONS = {
    "linear": {"beta_schedule": "linear", "beta_start": 1e-4, "beta_end": 2e-2},
    "cosine": {"beta_schedule": "squaredcos_cap_v2"},
}
START = torch.randn(3, 24, 6, generator=torch.Generator().manual_seed(0))


def toy_x0(x: torch.Tensor, t: int) -> torch.Tensor:
    """Any smooth function of (x, t) will do to compare samplers."""
    return torch.tanh(x) * 0.5 + 0.1 * torch.sin(torch.tensor(t / 100.0))


def recorder(schedule: NoiseSchedule, states: list[torch.Tensor], x0_of=toy_x0):
    """A denoiser that keeps every x_t it was asked about."""

    def denoise(x, t):
        states.append(x)
        return schedule.x0_and_epsilon(x0_of(x, t), x, torch.full((len(x),), t), "x0")

    return denoise


@pytest.mark.parametrize("kind", OPTIONS)
def test_betas_and_their_products_are_those_of_diffusers(kind, diffusers):
    ours = NoiseSchedule(kind, 1000)
    for scheduler in (diffusers.DDPMScheduler, diffusers.DDIMScheduler, diffusers.DPMSolverMultistepScheduler):
        reference = scheduler(1000, **OPTIONS[kind])
        assert torch.allclose(ours.betas.float(), reference.betas, rtol=1e-6)
        # The reference multiplies a thousand factors in float32.
        assert torch.allclose(ours.alphas_bar, reference.alphas_cumprod.double(), rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("kind", OPTIONS)
def test_each_ddim_step_is_that_of_diffusers(kind, eta, diffusers):
    reference = diffusers.DDIMScheduler(
        1000, clip_sample=False, set_alpha_to_one=True, timestep_spacing="trailing", prediction_type="sample",
        **OPTIONS[kind],
    )  # fmt: skip
    reference.set_timesteps(10)
    schedule, states = NoiseSchedule(kind, 1000), []
    result = ddim_sample(
        recorder(schedule, states), START, schedule, ddim_timesteps(1000, 10), eta, torch.Generator().manual_seed(3)
    )
    g = torch.Generator().manual_seed(3)  # the same noise, drawn once a step
    for t, before, after in zip(reference.timesteps, states, [*states[1:], result]):
        noise = torch.randn(START.shape, generator=g) if eta else None
        x = reference.step(toy_x0(before, int(t)), t, before, eta=eta, variance_noise=noise).prev_sample
        # The reference's 1 - abar of the last time keeps few digits in float32.
        assert torch.allclose(after, x, atol=3e-4 if t == 999 else 5e-6)


@pytest.mark.parametrize("steps", [1, 2, 4, 8, 20])
@pytest.mark.parametrize("kind", OPTIONS)
def test_each_dpm_solver_step_is_that_of_diffusers(kind, steps, diffusers):
    reference = diffusers.DPMSolverMultistepScheduler(
        1000, algorithm_type="dpmsolver++", solver_order=2, solver_type="midpoint", final_sigmas_type="zero",
        timestep_spacing="trailing", prediction_type="sample", **OPTIONS[kind],
    )  # fmt: skip
    reference.set_timesteps(steps)
    schedule, states = NoiseSchedule(kind, 1000), []
    timesteps = ddim_timesteps(1000, steps)
    assert timesteps == reference.timesteps.tolist()
    result = dpm_sample(recorder(schedule, states), START, schedule, timesteps)
    for t, before, after in zip(reference.timesteps, states, [*states[1:], result]):
        x = reference.step(toy_x0(before, int(t)), t, before).prev_sample
        assert torch.allclose(after, x, atol=2e-5)


MEAN, STD = 0.7, 0.3


def gaussian_x0(schedule: NoiseSchedule):
    """E[x0 | x_t] for data N(MEAN, STD^2)."""

    def x0(x, t):
        a, b = float(schedule.signal[t]), float(schedule.sigma[t])
        return (a * STD**2 * x + b * b * MEAN) / (a * a * STD**2 + b * b)

    return x0


def ode_solution(schedule: NoiseSchedule, x: torch.Tensor, t: int, to: int | None) -> torch.Tensor:
    """Probability-flow ODE of that data from x at time t, exact: it keeps the standardised state. ``None``: noise 0."""

    def moments(t):
        a, b = (1.0, 0.0) if t is None else (float(schedule.signal[t]), float(schedule.sigma[t]))
        return a * MEAN, (a * a * STD**2 + b * b) ** 0.5

    (m, s), (m_to, s_to) = moments(t), moments(to)
    return m_to + s_to * (x - m) / s


@pytest.mark.parametrize("sampler, order", [(ddim_sample, 1), (dpm_sample, 2)])
@pytest.mark.parametrize("kind", OPTIONS)
def test_error_falls_with_the_order_of_the_sampler(kind, sampler, order):
    """Halving the steps' length must divide the error by 2 (DDIM) or 4 (2M), away from the last step to noise 0."""
    schedule = NoiseSchedule(kind, 64_000)
    if kind == "linear":  # the same noise at every share of the way as with 1000 steps
        schedule.alphas_bar = torch.exp(-torch.linspace(1e-4, 10.0, schedule.steps, dtype=torch.float64))
        schedule.signal, schedule.sigma = schedule.alphas_bar.sqrt(), (1 - schedule.alphas_bar).sqrt()
    first, last = 56_000, 16_000
    x = START.double()
    exact = ode_solution(schedule, x, first, last)
    errors = []
    for steps in (20, 40, 80, 160):
        states: list[torch.Tensor] = []
        grid = [first - i * (first - last) // steps for i in range(steps + 1)]
        sampler(recorder(schedule, states, gaussian_x0(schedule)), x, schedule, grid)
        errors.append(float((states[-1] - exact).abs().max()))
    ratios = [a / b for a, b in zip(errors, errors[1:])]
    assert ratios[-1] == pytest.approx(2**order, rel=0.1), ratios
    assert all(r > 0.75 * 2**order for r in ratios), ratios


def test_samples_of_a_gaussian_are_nearer_the_ode_than_ddims_at_the_same_cost():
    schedule = NoiseSchedule("cosine", 1000)
    x = torch.randn(500, 1, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    exact = ode_solution(schedule, x, 999, None)

    def error(sampler, steps: int) -> float:
        denoise = recorder(schedule, [], gaussian_x0(schedule))
        return float((sampler(denoise, x, schedule, ddim_timesteps(1000, steps)) - exact).abs().mean())

    assert error(dpm_sample, 8) < 0.8 * error(ddim_sample, 8)
    assert error(dpm_sample, 16) < 0.5 * error(ddim_sample, 16)
    assert error(dpm_sample, 50) < 1e-3


def test_one_and_two_steps_are_ddims():
    """Neither has a step that could be of second order."""
    schedule = NoiseSchedule("cosine", 1000)
    for steps in (1, 2):
        timesteps = ddim_timesteps(1000, steps)
        found = [sampler(recorder(schedule, []), START, schedule, timesteps) for sampler in (dpm_sample, ddim_sample)]
        assert torch.allclose(*found, atol=1e-5)
