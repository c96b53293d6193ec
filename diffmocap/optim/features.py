"""What a learned optimizer sees of each parameter: the 39 features of the paper's supplement, section 3.

The list there leaves out the gradient, which Metz et al.'s code has. The networks of the paper's table 4 have seen 43:
their numbers of weights, 22,411 and 811,531, leave no other choice, nor of 9 further scalars, where the list's decays
are 7. Both follow from three averages of the squared gradient in the place of one (``second_moments``).

They are those of Metz et al. 2022 ("Practical tradeoffs between memory, compute, and performance in learned
optimizers"): gradient, averages of it in the manner of Adam and Adafactor, and the time. Each but the time is divided
by the root of its mean square over the parameters of its problem, so that it has a second moment of 1.

Gradients are measured in units of the root mean square of the run's first one. So the optimizer does the same for f and
for 1000 f + 3, and single precision holds the squares of gradients of 1e20, which some of the test functions have.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from diffmocap.errors import SettingsError
from diffmocap.optim.limited_memory import LIMITED_MEMORY_FEATURES, Pairs, quasi_newton
from diffmocap.optim.memory import MEMORY_FEATURES, MemoryState, begin, remember
from diffmocap.optim.task import Task

#: Decays of the averages, as Metz et al. initialise them: three of the gradient, one of its square, three of Adafactor.
MOMENTUM_DECAYS = (0.9, 0.99, 0.999)
SQUARE_DECAYS = {1: (0.999,), 3: (0.9, 0.99, 0.999)}
ADAFACTOR_DECAYS = (0.9, 0.99, 0.999)
#: Times x of tanh(t / x), t being the number of steps taken.
TIMES = (1, 3, 10, 30, 100, 300, 1_000, 3_000, 10_000, 30_000, 100_000)


def parameter_features(second_moments: int) -> tuple[str, ...]:
    """Names of the normalised features in their order."""
    of = ("",) if second_moments == 1 else tuple(f"_{d}" for d in SQUARE_DECAYS[second_moments])
    return (*_BEFORE, *(f"square{d}" for d in of), *_RATIOS, *(f"inverse_root_square{d}" for d in of), *_ADAFACTOR)


_BEFORE = ("gradient", "parameter", *(f"momentum_{d}" for d in MOMENTUM_DECAYS))
_RATIOS = tuple(f"momentum_{d}_over_root_square" for d in MOMENTUM_DECAYS)
_ADAFACTOR = (
    *(f"adafactor_{d}_gradient" for d in ADAFACTOR_DECAYS), *(f"adafactor_{d}_row" for d in ADAFACTOR_DECAYS),
    *(f"adafactor_{d}_column" for d in ADAFACTOR_DECAYS),
    *(f"adafactor_{d}_inverse_root_row" for d in ADAFACTOR_DECAYS),
    *(f"adafactor_{d}_inverse_root_column" for d in ADAFACTOR_DECAYS),
    *(f"adafactor_{d}_momentum" for d in ADAFACTOR_DECAYS),
)  # fmt: skip
#: With one second moment, and names of the time's features.
PARAMETER_FEATURES = parameter_features(1)
TIME_FEATURES = tuple(f"tanh_time_over_{t}" for t in TIMES)
#: Added to averages of squares in units of the first gradient's: far below them, and not denormal.
_TINY = 1e-16
#: Largest gradient in units of the first: infinities and NaN must not end a run.
_LARGEST = 1e15


@dataclass(frozen=True)
class FeatureSettings:
    """What the paper leaves open, and what goes beyond it.

    Attributes:
        epsilon: added to the mean square that a feature is divided by. At 1e-5, the value in Metz et al.'s code,
            features fade when they are below about 3e-3, and so the optimizer can tell when a gradient is small.
        relative_gradient: gradients in units of the run's first one; False takes them as they are, as the paper does.
        second_moments: averages of the squared gradient, 1 as in Metz et al.'s code and in the paper's list, or 3 as in
            the paper's own networks; each of the three is then under the average of the gradient with its decay.
        learned_decays: the decays of the averages are learned with the weights, as in Metz et al.'s code.
        memory: beyond the paper, adds :data:`~diffmocap.optim.memory.MEMORY_FEATURES`, and steps are measured in the
            unit of :mod:`diffmocap.optim.memory` instead of that of x.
        pairs: beyond the paper, the number of pairs of steps and gradient changes that are stored, from which
            :data:`~diffmocap.optim.limited_memory.LIMITED_MEMORY_FEATURES` describe the step of limited-memory BFGS; 0
            for none. Needs ``memory``.
    """

    epsilon: float = 1e-5
    relative_gradient: bool = True
    learned_decays: bool = True
    second_moments: int = 1
    memory: bool = False
    pairs: int = 0

    def __post_init__(self) -> None:
        if not self.epsilon > 0:
            raise SettingsError(f"the features' epsilon must be positive, got {self.epsilon}")
        if self.second_moments not in SQUARE_DECAYS:
            raise SettingsError(f"second_moments of the features must be 1 or 3, got {self.second_moments}")
        if self.pairs < 0 or (self.pairs and not self.memory):
            raise SettingsError(
                "pairs of the features must be 0, or positive with memory=True, whose unit they need; got "
                f"{self.pairs} with memory={self.memory}"
            )

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the features in their order."""
        names = parameter_features(self.second_moments) + TIME_FEATURES + (MEMORY_FEATURES if self.memory else ())
        return names + (LIMITED_MEMORY_FEATURES if self.pairs else ())


@dataclass
class FeatureState:
    """Averages of a run. ``shape`` is the task's, (N,) or (rows, columns).

    ``scale`` [B, 1] that gradients are multiplied by, None before the first. ``momentum`` [B, 3, N], ``square``
    [B, 1 or 3, N]. ``row`` and ``column`` [B, 3, rows] and [B, 3, columns]; for a vector, ``row`` [B, 3, N] and no
    column. ``memory`` and ``pairs``: None where the settings have none.
    """

    shape: tuple[int, ...]
    momentum: torch.Tensor
    square: torch.Tensor
    row: torch.Tensor
    column: torch.Tensor | None
    scale: torch.Tensor | None = None
    memory: MemoryState | None = None
    pairs: Pairs | None = None

    @property
    def unit(self) -> torch.Tensor | float:
        """What a step is measured in, [B, 1]; 1 without memory."""
        return 1.0 if self.memory is None else self.memory.unit


class Features(nn.Module):
    """From gradients to features, with the decays of the averages as parameters."""

    def __init__(self, settings: FeatureSettings = FeatureSettings()) -> None:
        super().__init__()
        self.settings = settings
        decays = torch.tensor(MOMENTUM_DECAYS + SQUARE_DECAYS[settings.second_moments] + ADAFACTOR_DECAYS)
        self.register_buffer("start", decays.logit(), persistent=False)
        self.register_buffer("times", 1 / torch.tensor(TIMES, dtype=torch.float32), persistent=False)
        if settings.learned_decays:
            #: Added to the logits of the decays.
            self.decay_shift = nn.Parameter(torch.zeros(len(decays)))

    @property
    def count(self) -> int:
        """F, the number of features."""
        return len(self.settings.names)

    @property
    def dtype(self) -> torch.dtype:
        """In which features are computed, whatever the task's."""
        return self.start.dtype

    def decays(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Those of momentum [3, 1], square [1 or 3, 1] and Adafactor [3, 1]."""
        logits = self.start + self.decay_shift if self.settings.learned_decays else self.start
        sizes = (len(MOMENTUM_DECAYS), self.settings.second_moments, len(ADAFACTOR_DECAYS))
        return tuple(part[:, None] for part in logits.sigmoid().split(sizes))

    def init(self, task: Task, x: torch.Tensor) -> FeatureState:
        """For runs from ``x`` [B, N]: all averages are zero."""
        memory = begin(x, task.scale, self.dtype) if self.settings.memory else None
        pairs = Pairs.none(x) if self.settings.pairs else None
        (batch, n), x = x.shape, x.to(self.dtype)
        rows, columns = (n, None) if len(task.shape) == 1 else task.shape

        def zeros(*size: int) -> torch.Tensor:
            return x.new_zeros(batch, *size)

        column = None if columns is None else zeros(len(ADAFACTOR_DECAYS), columns)
        return FeatureState(
            tuple(task.shape), zeros(len(MOMENTUM_DECAYS), n), zeros(self.settings.second_moments, n),
            zeros(len(ADAFACTOR_DECAYS), rows), column, memory=memory, pairs=pairs,
        )  # fmt: skip

    def forward(
        self, state: FeatureState, x: torch.Tensor, gradient: torch.Tensor, step: int
    ) -> tuple[torch.Tensor, FeatureState]:
        """Features [B, F, N] at x [B, N] after ``step`` steps, the averages having heard of the gradient [B, N]."""
        exact, x = x, (x if state.memory is None else x / state.memory.scale).to(self.dtype)
        g, scale = self._scaled(state.scale, gradient.to(self.dtype))
        d_momentum, d_square, d_factor = self.decays()
        momentum = state.momentum * d_momentum + g[:, None] * (1 - d_momentum)
        square = state.square * d_square + g.square()[:, None] * (1 - d_square)
        row, column, row_tiled, column_tiled, factor = self._factored(state, g.square(), d_factor)
        inverse_root = (square + _TINY).rsqrt()
        own = torch.cat([
            g[:, None], x[:, None], momentum, square, momentum * inverse_root, inverse_root, g[:, None] * factor,
            row_tiled, column_tiled, (row_tiled + _TINY).rsqrt(), (column_tiled + _TINY).rsqrt(), momentum * factor,
        ], 1)  # fmt: skip
        time = torch.tanh(step * self.times).view(1, -1, 1).expand(len(g), -1, g.shape[1])
        parts = [self._normalised(own), time]
        memory = pairs = None
        if self.settings.memory:
            remembered, memory = remember(state.memory, exact, g)
            parts.append(remembered)
        if self.settings.pairs:  # from what the task gives: its gradient may span more decades than g can resolve
            told, pairs = quasi_newton(
                state.pairs, exact, gradient, memory.unit, state.memory.scale.to(memory.unit), self.settings.pairs
            )
            parts.append(told)
        return torch.cat(parts, 1), FeatureState(state.shape, momentum, square, row, column, scale, memory, pairs)

    def _scaled(self, scale: torch.Tensor | None, gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        g = torch.nan_to_num(gradient, nan=0.0, posinf=1e30, neginf=-1e30)
        if self.settings.relative_gradient:
            if scale is None:
                largest = g.abs().amax(-1, keepdim=True)
                largest = torch.where(largest > 0, largest, 1.0)  # a run may start where the gradient is zero
                scale = 1 / (largest * (g / largest).square().mean(-1, keepdim=True).sqrt().clamp_min(1e-6))
            g = g * scale
        return g.clamp(-_LARGEST, _LARGEST), scale

    @staticmethod
    def _factored(state: FeatureState, square: torch.Tensor, decay: torch.Tensor):
        """New Adafactor averages, both tiled to [B, 3, N], and the factor [B, 3, N] that normalises a gradient.

        Shazeer & Stern 2018, algorithm 4; a vector has one unfactored average, which stands for row and column.
        """
        if len(state.shape) == 1:
            row = state.row * decay + square[:, None] * (1 - decay)
            return row, None, row, row, (row + _TINY).rsqrt()
        grid = square.unflatten(-1, state.shape)
        row = state.row * decay + grid.mean(-1)[:, None] * (1 - decay)
        column = state.column * decay + grid.mean(-2)[:, None] * (1 - decay)
        shape = (-1, -1, *state.shape)
        row_tiled = row[..., None].expand(shape).flatten(-2)
        column_tiled = column[..., None, :].expand(shape).flatten(-2)
        relative = row_tiled / (row.mean(-1, keepdim=True) + _TINY)
        return row, column, row_tiled, column_tiled, (relative * column_tiled + _TINY).rsqrt()

    def _normalised(self, values: torch.Tensor) -> torch.Tensor:
        """v / sqrt(mean v^2 + epsilon) over N for v [B, F, N]; divided twice, since squares may overflow."""
        largest = values.abs().amax(-1, keepdim=True).clamp_min(1.0)
        values = values / largest
        return values * (values.square().mean(-1, keepdim=True) + self.settings.epsilon / largest.square()).rsqrt()
