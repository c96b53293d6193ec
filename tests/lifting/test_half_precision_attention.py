"""In half precision on a CPU attention is written out: it has to be the same attention."""

import pytest
import torch

from diffmocap.lifting.network.denoiser import Attention


@pytest.mark.parametrize("masked", [False, True])
def test_half_precision_attention_agrees_with_full_precision_in_value_and_gradient(masked):
    torch.manual_seed(0)
    attention = Attention(160, 5)
    memory = torch.randn(4, 26, 160)
    mask = torch.zeros(4, 1, 1, 26)
    mask[..., -3:] = float("-inf")
    found = {}
    for half in (False, True):
        x = torch.randn(4, 24, 160, generator=torch.Generator().manual_seed(1)).requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            y = attention(x, *attention.project_memory(memory), mask if masked else None).float()
        y.square().sum().backward()
        found[half] = torch.stack([y.detach(), x.grad])
    scale = found[False].flatten(1).norm(dim=1)
    assert ((found[True] - found[False]).flatten(1).norm(dim=1) < 0.02 * scale).all()


def test_half_precision_attention_does_not_see_what_is_masked():
    torch.manual_seed(0)
    attention, x = Attention(160, 5), torch.randn(1, 24, 160)
    memory = torch.randn(1, 26, 160)
    other = memory.clone()
    other[:, -3:] += 10.0
    mask = torch.zeros(1, 1, 1, 26)
    mask[..., -3:] = float("-inf")
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(*(attention(x, *attention.project_memory(m), mask) for m in (memory, other)))
