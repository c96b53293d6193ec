"""Layers without a gradient against PyTorch's own, and an optimizer's step by either."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from diffmocap.optim.cpu import layers
from diffmocap.optim.cpu.layers import BLOCK, LEAST_ROWS, LEAST_TOKENS, attention, has_onednn, linear
from diffmocap.optim.functions import make_function
from diffmocap.optim.optimus import Optimus
from diffmocap.optim.stopping import Budget
from diffmocap.optim.weights import load_shipped

ACTIVATIONS = {"none": lambda y: y, "relu": torch.relu, "gelu": F.gelu}


@pytest.fixture
def calls(monkeypatch) -> list:
    """Shapes of what went to oneDNN's operator."""
    if not has_onednn():
        pytest.skip("this PyTorch has no oneDNN")
    seen, onednn = [], torch.ops.mkldnn._linear_pointwise

    class Recording:
        @staticmethod
        def _linear_pointwise(x, *arguments):
            seen.append(tuple(x.shape))
            return onednn(x, *arguments)

    monkeypatch.setattr(layers.torch.ops, "mkldnn", Recording, raising=False)
    monkeypatch.setattr(layers, "uses_onednn", lambda: True)
    return seen


def close(a: torch.Tensor, b: torch.Tensor) -> bool:
    """To a few digits of rounding; nothing here is larger than about ten."""
    return a.shape == b.shape and torch.allclose(a, b, rtol=1e-5, atol=5e-6)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("shape", [(LEAST_ROWS - 1, 9), (LEAST_ROWS, 9), (3, LEAST_ROWS, 9)])
@torch.no_grad()
def test_a_layer_is_pytorchs(activation, shape, calls) -> None:
    torch.manual_seed(0)
    layer, x = nn.Linear(9, 5), 3 * torch.randn(shape)
    assert close(linear(layer, x, activation), ACTIVATIONS[activation](layer(x)))
    assert calls == ([shape] if x.numel() // 9 >= LEAST_ROWS else [])
    turned = 3 * torch.randn(2, 9, LEAST_ROWS)  # a view whose rows lie apart
    assert close(linear(layer, turned.mT, activation), ACTIVATIONS[activation](layer(turned.mT.contiguous())))


@pytest.mark.parametrize("tokens", [LEAST_TOKENS - 1, LEAST_TOKENS, BLOCK, 2 * BLOCK + 3])
@torch.no_grad()
def test_attention_is_pytorchs(tokens, calls) -> None:
    torch.manual_seed(0)
    # As the encoders make them: views of one tensor, with scores of some size.
    q, k, v = (3 * torch.randn(2, tokens, 3, 2, 8)).permute(2, 0, 3, 1, 4)
    exact = F.scaled_dot_product_attention(q.double(), k.double(), v.double())
    theirs = (F.scaled_dot_product_attention(q, k, v) - exact).abs().max()
    assert (attention(q, k, v) - exact).abs().max() <= 3 * theirs < 1e-3
    blocks = -(-tokens // BLOCK)
    assert len(calls) == (2 * 2 * 2 * blocks if tokens >= LEAST_TOKENS else 0)


def test_what_is_trained_or_precise_goes_through_pytorch(calls) -> None:
    layer, x = nn.Linear(9, 5), torch.randn(2 * LEAST_ROWS, 9)
    linear(layer, x, "relu").sum().backward()
    assert layer.weight.grad is not None
    q = torch.randn(1, 1, LEAST_TOKENS, 4, requires_grad=True)
    attention(q, q, q).sum().backward()
    with torch.no_grad():
        assert linear(layer.double(), x.double()).dtype == torch.float64
    assert q.grad is not None and calls == []


def test_optimus_takes_the_same_steps_with_either(monkeypatch) -> None:
    if not has_onednn():
        pytest.skip("this PyTorch has no oneDNN")
    optimus: Optimus = load_shipped("optimus")
    task = make_function("Rosenbrock", LEAST_TOKENS)
    x, budget = task.init(1, torch.Generator().manual_seed(0)).double(), Budget(evaluations=12)
    monkeypatch.setattr(layers, "uses_onednn", lambda: True)
    fast = optimus.minimize(task, x, budget)
    monkeypatch.setattr(layers, "uses_onednn", lambda: False)
    plain = optimus.minimize(task, x, budget)
    assert torch.allclose(fast.losses, plain.losses, rtol=1e-3) and not torch.equal(fast.losses, plain.losses)
    assert fast.losses[-1] < 0.1 * fast.losses[0]


@pytest.mark.parametrize("vendor, mkl, wanted", [
    ("GenuineIntel", True, False), ("AuthenticAMD", True, True), ("GenuineIntel", False, True), (None, True, True),
])  # fmt: skip
def test_intels_processors_have_mkl(vendor, mkl, wanted, tmp_path, monkeypatch) -> None:
    if vendor:
        (tmp_path / "cpuinfo").write_text(f"processor\t: 0\nvendor_id\t: {vendor}\n")
    monkeypatch.setattr(layers, "CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(torch.backends.mkl, "is_available", lambda: mkl)
    monkeypatch.setattr(layers, "has_onednn", lambda: True)
    monkeypatch.setattr(layers, "mkl_knows_the_processor", layers.mkl_knows_the_processor.__wrapped__)  # not cached
    assert layers.uses_onednn() is wanted
