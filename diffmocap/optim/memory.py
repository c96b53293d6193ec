"""Past steps and gradient changes as features of a learned optimizer, and the unit of its steps.

Beyond the paper, whose features are of gradients alone: BFGS estimates the curvature from the last step s and the
change of the gradient along it, y. Here both are features of each parameter, with the secant step g |sum s y| / sum y^2
that follows from them, and of the problem as a whole. Normalised features carry no lengths, so steps need a unit: the
length over which the gradient would change by its own norm, |g| |s| / |y| (Barzilai & Borwein 1988 take the same from
the last pair). With it an optimizer takes the same steps on f(x) and on a f(b x) + c.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

#: Decays of the averages of s y, y^2 and s^2; 0 is the last pair alone.
DECAYS = (0.0, 0.7, 0.9)
#: Names of the features in their order. The last six are the same for all parameters of a problem.
MEMORY_FEATURES = (
    "last_step", "gradient_change", "log_gradient_size", *(f"secant_{d}" for d in DECAYS), "long_secant_0.7",
    "log_inverse_curvature", "curvature_0.7", "curvature_0.9", "place", "displacement", "log_gradient_rms",
    "log_unit", "log_step_rms", "cosine_gradient_step",
    "cosine_step_change", "cosine_gradients",
)  # fmt: skip

#: First unit as a share of the task's scale.
FIRST_UNIT = 0.1
#: The unit changes by no more than these factors in a step.
SHRINK, GROW = 0.1, 3.0
#: Largest value of a step's feature in units, and decades that logarithms are divided by.
_LARGEST, _DECADES = 5.0, 4.0
#: The same of a secant step. Where a single one of N parameters has not converged, its step is root N units long.
_LARGEST_SECANT = 50.0
#: Added to means of squares of order 1, so that no derivative of the features overflows.
_SMALL = 1e-12
_TINY = 1e-30


@dataclass
class MemoryState:
    """``start`` and ``x`` [B, N] in the task's dtype, ``gradient`` [B, N] of the previous step; ``products`` [B, K, 3,
    N] averages of s y, y^2 and s^2, each pair over the mean of its y^2; ``first_unit``, ``unit`` [B, 1]."""

    start: torch.Tensor
    first_unit: torch.Tensor
    unit: torch.Tensor
    x: torch.Tensor | None = None
    gradient: torch.Tensor | None = None
    products: torch.Tensor | None = None

    @property
    def scale(self) -> torch.Tensor:
        """[B, 1] of the task, or of its start."""
        return self.first_unit / FIRST_UNIT


def begin(x: torch.Tensor, scale: float | None, dtype: torch.dtype) -> MemoryState:
    """For runs from ``x`` [B, N]; without a ``scale`` of the task it is the root mean square of the start, or 1."""
    if scale is None:
        scale = torch.where(x.abs().amax(-1, keepdim=True) > 0, _rms(x), 1.0)
    else:
        scale = torch.full_like(x[:, :1], scale)
    unit = (FIRST_UNIT * scale).to(dtype)
    return MemoryState(x, unit, unit)


def remember(state: MemoryState, x: torch.Tensor, gradient: torch.Tensor) -> tuple[torch.Tensor, MemoryState]:
    """Features [B, M, N] at ``x`` [B, N] with the gradient [B, N] there, and the next state."""
    size = _rms(gradient).clamp_min(_TINY)
    if state.x is None:
        s = y = torch.zeros_like(gradient)
        unit, products = state.unit, gradient.new_zeros(len(x), len(DECAYS), 3, x.shape[1])
        curvature = [s] * (len(DECAYS) + 2)
        cosines = [s[:, :1]] * 3
    else:
        s = (x - state.x).to(gradient)
        y = gradient - state.gradient
        length, change = _rms(s).clamp_min(_TINY), _rms(y).clamp_min(_TINY)
        unit = _new_unit(state.unit, (size * length / change).detach())
        products = _averaged(state.products, s / length, y / change, length / change / state.first_unit)
        curvature = _from_curvature(products, gradient * (state.first_unit / unit))
        cosines = [_cosine(gradient, s), _cosine(s, y), _cosine(gradient, state.gradient)]
    with torch.no_grad():  # bounded, but not their derivatives
        signs = products[:, 1:, 0] * (products[:, 1:, 1] * products[:, 1:, 2] + _TINY).rsqrt()
    logs = [size.log10() / _DECADES, (unit / state.first_unit).log10() / _DECADES, (_rms(s) / unit + 1e-3).log10()]
    own = [
        (s / unit).clamp(-_LARGEST, _LARGEST), (y / size).clamp(-_LARGEST, _LARGEST),
        ((gradient / size).abs() + 1e-6).log10() / _DECADES, *curvature, *signs.unbind(1),
        *_places(state, x, gradient), *(value.expand_as(gradient) for value in (*logs, *cosines)),
    ]  # fmt: skip
    return torch.stack(own, 1), MemoryState(state.start, state.first_unit, unit, x, gradient, products)


def _from_curvature(products: torch.Tensor, gradient: torch.Tensor) -> list[torch.Tensor]:
    """Secant steps of ``gradient`` [B, N], in the unit of the products over that of steps, for each average and the
    cautious one sum s^2 / |sum s y|, and the log inverse curvature beside its mean over the parameters."""
    short = products[:, :, 0].abs() / (products[:, :, 1] + _SMALL)
    long = products[:, 1, 2] / (products[:, 1, 0].abs() + _SMALL)
    steps = [(gradient * h).clamp(-_LARGEST_SECANT, _LARGEST_SECANT) for h in (*short.unbind(1), long)]
    inverse = (short[:, 1] + _SMALL).log10() / _DECADES
    return [*steps, inverse - inverse.mean(-1, keepdim=True)]


def _places(state: MemoryState, x: torch.Tensor, like: torch.Tensor) -> list[torch.Tensor]:
    """Each parameter's value and its distance from the start, both over the scale of the task."""
    return [(part.to(like) / state.scale).clamp(-_LARGEST, _LARGEST) for part in (x, x - state.start)]


def _new_unit(previous: torch.Tensor, proposed: torch.Tensor) -> torch.Tensor:
    proposed = torch.nan_to_num(proposed, nan=0.0, posinf=0.0)
    proposed = torch.where(proposed > 0, proposed, previous)
    return torch.minimum(torch.maximum(proposed, SHRINK * previous), GROW * previous)


def _averaged(
    products: torch.Tensor, s: torch.Tensor, y: torch.Tensor, inverse_curvature: torch.Tensor
) -> torch.Tensor:
    """New averages [B, K, 3, N] with s and y [B, N] of mean square 1 and the ratio [B, 1] of their lengths."""
    decay = s.new_tensor(DECAYS)[:, None, None]
    h = inverse_curvature
    new = torch.stack([s * y * h, y * y, s * s * h * h], 1)[:, None]
    return products * decay + new * (1 - decay)


def _cosine(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """[B, 1] of [B, N]."""
    return (a * b).mean(-1, keepdim=True) / (_rms(a) * _rms(b)).clamp_min(_TINY)


def _rms(values: torch.Tensor) -> torch.Tensor:
    """Root mean square [B, 1] of [B, N]; its gradient at zero is zero."""
    largest = values.detach().abs().amax(-1, keepdim=True).clamp_min(_TINY)
    return ((values / largest).square().mean(-1, keepdim=True) + _SMALL).sqrt() * largest
