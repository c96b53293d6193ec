"""Consistency sampling on data whose ODE is known, and the samplers behind their names."""

from __future__ import annotations

import pytest
import torch

from diffmocap.errors import SettingsError
from diffmocap.lifting.sampling.consistency import consistency_sample
from diffmocap.lifting.sampling.ddim import ddim_sample, ddim_timesteps
from diffmocap.lifting.sampling.ddpm import ddpm_sample
from diffmocap.lifting.sampling.dpm_solver import dpm_sample
from diffmocap.lifting.sampling.samplers import SAMPLERS, sample_along
from diffmocap.lifting.sampling.schedule import NoiseSchedule

SCHEDULE = NoiseSchedule("cosine", 1000)
MEAN, STD = 0.7, 0.3


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def ode_end(x: torch.Tensor, t: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A perfect student of N(MEAN, STD^2): where the ODE through x_t ends, and the epsilon that goes with it."""
    a, b = SCHEDULE.coefficients(t, x)
    end = MEAN + STD * (x - a * MEAN) / (a * a * STD**2 + b * b) ** 0.5
    return end, (x - a * end) / b


def toy(x: torch.Tensor, t: int) -> tuple[torch.Tensor, torch.Tensor]:
    return SCHEDULE.x0_and_epsilon(0.5 * torch.tanh(x) + t / 5000, x, t, "x0")


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_a_perfect_student_keeps_mean_and_spread_at_any_number_of_steps(steps):
    x = torch.randn(20_000, 1, 1, generator=generator(0))
    found = sample_along("consistency", ode_end, x, SCHEDULE, ddim_timesteps(1000, steps), generator(1))
    assert float(found.mean()) == pytest.approx(MEAN, abs=0.01) and float(found.std()) == pytest.approx(STD, abs=0.01)


def test_every_step_noises_the_last_x0_to_its_time():
    states = []

    def recorded(x, t):
        states.append((t, x))
        return toy(x, t)

    x, noise = torch.randn(4, 24, 6, generator=generator(0)), torch.randn(2, 4, 24, 6, generator=generator(1))
    found = consistency_sample(recorded, x, SCHEDULE, [999, 666, 332], noise)
    assert torch.equal(states[0][1], x) and [t for t, _ in states] == [999, 666, 332]
    for (t, before), (following, after), fresh in zip(states, states[1:], noise):
        expected = SCHEDULE.add_noise(toy(before, t)[0], fresh, torch.full((4,), following))
        assert torch.allclose(after, expected, atol=1e-6)
    assert torch.equal(found, toy(states[-1][1], 332)[0])


@pytest.mark.parametrize("count", [0, 2])
def test_noise_must_fit_the_steps(count):
    with pytest.raises(ValueError):
        consistency_sample(toy, torch.zeros(1, 24, 6), SCHEDULE, [999, 499], torch.zeros(count, 1, 24, 6))


def test_names_stand_for_their_samplers():
    x, timesteps = torch.randn(3, 24, 6, generator=generator(0)), ddim_timesteps(1000, 4, 0.5)
    found = {name: sample_along(name, toy, x, SCHEDULE, timesteps, generator(5)) for name in SAMPLERS}
    noise = torch.randn(3, 3, 24, 6, generator=generator(5))
    assert torch.equal(found["ddim"], ddim_sample(toy, x, SCHEDULE, timesteps))
    assert torch.equal(found["dpm"], dpm_sample(toy, x, SCHEDULE, timesteps))
    assert torch.equal(found["ddpm"], ddpm_sample(toy, x, SCHEDULE, 499, generator(5)))
    assert torch.equal(found["consistency"], consistency_sample(toy, x, SCHEDULE, timesteps, noise))
    with pytest.raises(SettingsError, match="consistency"):
        sample_along("euler", toy, x, SCHEDULE, timesteps)


@pytest.mark.parametrize("name", ["consistency", "ddpm"])
def test_temperature_may_differ_between_rows(name):
    x, timesteps = torch.randn(2, 24, 6, generator=generator(0)), ddim_timesteps(1000, 3, 0.1)
    temperature = torch.tensor([0.0, 1.0])[:, None, None]
    one, two = (sample_along(name, toy, x, SCHEDULE, timesteps, generator(s), temperature) for s in (1, 2))
    assert torch.equal(one[0], two[0]) and not torch.allclose(one[1], two[1])


@pytest.mark.parametrize("kind", ["epsilon", "x0", "v"])
def test_one_time_for_all_rows_says_what_a_time_for_each_says(kind):
    x, prediction, t = torch.randn(2, 24, 6), torch.randn(2, 24, 6), torch.tensor([321, 321])
    assert torch.allclose(SCHEDULE.add_noise(x, prediction, 321), SCHEDULE.add_noise(x, prediction, t), atol=1e-6)
    for number, tensor in zip(
        SCHEDULE.x0_and_epsilon(prediction, x, 321, kind), SCHEDULE.x0_and_epsilon(prediction, x, t, kind)
    ):
        assert torch.allclose(number, tensor, atol=1e-6)
