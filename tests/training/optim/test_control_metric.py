"""The curvature of controls that is measured over windows: its Hessians, their mean, and runs that go on."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from diffmocap.optim.task import Task
from training.optim import control_metric
from training.optim.control_metric import as_positive, hessian, main, mean_of_windows

N = 21


class Saddle(Task):
    """Half of x^T H x in all but the last two parameters, which have no effect."""

    shape = (N,)

    def __init__(self) -> None:
        factor = torch.randn(N - 2, N - 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        self.hessian = factor + factor.mT

    def init(self, count, generator=None):
        return torch.randn(count, N, generator=generator, dtype=torch.float64)

    def loss(self, x):
        return ((x[:, :-2] @ self.hessian) * x[:, :-2]).sum(1) / 2


def test_a_hessian_is_found_from_gradients() -> None:
    task = Saddle()
    found = hessian(task, task.init(1, torch.Generator().manual_seed(1)), N - 2)
    torch.testing.assert_close(found, task.hessian, rtol=1e-6, atol=1e-6)


def test_negative_curvatures_count_as_positive_ones() -> None:
    h = Saddle().hessian
    values, found = torch.linalg.eigvalsh(h), as_positive(h)
    assert float(values[0]) < -1.0
    torch.testing.assert_close(torch.linalg.eigvalsh(found), values.abs().sort().values)
    torch.testing.assert_close(found @ h, h @ found)  # the same eigenvectors


def test_a_run_that_was_stopped_goes_on_to_the_same_mean(monkeypatch, tmp_path) -> None:
    measured = []

    def measure(problems, motion, seed):
        if len(measured) == 2:
            measured.append("stopped")
            raise KeyboardInterrupt
        measured.append(motion)
        return (motion + 1.0) * torch.eye(2, dtype=torch.float64)

    monkeypatch.setattr(control_metric, "measure", measure)
    problems, path = SimpleNamespace(motions=[None] * 4), tmp_path / "sums.safetensors"
    with pytest.raises(KeyboardInterrupt):
        mean_of_windows(problems, path, seed=0)
    assert torch.equal(mean_of_windows(problems, path, seed=0), 2.5 * torch.eye(2, dtype=torch.float64))
    assert measured == [0, 1, "stopped", 2, 3]
    for other, seed in ((problems, 1), (SimpleNamespace(motions=[None] * 3), 0)):
        with pytest.raises(SystemExit, match="give another --out"):
            mean_of_windows(other, path, seed)


def test_the_number_of_windows_is_that_of_motions_at_most(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(control_metric, "kept_video_motions", lambda data, out: [None] * 3)
    for count in ("0", "4"):
        with pytest.raises(SystemExit, match="--windows is 1 to 3"):
            main(["--data", "walks.npz", "--out", str(tmp_path), "--windows", count])
