"""The compiled loss against the torch one, which is the reference, and against finite differences of itself."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from diffmocap import compiler
from diffmocap.optim.task import Task
from diffmocap.physics.ground import Ground
from diffmocap.refinement.window.task import WindowTask
from diffmocap.refinement.window.weights import UNITS, RefinementWeights
from tests.refinement.windows import cut, seen

OFF = dict.fromkeys(UNITS, 0.0)


def somewhere(task: WindowTask, seed: int = 0, size: float = 0.4, bent: bool = False) -> torch.Tensor:
    x = size * torch.randn(task.window.batch, task.dimension, generator=torch.Generator().manual_seed(seed)).double()
    if bent:  # a few joints far beyond their limits
        x.view(-1, *task.shape)[:, :, [3 * 4, 3 * 18 + 1]] -= 15.0
    return x


@pytest.fixture(scope="module")
def noisy(walks, body):
    return seen(body, *cut(walks[:3], 14), hypotheses=3)


@pytest.mark.parametrize("term", [*UNITS, "all"])
def test_values_and_gradients_are_those_of_torch(term, noisy, points):
    weights = RefinementWeights() if term == "all" else RefinementWeights(**{**OFF, term: 2.0})
    task = WindowTask(noisy, points, weights=weights)
    x = somewhere(task, bent=term == "joint_limits")
    loss, gradient = task.compiled_gradient(x)
    wanted, slope = Task.loss_and_gradient(task, x)
    assert bool((wanted > 0).all())
    torch.testing.assert_close(loss, wanted, rtol=1e-8, atol=1e-10)
    torch.testing.assert_close(gradient, slope, rtol=1e-6, atol=1e-7 * float(slope.abs().max()))


@pytest.mark.parametrize("frames", [1, 2, 3, 4, 31])
def test_windows_of_any_length(frames, walks, body, points):
    task = WindowTask(seen(body, *cut(walks[:2], frames), hypotheses=2), points)
    x = somewhere(task, frames)
    found, wanted = task.compiled_gradient(x), Task.loss_and_gradient(task, x)
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-7 * float(other.abs().max()))


def test_gradients_are_finite_differences(noisy, points):
    task = WindowTask(noisy, points)
    x, direction = somewhere(task), somewhere(task, 1, 1.0)
    _, gradient = task.compiled_gradient(x)
    h = 1e-5
    above, below = (task.compiled_gradient(x + step * direction)[0] for step in (h, -h))
    torch.testing.assert_close((gradient * direction).sum(-1), (above - below) / (2 * h), rtol=1e-5, atol=1e-6)


def test_single_precision_comes_back_in_single_precision(noisy, points):
    task = WindowTask(noisy.to(dtype=torch.float32), points)
    x = somewhere(task).float()
    found, wanted = task.loss_and_gradient(x), Task.loss_and_gradient(task, x)
    assert found[0].dtype == found[1].dtype == torch.float32
    torch.testing.assert_close(found[0], wanted[0], rtol=1e-4, atol=0.0)
    torch.testing.assert_close(found[1], wanted[1], rtol=1e-3, atol=1e-3 * float(wanted[1].abs().max()))


def test_a_tilted_ground_and_camera(noisy, points):
    """Nothing is taken to stand along an axis."""
    up = torch.nn.functional.normalize(torch.tensor([[0.1, 1.0, -0.2]] * 3, dtype=torch.float64), dim=-1)
    camera = noisy.T_camera_motion.clone()
    camera[:, :, :3] = torch.linalg.qr(torch.randn(3, 3, 3, generator=torch.Generator().manual_seed(3)).double())[0]
    window = replace(noisy, ground=Ground(up, torch.tensor([0.0, 0.1, -0.05]).double()), T_camera_motion=camera)
    task = WindowTask(window, points)
    found, wanted = task.compiled_gradient(somewhere(task)), Task.loss_and_gradient(task, somewhere(task))
    torch.testing.assert_close(found[0], wanted[0], rtol=1e-8, atol=1e-10)
    torch.testing.assert_close(found[1], wanted[1], rtol=1e-6, atol=1e-7 * float(wanted[1].abs().max()))


def test_contacts_forces_and_torques_are_those_of_torch(noisy, points):
    task = WindowTask(noisy, points)
    parameters, loss = task._at(somewhere(task))
    rotations, pelvis = (x.detach() for x in parameters.decode(somewhere(task, 2, 0.2)))
    wanted = loss.assess(rotations, pelvis)
    pushed = 0.0
    for b, row in enumerate(loss.rows):
        found = row.evaluate(rotations[b].numpy(), pelvis[b].numpy())
        assert found.loss == pytest.approx(float(wanted[0][b]), rel=1e-8)
        assert np.array_equal(row.touching(found), wanted[1][b].numpy())
        np.testing.assert_allclose(found.torques, wanted[2].torques[b].numpy(), rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(found.forces.swapaxes(1, 2), wanted[2].contacts.force[b].numpy(), atol=1e-5)
        pushed += found.forces.sum()
    assert pushed > 0.0


def test_what_is_no_number_stays_none(noisy, points):
    task = WindowTask(noisy, points)
    x = somewhere(task)
    x[1, 100] = torch.nan
    loss, gradient = task.compiled_gradient(x)
    assert bool(loss[[0, 2]].isfinite().all()) and bool(loss[1].isnan())
    assert bool(gradient[[0, 2]].isfinite().all())


def test_without_a_compiler_torch_does_it(noisy, points, monkeypatch):
    found = WindowTask(noisy, points).loss_and_gradient(torch.zeros(3, WindowTask(noisy, points).dimension).double())
    monkeypatch.setattr(compiler, "available", lambda: False)
    task = WindowTask(noisy, points)
    assert task.compiled_gradient(somewhere(task)) is None
    wanted = task.loss_and_gradient(task.init(3))
    torch.testing.assert_close(found[0], wanted[0], rtol=1e-8, atol=0.0)


def test_nothing_is_compiled_before_it_is_needed():
    """Training machines have no Numba; and whoever reads a setting need not wait for it."""
    modules = "sys, diffmocap.refinement.physics_refiner, diffmocap.refinement.window.task"
    text = f"import {modules}; print('numba' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "False"


def test_where_nothing_can_be_kept_it_is_compiled_all_the_same():
    """A read-only install of a user without a home: Numba finds no place for its cache."""
    text = (
        "import numba.core.caching as c; c.CacheImpl._locator_classes = []\n"
        "from diffmocap.refinement.kernels.contacts import contact_motion as f; import numpy as np\n"
        "gap = np.zeros((1, 2)); f(np.ones((1, 3, 2)), np.zeros(2), np.array([0.0, 1.0, 0.0]), 0.25, 0.1, gap, "
        "np.zeros((0, 3, 2)))\n"
        "print(gap.tolist())"
    )
    out = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[[0.75, 0.75]]"


#: Prepares a refiner and plays a stream: three hypotheses, gaps, an unknown floor that is then given.
STREAM = """
import roma, torch
from diffmocap.body.model import BodyModel
from diffmocap.refinement.kernels import poses, window
from diffmocap.refinement.stream.fixed_lag import FixedLagRefiner
from diffmocap.refinement.physics_refiner import PhysicsRefiner
from diffmocap.refinement.stream.window_buffer import LiveFrame

refiner = PhysicsRefiner(BodyModel.load())
refiner.prepare()
called = (window.evaluate, window.decode, window.pull_decode, window.place, window.contact_motion,
          window.touching_state, window.hold_standing, poses.nearest_rotations)
before = [len(f.signatures) for f in called]
for up, height in ((None, None), (torch.tensor([0.0, -1.0, 0.0]), -1.3)):
    live, results = FixedLagRefiner(refiner._points, up=up, ground_height=height), []
    for i in range(30):
        turns = roma.rotvec_to_rotmat(0.1 * torch.randn(3, 24, 3))
        pelvis = 0.02 * torch.randn(3, 3) + torch.tensor([0.0, 0.0, 3.0])
        lifted = (None, None, None) if i % 7 == 3 else (turns, pelvis, torch.zeros(3))
        seen = torch.rand(25, 2), torch.rand(25), torch.eye(3)
        results.append(live.step(LiveFrame(*lifted, *seen), 0.033, i == 0))
    assert any(results)
print(before, before == [len(f.signatures) for f in called])
"""


def test_nothing_is_left_to_compile_in_a_stream():
    """What is compiled in the middle of a stream stops it for seconds."""
    out = subprocess.run([sys.executable, "-c", STREAM], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[1, 1, 1, 1, 1, 1, 1, 1] True"


def test_compiling_ahead_says_what_it_took():
    command = [sys.executable, "-m", "diffmocap.refinement.kernels"]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert out.splitlines()[-1].startswith("physics ready after ")
