"""Products with weights in half precision, which a CPU reads in half the time: sums stay in single precision.

One pose at a time, a layer takes as long as reading its weights takes. Weights ship in half precision, so that nothing
is lost where they are kept so.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial

import torch
from torch import nn
from torch.nn import functional as F

Linear = Callable[[torch.Tensor], torch.Tensor]


def half_linear(layer: nn.Linear) -> Linear:
    """``layer`` for [B, in] float32 on the CPU, from weights in half precision; in single precision where these would
    not be the same weights, or the processor's library (FBGEMM) has no such products. Keeps no gradient."""
    weight, bias = layer.weight.detach(), None if layer.bias is None else layer.bias.detach()
    plain = partial(F.linear, weight=weight, bias=bias)
    if weight.device.type != "cpu" or not torch.equal(weight.half().float(), weight):
        return plain
    try:
        with warnings.catch_warnings():  # the library's, about its weights' range, which was looked at above
            warnings.simplefilter("ignore")
            packed = torch.ops.quantized.linear_prepack_fp16(weight, bias)
        product = partial(torch.ops.quantized.linear_dynamic_fp16, W_prepack=packed)
        probe = torch.linspace(-1.0, 1.0, weight.shape[1])[None]
        return product if torch.allclose(product(probe), plain(probe), rtol=1e-3, atol=1e-3) else plain
    except (RuntimeError, AttributeError):  # no such engine on this processor, or no such operation any more
        return plain
