"""Optimus (Gartner et al. 2023): per-parameter steps through a learned preconditioner.

    s_n = lambda_a exp(lambda_b alpha_n) d_n         an MLP for each parameter (eq. 2)
    u_l = M_l(E_l)                                   l = 1 .. L, E_l being the output of the l-th encoder
    B  <- (B + sum_l u_l u_l^T) / |B + ...|          section 4
    x  <- x + B s                                    eq. 1, algorithm 1

By default, beyond the paper, a share of a quasi-Newton step is added to B s, and a safeguard leads back from steps that
went wrong. All weights are shared by the parameters, so one network serves problems of any dimension. Where the paper
contradicts itself or is silent, :class:`OptimusSettings` says what there is to choose.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import nn

from diffmocap.errors import SettingsError
from diffmocap.optim.cpu.layers import linear
from diffmocap.optim.encoder import Encoder
from diffmocap.optim.features import Features, FeatureSettings, FeatureState
from diffmocap.optim.learned import LearnedOptimizer, PerParameterMlp, step_from
from diffmocap.optim.optimizer import State
from diffmocap.optim.preconditioner import NORMS, Preconditioner
from diffmocap.optim.safeguard import Safeguard
from diffmocap.optim.task import Task

ORDERS = ("update_first", "use_first")
FACTOR_SCALES = ("mean", "sum")


@dataclass(frozen=True)
class OptimusSettings:
    """Size of the networks, and the choices that the paper leaves open.

    Attributes:
        width, encoders, mlp_layers, lambda_b: the paper's values (supplement, table 3; section 4). mlp_width: of the
            MLP's hidden layers.
        lambda_a: steps are counted in it; the paper's value for its features, which know no lengths, is 0.1.
        heads, attention_width, feedforward: of the encoders; the paper does not give them. Its 832,526 weights mean
            wider ones; attention takes most of a step's time in high dimensions, where a width of 64 is twice as fast.
        order: ``update_first`` steps with the updated B, as algorithm 1 does; ``use_first`` with B as it was, as the
            text does, where a run's first step has B = I.
        norm: by what B is divided after an update, one of :data:`~diffmocap.optim.preconditioner.NORMS`.
        factor_scale: ``sum`` takes u as the network gives it, as the paper does: (u u^T) s is then a sum over the
            parameters and grows with N unless a norm undoes it. ``mean`` divides u by the root of N.
        state: False is the paper's ablation "no state": B starts from the identity at every step.
        structure: False is the ablation "no structure": the encoders turn features and s into the step directly.
        dense_above: B is held as a matrix when it has more than this share of N factors.
        quasi_newton: beyond the paper, 0.5 to 1.5 times the step of limited-memory BFGS is added to B s; the encoders
            give the factor. Needs ``pairs`` of the features.
        safeguard: beyond the paper, a point whose loss exceeds the last ten is left for the best one; see
            :mod:`~diffmocap.optim.safeguard`.

    Beyond the paper, features and units of steps come from :mod:`~diffmocap.optim.memory` and
    :mod:`~diffmocap.optim.limited_memory` by default. The defaults ``bound`` and ``mean`` were chosen for what they do
    with N: s of a given size then gives steps of the same size in every dimension, while the Frobenius norm shrinks the
    part of the identity with the root of N. The paper's own readings are :meth:`paper_text` and
    :meth:`paper_algorithm`.
    """

    width: int = 128
    heads: int = 2
    attention_width: int = 64
    feedforward: int = 256
    encoders: int = 3
    mlp_width: int = 128
    mlp_layers: int = 4
    lambda_a: float = 1.0
    lambda_b: float = 0.1
    order: str = "update_first"
    norm: str = "bound"
    factor_scale: str = "mean"
    state: bool = True
    structure: bool = True
    dense_above: float = 1.0
    quasi_newton: bool = True
    safeguard: bool = True
    features: FeatureSettings = field(default_factory=lambda: FeatureSettings(memory=True, pairs=16))

    def __post_init__(self) -> None:
        for name, value, known in (
            ("order", self.order, ORDERS), ("norm", self.norm, NORMS),
            ("factor_scale", self.factor_scale, FACTOR_SCALES),
        ):  # fmt: skip
            if value not in known:
                raise SettingsError(f"unknown {name} {value!r} of Optimus; one of {', '.join(known)}")
        if self.attention_width % self.heads:
            raise SettingsError(f"attention_width {self.attention_width} must be a multiple of heads {self.heads}")
        if self.encoders < 1:
            raise SettingsError(f"Optimus needs at least 1 encoder, got {self.encoders}")
        if self.quasi_newton and not self.features.pairs:
            raise SettingsError(
                "a quasi-Newton step needs pairs of the features: FeatureSettings(memory=True, pairs=16), or "
                "quasi_newton=False"
            )
        if not self.state and self.order == "use_first":
            raise SettingsError("without state B must be updated before it is used: order 'update_first'")

    @classmethod
    def paper_text(cls, **changes) -> OptimusSettings:
        """Section 4 to the letter: B is used before its update and divided by its Frobenius norm."""
        return cls(**{**_PAPER, "order": "use_first", "norm": "frobenius", "factor_scale": "sum", **changes})

    @classmethod
    def paper_algorithm(cls, **changes) -> OptimusSettings:
        """Algorithm 1 to the letter: B is updated before its use and never divided."""
        return cls(**{**_PAPER, "order": "update_first", "norm": "none", "factor_scale": "sum", **changes})


#: What both readings of the paper share: the features that its networks have seen, and steps in units of x.
_PAPER = {
    "lambda_a": 0.1, "quasi_newton": False, "safeguard": False, "features": FeatureSettings(second_moments=3),
}  # fmt: skip


@dataclass
class OptimusState(State):
    """``features``: the averages so far. ``b``: the preconditioner. ``safeguard``: points to go back to. Both are None
    where the settings have none."""

    features: FeatureState
    b: Preconditioner | None
    safeguard: Safeguard | None = None


class Optimus(LearnedOptimizer):
    """The learned optimizer: a transformer that predicts steps and factors of a preconditioner (the paper, section 4).

    Its networks see [B, F, N] features of B problems with N parameters each; docs/optimizers.md tells what it has
    beyond the paper.
    """

    def __init__(self, settings: OptimusSettings = OptimusSettings()) -> None:
        super().__init__()
        c = self.settings = settings
        self.features = Features(c.features)
        self.mlp = PerParameterMlp(self.features.count, c.mlp_width, c.mlp_layers, 2)
        # Without structure a token also carries the direction and the log length of s.
        self.inlet = nn.Linear(self.features.count + (0 if c.structure else 2), c.width)
        sizes = (c.width, c.heads, c.feedforward, c.attention_width)
        self.encoders = nn.ModuleList(Encoder(*sizes) for _ in range(c.encoders))
        if c.structure:
            self.outlets = nn.ModuleList(nn.Linear(c.width, 1) for _ in range(c.encoders))  # M_l
        else:
            self.outlet = nn.Linear(c.width, 2)
        if c.quasi_newton:
            self.share = nn.Linear(c.width, 1)

    def init(self, task: Task, x: torch.Tensor) -> OptimusState:
        has_state = self.settings.state and self.settings.structure
        b = Preconditioner.eye(x.to(self.features.dtype), self.settings.dense_above) if has_state else None
        safeguard = Safeguard.begin(x) if self.settings.safeguard else None
        return OptimusState(x, 0, self.features.init(task, x), b, safeguard)

    def step(self, state: OptimusState, loss: torch.Tensor, gradient: torch.Tensor) -> OptimusState:
        z, features = self.features(state.features, state.x, gradient, state.step)
        moved, b, share = self._direction(z, state)
        step, safeguard = (features.unit * moved).to(state.x), state.safeguard
        if share is not None:
            step = step + share.to(state.x) * features.pairs.step
        if safeguard is None:
            x = state.x + step
        else:
            x, safeguard = safeguard.next(state.x, loss, step)
        return OptimusState(x, state.step + 1, features, b, safeguard)

    def _direction(
        self, z: torch.Tensor, state: OptimusState
    ) -> tuple[torch.Tensor, Preconditioner | None, torch.Tensor | None]:
        """The learned step [B, N] from features [B, F, N], B after it, and the quasi-Newton step's share [B, 1]."""
        c = self.settings
        alpha_d = self.mlp(z)
        if not c.structure:  # a token also carries the direction and the log length of s
            tokens = self._tokens(torch.cat([z, alpha_d], 1))
            return step_from(*self.outlet(tokens[-1]).unbind(-1), c.lambda_a, c.lambda_b), None, self._share(tokens)
        s, tokens = step_from(*alpha_d.unbind(1), c.lambda_a, c.lambda_b), self._tokens(z)
        u, share = self._factors(tokens), self._share(tokens)
        b = state.b or Preconditioner.eye(s, math.inf)
        if c.order == "use_first":
            return b.multiply(s[:, None])[:, 0], b.update(u, c.norm), share
        updated, moved = b.update_and_multiply(u, c.norm, s)
        return moved, updated if c.state else None, share

    def _tokens(self, z: torch.Tensor) -> list[torch.Tensor]:
        """The tokens after each encoder [B, N, width]."""
        tokens, after = linear(self.inlet, z.mT), []
        for encoder in self.encoders:
            tokens = encoder(tokens)
            after.append(tokens)
        return after

    def _factors(self, tokens: list[torch.Tensor]) -> torch.Tensor:
        """u [B, L, N] from the tokens after each encoder."""
        u = torch.stack([outlet(t)[..., 0] for outlet, t in zip(self.outlets, tokens)], 1)
        return u / math.sqrt(u.shape[-1]) if self.settings.factor_scale == "mean" else u

    def _share(self, tokens: list[torch.Tensor]) -> torch.Tensor | None:
        """The factor [B, 1] of the quasi-Newton step, 1/2 to 3/2, from the mean over the parameters."""
        return 0.5 + self.share(tokens[-1].mean(1)).sigmoid() if self.settings.quasi_newton else None
