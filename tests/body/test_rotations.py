"""Rotation vectors and matrices: roma's, smooth at rest, and the same as machine code and as torch operations."""

from __future__ import annotations

import math

import pytest
import roma
import torch

from diffmocap.body.rotations import (
    matrix_from_6d,
    reorthonormalized,
    rotation_matrix,
    rotation_vector,
    unit_quaternion,
)

both_ways = pytest.mark.parametrize("with_gradients", [False, True], ids=["machine code", "torch"])


def up_to(most_rad: float, dtype: torch.dtype) -> torch.Tensor:
    """[500, 3] rotation vectors of all lengths."""
    vectors = torch.randn(500, 3, generator=torch.Generator().manual_seed(1), dtype=dtype)
    return vectors / vectors.norm(dim=1, keepdim=True) * torch.linspace(0, most_rad, 500, dtype=dtype)[:, None]


@both_ways
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_they_are_romas(dtype, with_gradients):
    vectors = up_to(3.0, dtype)
    matrices = roma.rotvec_to_rotmat(vectors)
    tolerance = 2e-5 if dtype is torch.float32 else 1e-8
    with torch.set_grad_enabled(with_gradients):
        found, turned = rotation_vector(matrices), rotation_matrix(vectors)
        beyond = rotation_matrix(3.0 * vectors)
    torch.testing.assert_close(found, vectors, rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(turned, matrices, rtol=0, atol=tolerance)
    torch.testing.assert_close(beyond, roma.rotvec_to_rotmat(3.0 * vectors), rtol=0, atol=tolerance)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_machine_code_makes_matrices_of_6d_as_torch_does(dtype):
    sixd = torch.randn(5, 24, 6, generator=torch.Generator().manual_seed(2), dtype=dtype)
    sixd[0, 0] = 0.0
    by_torch = matrix_from_6d(sixd)
    with torch.no_grad():
        compiled = matrix_from_6d(sixd)
        assert matrix_from_6d(sixd[:0]).shape == (0, 24, 3, 3)
    torch.testing.assert_close(compiled, by_torch, rtol=0, atol=1e-5 if dtype is torch.float32 else 1e-12)


@both_ways
def test_quaternions_are_romas_with_a_w_that_is_not_negative(with_gradients):
    matrices = roma.rotvec_to_rotmat(up_to(math.pi, torch.float64))
    with torch.set_grad_enabled(with_gradients):
        found = unit_quaternion(matrices)
    turned = roma.quat_product(found, roma.quat_conjugation(roma.rotmat_to_unitquat(matrices)))
    torch.testing.assert_close(turned[:, 3].abs(), torch.ones(500).double(), rtol=0, atol=1e-12)
    torch.testing.assert_close(found.norm(dim=-1), torch.ones(500).double(), rtol=0, atol=1e-12)
    assert float(found[:, 3].min()) >= 0


@both_ways
def test_any_batch_in_any_order_of_memory(with_gradients):
    matrices = roma.rotvec_to_rotmat(up_to(3.0, torch.float64)).unflatten(0, (5, 100))
    with torch.set_grad_enabled(with_gradients):
        inverse = rotation_vector(matrices.mT)
        assert rotation_vector(matrices[:0]).shape == (0, 100, 3)
        assert rotation_matrix(inverse[0, 0]).shape == (3, 3)
        torch.testing.assert_close(rotation_matrix(inverse.transpose(0, 1)).transpose(0, 1), matrices.mT)


def test_what_rounding_took_off_the_rotations_comes_back_with_the_square_of_the_error():
    matrices = roma.rotvec_to_rotmat(up_to(3.0, torch.float64))
    off = matrices + 1e-4 * torch.randn(500, 3, 3, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    back, eye = reorthonormalized(off), torch.eye(3, dtype=torch.float64)
    assert float((off.mT @ off - eye).abs().max()) > 1e-4
    assert float((back.mT @ back - eye).abs().max()) < 1e-6
    assert float((back - matrices).abs().max()) < 1e-3
    torch.testing.assert_close(reorthonormalized(matrices), matrices, rtol=0, atol=1e-12)


def test_a_vector_is_smooth_at_rest_and_finite_at_a_half_turn():
    x = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    jacobian = torch.autograd.functional.jacobian(lambda v: rotation_vector(roma.rotvec_to_rotmat(v)), x)
    torch.testing.assert_close(jacobian, torch.eye(3, dtype=torch.float64), rtol=0, atol=1e-6)
    half = torch.diag(torch.tensor([1.0, -1.0, -1.0])).requires_grad_()
    vector = rotation_vector(half)
    vector.sum().backward()
    assert bool(torch.isfinite(vector).all() and torch.isfinite(half.grad).all())
    with torch.no_grad():
        assert bool(rotation_vector(half).isfinite().all())
        assert bool(rotation_vector(torch.full((3, 3), torch.nan)).isnan().all())


def test_a_matrix_is_smooth_at_zero():
    torch.testing.assert_close(rotation_matrix(torch.zeros(1, 3)), torch.eye(3)[None])
    tiny = torch.zeros(1, 3, dtype=torch.float64, requires_grad=True)
    slope = torch.autograd.functional.jacobian(lambda v: rotation_matrix(v)[0], tiny)
    axis = torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(slope[:, :, 0, 0], axis)
    assert torch.autograd.gradcheck(rotation_matrix, (up_to(2.0, torch.float64)[::150].requires_grad_(),))
