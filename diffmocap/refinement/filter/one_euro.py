"""The one-euro filter on vector spaces and on rotations, for variable time steps.

Source: G. Casiez, N. Roussel, D. Vogel, "1 EUR Filter: A Simple Speed-based Low-pass Filter for
Noisy Input in Interactive Systems", CHI 2012. The filter is exponential smoothing whose cutoff
rises with the speed of the signal: still bodies do not jitter, fast ones do not lag.

On a manifold the paper's differences become logarithms and its interpolation a step along the
geodesic. One scalar speed per element (the norm of its velocity) keeps the filter equivariant:
turning the input turns the output.
"""

from __future__ import annotations

import math
from typing import Protocol

import roma
import torch

from diffmocap.body.rotations import reorthonormalized, rotation_matrix, rotation_vector
from diffmocap.errors import SettingsError
from diffmocap.refinement.filter.settings import OneEuroSettings

#: Below this trace a turn is so near to a half one that its axis stands in the symmetric part of the matrix alone.
_NEARLY_HALF_A_TURN = -0.999


class Manifold(Protocol):
    """Points [N, ...] with tangent vectors [N, D] expressed at the point."""

    def difference(self, start: torch.Tensor, end: torch.Tensor) -> torch.Tensor: ...
    def step(self, start: torch.Tensor, tangent: torch.Tensor) -> torch.Tensor: ...


class Vectors:
    """R^D: points [N, D], any unit."""

    def difference(self, start: torch.Tensor, end: torch.Tensor) -> torch.Tensor:
        return end - start

    def step(self, start: torch.Tensor, tangent: torch.Tensor) -> torch.Tensor:
        return start + tangent


class Rotations:
    """SO(3): rotation matrices [N, 3, 3]. Tangents are rotation vectors in the rotated (body) frame: R exp(v)."""

    def difference(self, start: torch.Tensor, end: torch.Tensor) -> torch.Tensor:
        turn = start.mT @ end
        if bool((turn.diagonal(dim1=-2, dim2=-1).sum(-1) < _NEARLY_HALF_A_TURN).any()):
            return roma.rotmat_to_rotvec(turn)
        return rotation_vector(turn)

    def step(self, start: torch.Tensor, tangent: torch.Tensor) -> torch.Tensor:
        return reorthonormalized(start @ rotation_matrix(tangent))


def smoothing_factor(cutoff_hz: torch.Tensor | float, dt_s: float) -> torch.Tensor | float:
    """The paper's alpha = 1 / (1 + tau / dt) with tau = 1 / (2 pi cutoff)."""
    r = 2.0 * math.pi * cutoff_hz * dt_s
    return r / (1.0 + r)


class OneEuroFilter:
    """Filters N elements of one manifold at once.

    Call :meth:`reset` to start a new signal; the first value after it passes unchanged.
    """

    def __init__(self, manifold: Manifold) -> None:
        self._manifold = manifold
        self._estimate: torch.Tensor | None = None
        self._velocity: torch.Tensor | None = None

    def reset(self) -> None:
        self._estimate = self._velocity = None

    def filter(self, x: torch.Tensor, dt_s: float, settings: OneEuroSettings) -> torch.Tensor:
        """Filtered value at the time of ``x``; it is the filter's state, and not to be written to.

        Args:
            x: [N, ...] measurement.
            dt_s: time since the previous measurement, positive; without meaning for the first one.

        Raises:
            SettingsError: no time has passed, so that there is no speed.
        """
        if self._estimate is None:
            self._estimate = x.clone()
            self._velocity = torch.zeros_like(self._manifold.difference(x, x))
            return x
        if not dt_s > 0.0:
            raise SettingsError(f"the time since the previous measurement must be positive, got {dt_s} s")
        # Appendix A, algorithm 1, line 5: the speed is that of the measurement seen from the
        # last *filtered* value, itself smoothed with a fixed cutoff ...
        innovation = self._manifold.difference(self._estimate, x)
        a = smoothing_factor(settings.speed_cutoff_hz, dt_s)
        self._velocity = self._velocity + a * (innovation / dt_s - self._velocity)
        # ... it raises the cutoff, f_c = f_c,min + beta |speed| ...
        speed = self._velocity.norm(dim=-1, keepdim=True)
        alpha = smoothing_factor(settings.min_cutoff_hz + settings.beta * speed, dt_s)
        # ... of the exponential smoothing, which here moves along the geodesic.
        self._estimate = self._manifold.step(self._estimate, alpha * innovation)
        return self._estimate
