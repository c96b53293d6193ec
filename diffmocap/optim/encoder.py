"""Transformer encoders over the parameters of a problem: their tokens have no order and no positions."""

from __future__ import annotations

import torch
from torch import nn

from diffmocap.optim.cpu.layers import attention, linear


class Encoder(nn.Module):
    """Pre-norm self-attention and feed-forward on tokens [B, N, width].

    ``attention_width`` is that of queries, keys and values, all heads together. The memory of attention is linear in N;
    its time stays quadratic.
    """

    def __init__(self, width: int, heads: int, feedforward: int, attention_width: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * attention_width)
        self.joined = nn.Linear(attention_width, width)
        self.inner = nn.Linear(width, feedforward)
        self.outer = nn.Linear(feedforward, width)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        heads = linear(self.query_key_value, self.norm1(tokens)).unflatten(-1, (3, self.heads, -1))
        q, k, v = heads.permute(2, 0, 3, 1, 4)
        tokens = tokens + linear(self.joined, attention(q, k, v).transpose(1, 2).flatten(2))
        return tokens + linear(self.outer, linear(self.inner, self.norm2(tokens), "gelu"))
