"""Noise schedules of DDPM (Ho et al. 2020) and the identities between x0, epsilon and v."""

from __future__ import annotations

import math

import torch

from diffmocap.errors import SettingsError

SCHEDULES = ("cosine", "linear")
PARAMETERISATIONS = ("epsilon", "x0", "v")


class NoiseSchedule:
    """``q(x_t | x_0) = N(sqrt(abar_t) x_0, (1 - abar_t) I)`` for t = 0 .. steps - 1.

    Attributes:
        betas, alphas_bar: [steps] float64 on the CPU; ``signal`` = sqrt(abar) and ``sigma`` = sqrt(1 - abar) likewise.
    """

    def __init__(self, kind: str = "cosine", steps: int = 1000) -> None:
        if kind not in SCHEDULES:
            raise SettingsError(f"unknown noise schedule {kind!r}; one of {', '.join(SCHEDULES)}")
        if steps < 2:
            raise SettingsError(f"a noise schedule needs at least 2 steps, got {steps}")
        self.kind, self.steps = kind, steps
        if kind == "linear":  # Ho et al. 2020, section 4
            self.betas = torch.linspace(1e-4, 2e-2, steps, dtype=torch.float64)
        else:  # Nichol & Dhariwal 2021, eq. 17

            def abar(u: float) -> float:
                return math.cos((u + 0.008) / 1.008 * math.pi / 2) ** 2

            betas = [min(1 - abar((i + 1) / steps) / abar(i / steps), 0.999) for i in range(steps)]
            self.betas = torch.tensor(betas, dtype=torch.float64)
        self.alphas_bar = torch.cumprod(1 - self.betas, 0)
        self.signal = self.alphas_bar.sqrt()
        self.sigma = (1 - self.alphas_bar).sqrt()
        self._numbers = list(zip(self.signal.tolist(), self.sigma.tolist()))

    def add_noise(self, x0: torch.Tensor, noise: torch.Tensor, t: torch.Tensor | int) -> torch.Tensor:
        """x_t for x0 [B, ...], noise of its shape and integer t, [B] or one for all (eq. 4)."""
        a, s = self.coefficients(t, x0)
        return a * x0 + s * noise

    def coefficients(
        self, t: torch.Tensor | int, like: torch.Tensor
    ) -> tuple[torch.Tensor | float, torch.Tensor | float]:
        """sqrt(abar_t) and sqrt(1 - abar_t) that multiply ``like`` [B, ...]: numbers where t is one for all rows."""
        if isinstance(t, int):
            return self._numbers[t]
        shape = (-1,) + (1,) * (like.dim() - 1)
        index = t.to(self.signal.device)
        a = self.signal[index].to(like.device, like.dtype).view(shape)
        s = self.sigma[index].to(like.device, like.dtype).view(shape)
        return a, s

    def x0_and_epsilon(
        self, prediction: torch.Tensor, x_t: torch.Tensor, t: torch.Tensor | int, parameterisation: str
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """x0 and epsilon from what the network predicts: one of them, or v = sqrt(abar) eps - sqrt(1 - abar) x0
        (Salimans & Ho 2022)."""
        a, s = self.coefficients(t, x_t)
        if parameterisation == "x0":
            return prediction, (x_t - a * prediction) / s
        if parameterisation == "epsilon":
            return (x_t - s * prediction) / a, prediction
        if parameterisation == "v":
            return a * x_t - s * prediction, s * x_t + a * prediction
        raise SettingsError(f"unknown parameterisation {parameterisation!r}; one of {', '.join(PARAMETERISATIONS)}")

    def target(self, x0: torch.Tensor, noise: torch.Tensor, t: torch.Tensor, parameterisation: str) -> torch.Tensor:
        """What the network is trained to predict for (x0, noise, t)."""
        if parameterisation == "x0":
            return x0
        if parameterisation == "epsilon":
            return noise
        a, s = self.coefficients(t, x0)
        return a * noise - s * x0
