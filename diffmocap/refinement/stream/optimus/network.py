"""Optimus for a stream: the network that takes the steps of the live refinement.

The structure is the paper's (Gartner et al. 2023, section 4): a step s for each parameter, through a preconditioner
that encoders build up from rank-one terms,

    s_n = r (-alpha_n g_n + lambda_a exp(lambda_b beta_n) d_n)          after eq. 2
    B   = H^-1 + sum_j f^a_j u_j u_j^T,   u_l = M_l(E_l)                section 4
    x  <- x - l sigma (1 + gamma_n) q_n + (l / l_0) ((B s)_n + delta_n p_n)      eq. 1

with what a sliding window asks for. H is the window's metric (:mod:`diffmocap.refinement.window.metric`), so that B
starts where the metric ends, and q the step of limited-memory BFGS on it. Its length l is l_0 while the loss falls and
less where it rose; the network is then trusted less, too. sigma is one factor for all, p the last step. With all
outputs zero this is :class:`~diffmocap.refinement.stream.metric_descent.MetricDescent`. A token is one joint at one
knot, three parameters, and encoders attend along the knots and along the joints in turn, so that a token meets 35
others instead of 750. Like the metric, they run when the knots have moved on; each step costs a small network for each
parameter. Factors u move on with the knots and fade by f in every frame.

All vectors are in spreads: what a parameter moves by where the metric's curvature alone holds it, the root of the
diagonal of H^-1. So numbers have no units and the network knows no scale.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from diffmocap.body.skeleton import NUM_JOINTS
from diffmocap.errors import SettingsError
from diffmocap.refinement.kernels.units import KNOT_SIZE

#: Joints and the pelvis's place: tokens of a knot. Parameters of a token.
TOKENS, SIZE = NUM_JOINTS + 1, 3
#: Features of a parameter: gradient, metric step, quasi-Newton step, last step, way of the last frame, place.
FEATURES = 6
#: What holds for the whole window, see :func:`~diffmocap.refinement.stream.optimus.step.facts_of`.
FACTS = 7
#: Of a knot: how far from the newest, how many frames it has, how much of the newest.
PLACES = 3
#: Gates of a parameter: of the gradient, log-length and direction of a step of its own, of the quasi-Newton step, of
#: the last step.
_OUTPUTS = 5
#: Bound of the exponent of a step's length, and of gates.
MOST_EXPONENT = 6.0


@dataclass(frozen=True)
class StreamOptimusSettings:
    """Sizes of the network. ``factors``: rank-one terms that are kept. ``lambda_a``, ``lambda_b``: see eq. 2."""

    width: int = 32
    heads: int = 2
    encoders: int = 2
    feedforward: int = 64
    mlp_width: int = 24
    factors: int = 8
    lambda_a: float = 0.1
    lambda_b: float = 0.1

    def __post_init__(self) -> None:
        if min(self.width, self.heads, self.encoders, self.feedforward, self.mlp_width, self.factors) < 1:
            raise SettingsError(f"all sizes of a stream's Optimus must be at least 1, got {self}")
        if self.width % self.heads:
            raise SettingsError(f"width {self.width} must be a multiple of heads {self.heads}")


@dataclass(frozen=True)
class Seen:
    """What a step of B windows with N parameters each starts from.

    Attributes:
        vectors: [B, N, FEATURES] in spreads and over ``scale``: gradient, metric step H^-1 g, quasi-Newton step, last
            step, way of the last frame, place.
        scale: [B, 1] root of the mean of g H^-1 g over the parameters.
        facts: [B, FACTS]. places: [B, Q, PLACES].
    """

    vectors: torch.Tensor
    scale: torch.Tensor
    facts: torch.Tensor
    places: torch.Tensor

    @classmethod
    def of(
        cls, gradient: torch.Tensor, metric_step: torch.Tensor, quasi: torch.Tensor, last: torch.Tensor,
        way: torch.Tensor, x: torch.Tensor, spread: torch.Tensor, facts: torch.Tensor, places: torch.Tensor,
    ) -> Seen:  # fmt: skip
        """From vectors [B, N] in the unknowns' units; ``spread`` [B, N]; ``facts`` lacks the last two, which follow."""
        scale = (gradient * metric_step).mean(-1, keepdim=True).clamp_min(1e-12).sqrt()
        units = spread * scale
        steps = torch.stack([metric_step, quasi, last, way, x], -1) / units[..., None]
        vectors = torch.cat([(gradient * spread / scale)[..., None], steps], -1)
        cosine = functional.cosine_similarity(gradient, last, -1)[:, None]
        return cls(vectors, scale, torch.cat([facts, scale.log(), cosine], -1), places)


@dataclass(frozen=True)
class Encoded:
    """What the encoders say of a window: ``context`` [B, N, mlp_width], ``factors`` [B, L, N] u_l in spreads, and the
    factor ``share`` [B, 1] of the quasi-Newton step."""

    context: torch.Tensor
    factors: torch.Tensor
    share: torch.Tensor


class AxialEncoder(nn.Module):
    """Attention along the knots, then along the joints, then a network of each token; before each a layer norm."""

    def __init__(self, width: int, heads: int, feedforward: int) -> None:
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.attends = nn.ModuleList(nn.Linear(width, 3 * width) for _ in range(2))
        self.leaves = nn.ModuleList(nn.Linear(width, width) for _ in range(2))
        self.inner, self.outer = nn.Linear(width, feedforward), nn.Linear(feedforward, width)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Tokens [B, Q, TOKENS, width] to as many."""
        tokens = tokens + self._attend(0, tokens.transpose(1, 2)).transpose(1, 2)
        tokens = tokens + self._attend(1, tokens)
        return tokens + self.outer(self.inner(self.norms[2](tokens)).relu())

    def _attend(self, which: int, tokens: torch.Tensor) -> torch.Tensor:
        """Attention along the last but one axis."""
        shape = tokens.shape
        projected = self.attends[which](self.norms[which](tokens)).flatten(0, 1)
        q, k, v = projected.unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        found = functional.scaled_dot_product_attention(q, k, v)
        return self.leaves[which](found.transpose(1, 2).flatten(-2)).view(shape)


class StreamOptimus(nn.Module):
    """The network. ``settings`` say how to build the same again."""

    def __init__(self, settings: StreamOptimusSettings = StreamOptimusSettings()) -> None:
        super().__init__()
        c = self.settings = settings
        self.inlet = nn.Linear(SIZE * FEATURES + PLACES + FACTS, c.width)
        self.joints = nn.Parameter(0.1 * torch.randn(TOKENS, c.width))
        self.encoders = nn.ModuleList(AxialEncoder(c.width, c.heads, c.feedforward) for _ in range(c.encoders))
        self.outlets = nn.ModuleList(nn.Linear(c.width, SIZE) for _ in range(c.encoders))  # M_l
        self.context = nn.Linear(c.width, SIZE * c.mlp_width)
        self.share = nn.Linear(c.width, 1)
        self.vectors = nn.Linear(FEATURES, c.mlp_width, bias=False)
        self.facts = nn.Linear(FACTS, c.mlp_width, bias=False)
        self.hidden = nn.Linear(c.mlp_width, c.mlp_width)
        self.out = nn.Linear(c.mlp_width, _OUTPUTS)
        self.fading = nn.Parameter(torch.zeros(()))
        for last in (self.out, self.share):  # an untrained network leaves the metric's steps as they are
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    @property
    def fade(self) -> torch.Tensor:
        """f: what a factor keeps of its weight from frame to frame."""
        return self.fading.sigmoid()

    def encode(self, seen: Seen) -> Encoded:
        """What the encoders make of a window, at a gradient."""
        vectors = seen.vectors.asinh()
        batch, knots = len(vectors), seen.places.shape[1]
        own = vectors.reshape(batch, knots, TOKENS, SIZE * FEATURES)
        of_knot = torch.cat([seen.places, seen.facts[:, None].expand(-1, knots, -1)], -1)
        of_knot = of_knot[:, :, None].expand(-1, -1, TOKENS, -1)
        tokens, factors = self.inlet(torch.cat([own, of_knot], -1)) + self.joints, []
        for encoder, outlet in zip(self.encoders, self.outlets, strict=True):
            tokens = encoder(tokens)
            factors.append(outlet(tokens).flatten(1))
        context = self.context(tokens).view(batch, knots * KNOT_SIZE, self.settings.mlp_width)
        share = 2.0 * self.share(tokens.mean((1, 2))).sigmoid()
        return Encoded(context, torch.stack(factors, 1), share)

    def gates(self, seen: Seen, encoded: Encoded) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """In every step: s [B, N] in spreads and over the scale, and the gates 1 + gamma and delta [B, N]."""
        hidden = encoded.context + self.vectors(seen.vectors.asinh()) + self.facts(seen.facts)[:, None]
        out = self.out(self.hidden(hidden.relu()).relu())
        alpha, beta, direction, gamma, delta = out.clamp(-MOST_EXPONENT, MOST_EXPONENT).unbind(-1)
        c = self.settings
        s = -alpha * seen.vectors[..., 0] + c.lambda_a * (c.lambda_b * beta).exp() * direction
        return s, 1.0 + gamma, delta


def through_factors(s: torch.Tensor, factors: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """sum_j w_j u_j (u_j . s) / N [B, N] for s [B, N], u [B, F, N] in spreads and weights [B, F]."""
    inner = (factors @ s[..., None])[..., 0] * (weights / s.shape[-1])
    return (inner[:, None] @ factors)[:, 0]
