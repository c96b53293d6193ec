"""Layers of the optimizers' networks as they run where nothing is trained: the same numbers, sooner on a CPU.

PyTorch's own products of matrices in single precision are MKL's, which leaves half of the arithmetic units of an AMD
processor unused. oneDNN, which comes with PyTorch too, makes its kernels for the processor at hand, with biases and
activations in them. On Intel's processors it is the other way round: a step of Optimus takes 20 ms by MKL and 34 by
oneDNN (Xeon with AMX, one core, 816 unknowns). oneDNN's operator is one that PyTorch's compiler calls, not an interface
that is promised to stay; where it is missing, and wherever a gradient is wanted, PyTorch's ordinary layers do the work.
"""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

#: From so many rows on oneDNN is faster; below, calling it costs more than it saves.
LEAST_ROWS = 64
#: Attention in blocks is faster from so many tokens on. The scores of a block stay in the processor's cache.
LEAST_TOKENS, BLOCK = 250, 256
#: Where Linux tells whose processor it is.
CPUINFO = Path("/proc/cpuinfo")
_ACTIVATIONS = {"none": lambda y: y, "relu": torch.relu, "gelu": F.gelu}
#: What oneDNN's GELU computes: the exact one, as PyTorch's does.
_ALGORITHMS = {"none": "", "relu": "", "gelu": "none"}


def has_onednn() -> bool:
    """Whether this PyTorch brings the operator."""
    return torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


@cache
def mkl_knows_the_processor() -> bool:
    """Whether PyTorch multiplies matrices by MKL on a processor of Intel's."""
    try:
        return torch.backends.mkl.is_available() and "GenuineIntel" in CPUINFO.read_text()
    except OSError:
        return False


def uses_onednn() -> bool:
    """Whether layers without a gradient go through oneDNN on this machine."""
    return has_onednn() and not mkl_knows_the_processor()


def _fits(x: torch.Tensor, rows: int) -> bool:
    fit = x.device.type == "cpu" and x.dtype == torch.float32 and rows >= LEAST_ROWS
    return fit and not torch.is_grad_enabled() and uses_onednn()


def linear(layer: nn.Linear, x: torch.Tensor, activation: str = "none") -> torch.Tensor:
    """``activation`` (none, relu or gelu) of ``layer`` on x [..., I]: [..., O]."""
    if not _fits(x, x.numel() // x.shape[-1]):
        return _ACTIVATIONS[activation](layer(x))
    return torch.ops.mkldnn._linear_pointwise(
        x.contiguous(), layer.weight, layer.bias, activation, [], _ALGORITHMS[activation]
    )


def attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """Softmax(q k^T / sqrt(d)) v of queries, keys and values [B, H, N, d], in memory linear in N: [B, H, N, d]."""
    if k.shape[-2] < LEAST_TOKENS or not _fits(q, q.shape[-2]):
        return F.scaled_dot_product_attention(q, k, v)
    product, none = torch.ops.mkldnn._linear_pointwise, ("none", [], "")
    found, scale = torch.empty_like(q, memory_format=torch.contiguous_format), 1 / math.sqrt(q.shape[-1])
    for b in range(q.shape[0]):
        for h in range(q.shape[1]):
            queries, keys, values = (q[b, h] * scale), k[b, h].contiguous(), v[b, h].mT.contiguous()
            for a in range(0, len(queries), BLOCK):
                shares = product(queries[a : a + BLOCK], keys, None, *none).softmax(-1)
                found[b, h, a : a + BLOCK] = product(shares, values, None, *none)
    return found
