"""The transformer denoiser of the diffusion paper (section 5.2, figure 5).

Joint tokens with learned embeddings and keypoint tokens go through separate encoders; a decoder lets the joint
tokens attend to each other and to the time and keypoint embeddings. The paper leaves widths, depths and the
normalisation open; here: pre-norm layers, GELU, and one more condition token for the view (see ``condition.py``).
The time embedding is added to the joint tokens as well, so that their encoder knows the diffusion time.

Beyond the paper, a keypoint token may carry the detector's guess of its depth, and a joint token the joint's rotation
a moment ago. Both enter through linear maps beside a flag that says whether they are there.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import torch
from torch import nn
from torch.nn import functional as F

from diffmocap.body.skeleton import NUM_JOINTS, NUM_KEYPOINTS
from diffmocap.errors import SettingsError
from diffmocap.lifting.network.condition import Condition

#: Memory tokens besides time: the view and the keypoints.
NUM_MEMORY = 1 + NUM_KEYPOINTS
#: Unit in which the network hears depths: about their standard deviation, so that they count like the positions.
DEPTH_UNIT_M = 0.2


@dataclass(frozen=True)
class DenoiserConfig:
    """Size of the network and what it predicts."""

    width: int = 160
    heads: int = 5
    feedforward: int = 320
    joint_layers: int = 1
    keypoint_layers: int = 1
    decoder_layers: int = 4
    dropout: float = 0.0
    parameterisation: str = "x0"
    schedule: str = "cosine"
    diffusion_steps: int = 1000

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise SettingsError(f"width {self.width} must be a multiple of heads {self.heads}")

    def as_dict(self) -> dict:
        """For the weights file."""
        return asdict(self)


@dataclass
class ConditionCode:
    """Keys and values of the condition for each decoder layer, computed once a frame and used at every step.

    ``keys``, ``values``: per layer [B, heads, NUM_MEMORY, width / heads]; ``mask`` [B, 1, 1, 1 + NUM_MEMORY]
    additive, the first column being time; ``joints`` [B, 24, width] what the previous pose adds to the joint tokens.
    """

    keys: list[torch.Tensor]
    values: list[torch.Tensor]
    mask: torch.Tensor
    joints: torch.Tensor

    def __len__(self) -> int:
        return len(self.mask)

    def stack(self, other: ConditionCode) -> ConditionCode:
        """Both codes as one batch."""
        return ConditionCode(
            [torch.cat(p) for p in zip(self.keys, other.keys)],
            [torch.cat(p) for p in zip(self.values, other.values)],
            torch.cat([self.mask, other.mask]),
            torch.cat([self.joints, other.joints]),
        )

    def repeat(self, times: int) -> ConditionCode:
        """Every row ``times`` times, its copies side by side."""
        if times == 1:
            return self
        return ConditionCode(
            [k.repeat_interleave(times, 0) for k in self.keys],
            [v.repeat_interleave(times, 0) for v in self.values],
            self.mask.repeat_interleave(times, 0),
            self.joints.repeat_interleave(times, 0),
        )


class Attention(nn.Module):
    """Multi-head attention whose keys and values may be computed ahead."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)

    def _split(self, x: torch.Tensor) -> torch.Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def project_memory(self, memory: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values [B, heads, N, width / heads] of memory tokens [B, N, width]."""
        k, v = self.key_value(memory).chunk(2, -1)
        return self._split(k), self._split(v)

    def forward(self, x: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        q = self._split(self.query(x))
        if q.device.type == "cpu" and q.dtype == torch.bfloat16:
            # The CPU kernel's backward pass is many times slower in bf16 than plain products are.
            weights = q * q.shape[-1] ** -0.5 @ k.transpose(-1, -2)
            y = (weights if mask is None else weights + mask).softmax(-1).to(v.dtype) @ v
        elif q.device.type == "cpu":
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        else:
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=None if mask is None else mask.to(q.dtype))
        return self.out(y.transpose(1, 2).flatten(2))


class FeedForward(nn.Sequential):
    """Two linear layers with a GELU."""

    def __init__(self, width: int, hidden: int, dropout: float) -> None:
        super().__init__(nn.Linear(width, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, width))


class EncoderLayer(nn.Module):
    """Pre-norm self-attention and feed-forward."""

    def __init__(self, c: DenoiserConfig) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(c.width), nn.LayerNorm(c.width)
        self.attention = Attention(c.width, c.heads)
        self.feedforward = FeedForward(c.width, c.feedforward, c.dropout)
        self.drop = nn.Dropout(c.dropout)

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        y = self.norm1(x)
        x = x + self.drop(self.attention(y, *self.attention.project_memory(y), mask))
        return x + self.drop(self.feedforward(self.norm2(x)))


class DecoderLayer(nn.Module):
    """Pre-norm self-attention among joints, cross-attention to time and condition, feed-forward."""

    def __init__(self, c: DenoiserConfig) -> None:
        super().__init__()
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(c.width) for _ in range(3))
        self.self_attention = Attention(c.width, c.heads)
        self.cross_attention = Attention(c.width, c.heads)
        self.feedforward = FeedForward(c.width, c.feedforward, c.dropout)
        self.drop = nn.Dropout(c.dropout)

    def forward(self, x, time_token, keys, values, mask) -> torch.Tensor:
        y = self.norm1(x)
        x = x + self.drop(self.self_attention(y, *self.self_attention.project_memory(y), None))
        time_k, time_v = self.cross_attention.project_memory(time_token)
        k, v = torch.cat([time_k, keys], 2), torch.cat([time_v, values], 2)
        x = x + self.drop(self.cross_attention(self.norm2(x), k, v, mask))
        return x + self.drop(self.feedforward(self.norm3(x)))


class TransformerDenoiser(nn.Module):
    """eps_theta(x_t, t, y): joint tokens in, one 6-vector a joint out, in units of the standardised pose.

    ``pose_mean`` and ``pose_std`` [24, 6] standardise the 6D rotations; they travel with the weights.
    ``student``: what a few-step student was made for, see ``weights.load_weights``; None for all others.
    """

    def __init__(self, config: DenoiserConfig = DenoiserConfig()) -> None:
        super().__init__()
        c = self.config = config
        self.student: dict | None = None
        self.joint_in = nn.Linear(6, c.width)
        self.joint_embedding = nn.Parameter(0.02 * torch.randn(NUM_JOINTS, c.width))
        self.previous_in = nn.Linear(7, c.width, bias=False)
        self.keypoint_in = nn.Linear(5, c.width)
        self.keypoint_embedding = nn.Parameter(0.02 * torch.randn(NUM_KEYPOINTS, c.width))
        self.view_in = nn.Sequential(nn.Linear(4, c.width), nn.GELU(), nn.Linear(c.width, c.width))
        self.null_token = nn.Parameter(0.02 * torch.randn(c.width))
        self.time_mlp = nn.Sequential(nn.Linear(c.width, c.width), nn.GELU(), nn.Linear(c.width, c.width))
        self.joint_encoder = nn.ModuleList(EncoderLayer(c) for _ in range(c.joint_layers))
        self.keypoint_encoder = nn.ModuleList(EncoderLayer(c) for _ in range(c.keypoint_layers))
        self.memory_norm = nn.LayerNorm(c.width)
        self.decoder = nn.ModuleList(DecoderLayer(c) for _ in range(c.decoder_layers))
        self.out = nn.Sequential(nn.LayerNorm(c.width), nn.Linear(c.width, 6))
        self.register_buffer("pose_mean", torch.zeros(NUM_JOINTS, 6))
        self.register_buffer("pose_std", torch.ones(NUM_JOINTS, 6))
        frequencies = torch.exp(-math.log(10_000.0) * torch.arange(c.width // 2) / (c.width // 2))
        self.register_buffer("frequencies", frequencies, persistent=False)

    def encode_condition(self, condition: Condition, keep: torch.Tensor | None = None) -> ConditionCode:
        """Encodes y once. ``keep`` [B] bool: False replaces a row's condition by the null condition."""
        scalars = (condition.confidence, condition.depth / DEPTH_UNIT_M, condition.depth_known)
        tokens = self.keypoint_in(torch.cat([condition.points, torch.stack(scalars, -1)], -1))
        tokens = tokens + self.keypoint_embedding
        view = self.view_in(condition.view)[:, None]
        memory = torch.cat([view, tokens], 1)
        seen = torch.cat([torch.ones_like(condition.confidence[:, :1]), condition.confidence], 1) > 0
        if keep is not None:
            memory = torch.where(keep[:, None, None], memory, self.null_token)
            first = torch.arange(NUM_MEMORY, device=seen.device) == 0
            seen = torch.where(keep[:, None], seen, first)
        mask = torch.zeros(seen.shape, device=memory.device).masked_fill(~seen, float("-inf"))[:, None, None]
        for layer in self.keypoint_encoder:
            memory = layer(memory, mask)
        memory = self.memory_norm(memory)
        projected = [layer.cross_attention.project_memory(memory) for layer in self.decoder]
        joints = self.encode_previous(condition.previous, condition.previous_known, keep, len(condition))
        return ConditionCode([k for k, _ in projected], [v for _, v in projected], F.pad(mask, (1, 0)), joints)

    def encode_previous(
        self, previous: torch.Tensor | None, known: torch.Tensor | None, keep: torch.Tensor | None, batch: int
    ) -> torch.Tensor:
        """What previous poses [B, 24, 6] add to the joint tokens: zero where ``known`` or ``keep`` [B] is false."""
        if previous is None:
            return self.joint_embedding.new_zeros(batch, NUM_JOINTS, self.config.width)
        known = known if keep is None else known * keep
        tokens = F.pad(self.standardise(previous), (0, 1), value=1.0)
        return self.previous_in(torch.where(known[:, None, None] > 0, tokens, 0.0))

    def null_code(self, batch: int) -> ConditionCode:
        """The code of the null condition for ``batch`` rows."""
        device = self.null_token.device
        blank = Condition(
            torch.zeros(batch, NUM_KEYPOINTS, 2, device=device), torch.zeros(batch, NUM_KEYPOINTS, device=device),
            torch.zeros(batch, 4, device=device), torch.eye(3, device=device).expand(batch, 3, 3),
            torch.ones(batch, device=device),
        )  # fmt: skip
        return self.encode_condition(blank, torch.zeros(batch, dtype=torch.bool, device=device))

    def forward(self, x_t: torch.Tensor, t: torch.Tensor | int, code: ConditionCode) -> torch.Tensor:
        """Prediction [B, 24, 6] for x_t [B, 24, 6] at integer times t, [B] or one for all."""
        if isinstance(t, int):
            t = torch.full((len(x_t),), t, device=x_t.device)
        phase = t.to(self.frequencies.dtype)[:, None] * self.frequencies
        time_token = self.time_mlp(torch.cat([phase.sin(), phase.cos()], -1))[:, None]
        x = self.joint_in(x_t) + self.joint_embedding + code.joints + time_token
        for layer in self.joint_encoder:
            x = layer(x)
        for layer, k, v in zip(self.decoder, code.keys, code.values):
            x = layer(x, time_token, k, v, code.mask)
        return self.out(x)

    def standardise(self, sixd: torch.Tensor) -> torch.Tensor:
        """6D rotations [B, 24, 6] to the units that are diffused."""
        return (sixd - self.pose_mean) / self.pose_std

    def unstandardise(self, x: torch.Tensor) -> torch.Tensor:
        """Inverse of :meth:`standardise`."""
        return x * self.pose_std + self.pose_mean
