"""Half-precision weights: the same products where the weights are half-precision numbers, and only there."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from diffmocap.lifting.network.half_linear import half_linear


@pytest.mark.parametrize("bias", [True, False])
def test_weights_that_ship_in_half_precision_give_the_same_products(bias):
    torch.manual_seed(0)
    layer = nn.Linear(96, 40, bias=bias).requires_grad_(False)
    layer.weight.copy_(layer.weight.half())
    for rows in (1, 4, 33):
        x = 3.0 * torch.randn(rows, 96)
        assert torch.allclose(half_linear(layer)(x), layer(x), atol=1e-5)


def test_other_weights_are_left_as_they_are():
    torch.manual_seed(0)
    layer = nn.Linear(96, 40).requires_grad_(False)
    x = torch.randn(4, 96)
    assert torch.equal(half_linear(layer)(x), layer(x))


def test_what_is_no_number_stays_none():
    layer = nn.Linear(8, 4).requires_grad_(False)
    layer.weight.fill_(0.5)
    assert half_linear(layer)(torch.full((1, 8), torch.nan)).isnan().all()
