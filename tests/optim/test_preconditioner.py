"""The factor form against the dense one, its norms against eigenvalues, and what it costs."""

from __future__ import annotations

import pytest
import torch

from diffmocap.errors import SettingsError
from diffmocap.optim.preconditioner import NORMS, Preconditioner

BATCH, N, L = 3, 17, 3


def vectors(*shape: int, seed: int = 0, dtype=torch.float64) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def plain_norm(matrix: torch.Tensor, identity: torch.Tensor, norm: str) -> torch.Tensor:
    """From the eigenvalues of B [B, N, N]; c [B] is the identity's share."""
    values = torch.linalg.eigvalsh(matrix)
    n = matrix.shape[-1]
    return {
        "frobenius": values.square().sum(-1).sqrt(), "rms": values.square().mean(-1).sqrt(), "mean": values.mean(-1),
        "bound": values.sum(-1) - (n - 1) * identity, "none": torch.ones(len(matrix), dtype=matrix.dtype),
    }[norm]  # fmt: skip


@pytest.mark.parametrize("norm", NORMS)
def test_factors_and_dense_form_are_the_papers_update_over_many_steps(norm: str) -> None:
    """60 steps, that is 180 factors of 17 numbers: in factors, dense, and written out."""
    factored = Preconditioner.eye(vectors(BATCH, N), dense_above=float("inf"))
    dense = Preconditioner.eye(vectors(BATCH, N), dense_above=0.0)
    matrix, identity = torch.eye(N, dtype=torch.float64).repeat(BATCH, 1, 1), torch.ones(BATCH, dtype=torch.float64)
    for step in range(60):
        u, s = 0.3 * vectors(BATCH, L, N, seed=step), vectors(BATCH, N, seed=1000 + step)
        matrix = matrix + torch.einsum("bli,blj->bij", u, u)
        size = plain_norm(matrix, identity, norm)
        matrix, identity = matrix / size[:, None, None], identity / size
        factored, by_factors = factored.update_and_multiply(u, norm, s)
        dense, by_matrix = dense.update_and_multiply(u, norm, s)
        expected = (matrix @ s[..., None])[..., 0]
        assert torch.allclose(by_factors, expected, rtol=1e-9) and torch.allclose(by_matrix, expected, rtol=1e-9)
        assert torch.allclose(factored.as_matrix(), matrix) and torch.allclose(dense.as_matrix(), matrix)
        assert torch.allclose(factored.multiply(s[:, None])[:, 0], expected, rtol=1e-9)
    assert factored.factors.shape == (BATCH, 180, N) and dense.is_dense and not factored.is_dense
    for form in (factored, dense):
        trace = matrix.diagonal(dim1=1, dim2=2).sum(-1)
        assert torch.allclose(form.identity, identity) and torch.allclose(form.trace, trace)
        if norm in ("frobenius", "rms"):  # only these are known without further products
            assert torch.allclose(form.square, matrix.square().sum((-1, -2)))


@pytest.mark.parametrize("norm", ["frobenius", "bound"])
def test_single_precision_stays_near_the_matrix_in_double(norm: str) -> None:
    single, double = (Preconditioner.eye(vectors(2, 40, dtype=d), float("inf")) for d in (torch.float32, torch.float64))
    for step in range(100):
        u, s = vectors(2, L, 40, seed=step), vectors(2, 40, seed=step + 1000)
        single, a = single.update_and_multiply(u.float(), norm, s.float())
        double, b = double.update_and_multiply(u, norm, s)
        assert torch.allclose(a.double(), b, rtol=1e-4, atol=1e-5 * float(b.abs().max()))


def test_the_bound_makes_a_convex_combination_of_projections() -> None:
    b = Preconditioner.eye(vectors(BATCH, N), float("inf"))
    for step in range(5):
        b = b.update(vectors(BATCH, L, N, seed=step), "bound")
    shares = b.weights * b.factors.square().sum(-1)
    assert torch.allclose(b.identity + shares.sum(-1), torch.ones(BATCH, dtype=torch.float64))
    assert (torch.linalg.eigvalsh(b.as_matrix()).amax(-1) <= 1 + 1e-12).all()


def test_it_changes_over_to_the_matrix_when_that_is_cheaper() -> None:
    b = Preconditioner.eye(vectors(BATCH, N), dense_above=0.5)
    forms = []
    for step in range(5):
        b = b.update(vectors(BATCH, L, N, seed=step), "rms")
        forms.append(b.is_dense)
    assert forms == [False, False, True, True, True]  # 3 and 6 factors, then more than 17 / 2
    assert Preconditioner.eye(vectors(1, 2)).update(vectors(1, L, 2), "rms").is_dense


@pytest.mark.parametrize("dense_above", [0.0, float("inf")])
def test_an_earlier_state_may_be_stepped_again(dense_above: float) -> None:
    """Factors are appended in place: two futures of one state must not meet."""
    past = Preconditioner.eye(vectors(BATCH, N), dense_above).update(vectors(BATCH, L, N, seed=1), "mean")
    before = past.as_matrix().clone()
    first = past.update(vectors(BATCH, L, N, seed=2), "mean")
    first_matrix = first.as_matrix().clone()
    second = past.update(vectors(BATCH, L, N, seed=3), "mean").update(vectors(BATCH, L, N, seed=4), "mean")
    assert torch.equal(past.as_matrix(), before) and torch.equal(first.as_matrix(), first_matrix)
    assert not torch.allclose(second.as_matrix(), first_matrix)


def test_gradients_flow_alike_through_both_forms() -> None:
    found = []
    for dense_above in (0.0, float("inf")):
        u = [vectors(BATCH, L, N, seed=i).requires_grad_(True) for i in range(3)]
        b = Preconditioner.eye(vectors(BATCH, N), dense_above)
        for part in u:
            b, y = b.update_and_multiply(part, "frobenius", vectors(BATCH, N, seed=9))
        found.append(torch.autograd.grad(y.square().sum(), u))
    assert all(torch.allclose(a, b) and a.any() for a, b in zip(*found))


def test_problems_do_not_mix() -> None:
    u, s = vectors(BATCH, L, N), vectors(BATCH, N, seed=5)
    together = Preconditioner.eye(s).update_and_multiply(u, "frobenius", s)[1]
    for row in range(BATCH):
        one = slice(row, row + 1)
        alone = Preconditioner.eye(s[one]).update_and_multiply(u[one], "frobenius", s[one])[1]
        assert torch.allclose(together[one], alone)


def test_no_part_grows_with_the_square_of_n() -> None:
    n = 50_000  # a matrix would take 10 GB
    b = Preconditioner.eye(torch.zeros(1, n))
    for step in range(3):
        b, y = b.update_and_multiply(vectors(1, L, n, seed=step, dtype=torch.float32), "frobenius", torch.ones(1, n))
    assert torch.isfinite(y).all() and b.buffer.data.numel() <= 24 * n


def test_an_unknown_norm_is_refused() -> None:
    with pytest.raises(SettingsError, match="unknown norm 'spectral'"):
        Preconditioner.eye(torch.zeros(1, 4)).update(torch.zeros(1, 3, 4), "spectral")
