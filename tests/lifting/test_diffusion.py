"""Schedules and samplers against diffusers, and the identities of guidance."""

from __future__ import annotations

import pytest
import torch

from diffmocap.errors import SettingsError
from diffmocap.lifting.sampling.ddim import ddim_sample, ddim_timesteps
from diffmocap.lifting.sampling.ddpm import ddpm_sample
from diffmocap.lifting.sampling.schedule import NoiseSchedule

BETAS = {"linear": "linear", "cosine": "squaredcos_cap_v2"}


def toy_epsilon(x: torch.Tensor, t: int) -> torch.Tensor:
    """Any smooth function of (x, t) will do to compare samplers."""
    return torch.tanh(x) * 0.5 + 0.1 * torch.sin(torch.tensor(t / 100.0))


def denoiser(schedule: NoiseSchedule):
    def denoise(x, t):
        return schedule.x0_and_epsilon(toy_epsilon(x, t), x, torch.full((len(x),), t), "epsilon")

    return denoise


@pytest.mark.parametrize("kind", ["linear", "cosine"])
def test_schedule_agrees_with_diffusers(kind, diffusers):
    reference = diffusers.DDPMScheduler(1000, beta_schedule=BETAS[kind], beta_start=1e-4, beta_end=2e-2)
    ours = NoiseSchedule(kind, 1000)
    assert torch.allclose(ours.alphas_bar.float(), reference.alphas_cumprod, rtol=1e-3, atol=1e-7)
    x, noise = torch.randn(4, 24, 6), torch.randn(4, 24, 6)
    t = torch.tensor([0, 10, 500, 999])
    assert torch.allclose(ours.add_noise(x, noise, t), reference.add_noise(x, noise, t), atol=1e-4)


@pytest.mark.parametrize("steps", [1, 5, 50])
def test_ddim_agrees_with_diffusers(steps, diffusers):
    reference = diffusers.DDIMScheduler(
        1000, beta_schedule="squaredcos_cap_v2", clip_sample=False, set_alpha_to_one=True, timestep_spacing="trailing"
    )
    reference.set_timesteps(steps)
    schedule = NoiseSchedule("cosine", 1000)
    timesteps = ddim_timesteps(1000, steps)
    assert timesteps == reference.timesteps.tolist()
    start = torch.randn(3, 24, 6, generator=torch.Generator().manual_seed(0))
    x = start
    for t in reference.timesteps:
        x = reference.step(toy_epsilon(x, int(t)), t, x).prev_sample
    # The reference divides by a signal of 5e-5 at the last time in float32, so compare with care there.
    ours = ddim_sample(denoiser(schedule), start, schedule, timesteps)
    assert torch.allclose(ours, x, rtol=5e-3, atol=5e-3 * float(x.abs().max()))


def test_ddpm_has_the_posterior_mean_and_variance_of_diffusers(diffusers):
    reference = diffusers.DDPMScheduler(
        1000, beta_schedule="linear", beta_start=1e-4, beta_end=2e-2, clip_sample=False, variance_type="fixed_small"
    )
    schedule = NoiseSchedule("linear", 1000)
    x = torch.randn(2, 24, 6, generator=torch.Generator().manual_seed(1))
    # The first step from t = 40 of both with the same noise: ours draws it from the generator.
    posterior = []

    def recording(x_t, t):
        posterior.append((t, x_t))
        return denoiser(schedule)(x_t, t)

    ddpm_sample(recording, x, schedule, start=40, generator=torch.Generator().manual_seed(7))
    t, x_39 = posterior[1]
    assert t == 39
    mean = reference.step(toy_epsilon(x, 40), 40, x, generator=torch.Generator().manual_seed(7)).prev_sample
    assert torch.allclose(x_39, mean, atol=1e-4)


def test_ddpm_without_temperature_draws_nothing():
    schedule = NoiseSchedule("linear", 1000)
    x = torch.randn(2, 24, 6, generator=torch.Generator().manual_seed(1))
    cold, again, warm = (
        ddpm_sample(denoiser(schedule), x, schedule, 20, torch.Generator().manual_seed(seed), temperature)
        for seed, temperature in ((1, 0.0), (2, 0.0), (2, 1.0))
    )
    assert torch.equal(cold, again) and not torch.allclose(again, warm)


def test_sampling_takes_no_more_steps_than_the_schedule_has():
    assert ddim_timesteps(20, 50) == list(range(19, -1, -1))


def test_ddim_recovers_a_known_gaussian():
    """With the exact denoiser of N(m, s^2) every sampler must return samples of N(m, s^2)."""
    schedule, m, s = NoiseSchedule("cosine", 1000), 0.7, 0.3

    def exact(x, t):
        a, b = float(schedule.signal[t]), float(schedule.sigma[t])
        epsilon = b * (x - a * m) / (a * a * s * s + b * b)
        return (x - b * epsilon) / a, epsilon

    start = torch.randn(4000, 1, 1, generator=torch.Generator().manual_seed(0))
    for eta in (0.0, 1.0):
        x = ddim_sample(exact, start, schedule, ddim_timesteps(1000, 100), eta, torch.Generator().manual_seed(1))
        assert float(x.mean()) == pytest.approx(m, abs=0.03) and float(x.std()) == pytest.approx(s, abs=0.03)


@pytest.mark.parametrize("kind", ["epsilon", "x0", "v"])
def test_parameterisations_tell_the_same(kind):
    schedule = NoiseSchedule()
    g = torch.Generator().manual_seed(0)
    x0, noise = torch.randn(5, 24, 6, generator=g), torch.randn(5, 24, 6, generator=g)
    t = torch.tensor([1, 100, 400, 700, 900])
    x_t = schedule.add_noise(x0, noise, t)
    found = schedule.x0_and_epsilon(schedule.target(x0, noise, t, kind), x_t, t, kind)
    assert torch.allclose(found[0], x0, atol=1e-3) and torch.allclose(found[1], noise, atol=1e-3)


def test_timesteps_end_at_the_last_interval_and_start_where_asked():
    for steps in (1, 2, 3, 7, 50, 1000):
        for start in (0.05, 0.3, 1.0):
            t = ddim_timesteps(1000, steps, start)
            assert len(t) == steps and t == sorted(set(t), reverse=True) and t[-1] >= 0
            assert t[0] == max(round(1000 * start), steps) - 1


def test_unknown_names_are_refused():
    with pytest.raises(SettingsError, match="cosine"):
        NoiseSchedule("sigmoid")
    with pytest.raises(SettingsError, match="epsilon"):
        NoiseSchedule().x0_and_epsilon(torch.zeros(1, 1), torch.zeros(1, 1), torch.tensor([5]), "score")
