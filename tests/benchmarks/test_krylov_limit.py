"""The least that combinations of gradients can reach on a quadratic, against the lowest point of the space itself."""

from __future__ import annotations

import json

import pytest
import torch

from benchmarks.optimizers import krylov_limit
from benchmarks.optimizers.krylov_limit import KRYLOV, QUADRATICS, conjugate_gradients
from benchmarks.optimizers.learned import PLAIN_STEP
from benchmarks.optimizers.tasks import BenchmarkTask


@pytest.mark.parametrize("name", QUADRATICS)
def test_it_is_the_lowest_point_of_the_krylov_space(name):
    """Found apart from the method: powers of the Hessian, made orthogonal, and the quadratic solved among them."""
    task, evaluations = BenchmarkTask(name, 10), 5
    problem, start = task.problem(True, True), task.starts(1, True, True)
    found = conjugate_gradients(problem, start, evaluations)[:, 0]
    hessian = torch.autograd.functional.hessian(lambda x: problem.loss(x[None])[0], start[0])
    gradient = problem.loss_and_gradient(start)[1][0]
    space = [gradient]
    for _ in range(evaluations - 2):
        space.append(hessian @ (space[-1] / space[-1].norm()))
    for k in range(1, evaluations):
        basis, kept = torch.linalg.qr(torch.stack(space[:k], 1))
        basis = basis[:, kept.diagonal().abs() > 1e-9 * kept.abs().max()]  # the sphere's has one dimension
        inner = torch.linalg.solve(basis.T @ hessian @ basis, -basis.T @ gradient)
        least = problem.loss((start[0] + basis @ inner)[None])[0]
        assert float(found[k]) == pytest.approx(float(least), rel=1e-6, abs=1e-9 * float(found[0])), k


def test_the_command_compares_on_the_same_starts(tmp_path, capsys):
    krylov_limit.main(["--dimensions", "10", "--starts", "1", "--out", str(tmp_path), "--json"])
    found = json.loads(capsys.readouterr().out.splitlines()[-1])["decades"]
    assert list(found) == [f"{name} 10d" for name in QUADRATICS]
    for of in found.values():
        assert of[KRYLOV] >= of[PLAIN_STEP] - 1e-6
    (page,) = tmp_path.glob("*-krylov-limit.md")
    assert f"| {KRYLOV} |" in page.read_text() and "| Trid 10d |" in page.read_text()
