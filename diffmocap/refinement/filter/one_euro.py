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

from diffmocap.refinement.filter.settings import OneEuroSettings


class Manifold(Protocol):
    """Points [N, ...] with tangent vectors [N, D] expressed at the point."""

    def encode(self, x: torch.Tensor) -> torch.Tensor: ...
    def decode(self, point: torch.Tensor) -> torch.Tensor: ...
    def difference(self, start: torch.Tensor, end: torch.Tensor) -> torch.Tensor: ...
    def step(self, start: torch.Tensor, tangent: torch.Tensor) -> torch.Tensor: ...


class Vectors:
    """R^D: points [N, D], any unit."""

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        return x

    def decode(self, point: torch.Tensor) -> torch.Tensor:
        return point

    def difference(self, start: torch.Tensor, end: torch.Tensor) -> torch.Tensor:
        return end - start

    def step(self, start: torch.Tensor, tangent: torch.Tensor) -> torch.Tensor:
        return start + tangent


class Rotations:
    """SO(3): rotation matrices [N, 3, 3] outside, unit quaternions [N, 4] inside.

    Quaternions can be normalised for next to nothing, so hours of products do not drift away from
    the manifold. Tangents are rotation vectors in the rotated (body) frame: R exp(v).
    """

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        return roma.rotmat_to_unitquat(x)

    def decode(self, point: torch.Tensor) -> torch.Tensor:
        return roma.unitquat_to_rotmat(point)

    def difference(self, start: torch.Tensor, end: torch.Tensor) -> torch.Tensor:
        return roma.unitquat_to_rotvec(roma.quat_product(roma.quat_conjugation(start), end))

    def step(self, start: torch.Tensor, tangent: torch.Tensor) -> torch.Tensor:
        return roma.quat_normalize(roma.quat_product(start, roma.rotvec_to_unitquat(tangent)))


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
        """Filtered value at the time of ``x``.

        Args:
            x: [N, ...] measurement.
            dt_s: time since the previous measurement; at or below zero the estimate is held,
                because a measurement out of order says nothing about the present.
        """
        point = self._manifold.encode(x)
        if self._estimate is None:
            self._estimate = point
            self._velocity = torch.zeros_like(self._manifold.difference(point, point))
            return x
        if dt_s > 0.0:
            # Appendix A, algorithm 1, line 5: the speed is that of the measurement seen from the
            # last *filtered* value, itself smoothed with a fixed cutoff ...
            innovation = self._manifold.difference(self._estimate, point)
            a = smoothing_factor(settings.speed_cutoff_hz, dt_s)
            self._velocity = self._velocity + a * (innovation / dt_s - self._velocity)
            # ... it raises the cutoff, f_c = f_c,min + beta |speed| ...
            speed = self._velocity.norm(dim=-1, keepdim=True)
            alpha = smoothing_factor(settings.min_cutoff_hz + settings.beta * speed, dt_s)
            # ... of the exponential smoothing, which here moves along the geodesic.
            self._estimate = self._manifold.step(self._estimate, alpha * innovation)
        return self._manifold.decode(self._estimate)
