"""The example of a user's own task: its physics, and that the optimizer trained on it is of use."""

from __future__ import annotations

import math

import pytest
import torch

from diffmocap.optim.stopping import Budget
from examples import own_task


def test_the_pendulum_is_one() -> None:
    """Without torque it hangs still, and a small constant torque makes it a harmonic oscillator about a new rest."""
    task = own_task.SwingUp(times=4000)
    assert float(task.loss(torch.zeros(1, 4000))) == pytest.approx(2)
    torque = 0.01  # small enough that the angle is torque / g (1 - cos(omega t))
    omega = math.sqrt(task.GRAVITY)
    angle = torque / task.GRAVITY * (1 - math.cos(omega * task.DURATION_S))
    speed = torque / task.GRAVITY * omega * math.sin(omega * task.DURATION_S)
    expected = 1 + math.cos(angle) + 0.05 * speed**2 + 1e-3 * torque**2
    x = torch.full((1, 4000), torque, dtype=torch.float64)
    assert float(task.loss(x)) == pytest.approx(expected, abs=1e-8)


def test_gradients_are_finite_differences() -> None:
    task = own_task.SwingUp()
    x = task.init(2, torch.Generator().manual_seed(0)).double()
    _, gradient = task.loss_and_gradient(x)
    for i in (0, 7, 19):
        moved = torch.zeros(20, dtype=x.dtype)
        moved[i] = 1e-6
        slope = (task.loss(x + moved) - task.loss(x - moved)) / 2e-6
        assert torch.allclose(gradient[:, i], slope, rtol=1e-6, atol=1e-9)


def test_training_on_the_task_pays(tmp_path) -> None:
    task, budget = own_task.SwingUp(), Budget(evaluations=30)
    x = task.init(8, torch.Generator().manual_seed(3))
    optimizers = [own_task.train(task, steps, tmp_path / str(steps)) for steps in (1, 80)]
    losses = [optimizer.minimize(task, x, budget).loss.mean() for optimizer in optimizers]
    assert losses[1] < 0.98 * losses[0] and losses[1] < 0.05  # the quasi-Newton step alone does much of it
    assert (tmp_path / "80" / "last.safetensors").is_file()


def test_the_program_runs_all_solvers(monkeypatch, capsys, tmp_path) -> None:
    monkeypatch.setattr("sys.argv", ["own_task", "--quick", "--steps", "2", "--out", str(tmp_path)])
    own_task.main()
    printed = capsys.readouterr().out
    for name in ("Optimus, trained on this", "Adam", "momentum", "BFGS", "L-BFGS", "basin hopping", "ends after"):
        assert name in printed
    assert (tmp_path / "last.safetensors").is_file()
