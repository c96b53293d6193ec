"""The window loss as compiled code: finite differences of itself, any window, any device's tensors, and the stream."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from diffmocap import compiler
from diffmocap.errors import SettingsError
from diffmocap.optim.task import Task
from diffmocap.physics.ground import Ground
from diffmocap.refinement.kernels.records import Given
from diffmocap.refinement.window.loss import WindowLoss
from diffmocap.refinement.window.task import WindowTask
from diffmocap.refinement.window.weights import UNITS, RefinementWeights
from tests.refinement.windows import cut, seen

OFF = dict.fromkeys(UNITS, 0.0)


def somewhere(task: WindowTask, seed: int = 0, size: float = 0.4, bent: bool = False) -> torch.Tensor:
    x = size * torch.randn(task.window.batch, task.dimension, generator=torch.Generator().manual_seed(seed)).double()
    if bent:  # a few joints far beyond their limits
        x.view(-1, *task.shape)[:, :, [3 * 4, 3 * 18 + 1]] -= 15.0
    return x


def assert_slopes(task: WindowTask, x: torch.Tensor, seed: int = 1) -> None:
    """Fails where the gradient along a random direction is not the central difference."""
    direction = somewhere(task, seed, 1.0)
    loss, gradient = task.loss_and_gradient(x)
    h = 1e-5
    above, below = (task.loss_and_gradient(x + step * direction)[0] for step in (h, -h))
    numeric = (above - below) / (2 * h)
    assert bool((loss > 0).all())
    torch.testing.assert_close((gradient * direction).sum(-1), numeric, rtol=1e-5, atol=1e-7 * float(loss.max()))


@pytest.fixture(scope="module")
def noisy(walks, body):
    return seen(body, *cut(walks[:3], 14), hypotheses=3)


@pytest.mark.parametrize("term", [*UNITS, "all"])
def test_gradients_are_finite_differences(term, noisy, points):
    weights = RefinementWeights() if term == "all" else RefinementWeights(**{**OFF, term: 2.0})
    task = WindowTask(noisy, points, weights=weights)
    assert_slopes(task, somewhere(task, bent=term == "joint_limits"))


@pytest.mark.parametrize("frames", [1, 2, 3, 4, 31])
def test_windows_of_any_length(frames, walks, body, points):
    task = WindowTask(seen(body, *cut(walks[:2], frames), hypotheses=2), points)
    assert_slopes(task, somewhere(task, frames))


def test_a_tilted_ground_and_camera(noisy, points):
    """Nothing is taken to stand along an axis."""
    up = torch.nn.functional.normalize(torch.tensor([[0.1, 1.0, -0.2]] * 3, dtype=torch.float64), dim=-1)
    camera = noisy.T_camera_motion.clone()
    camera[:, :, :3] = torch.linalg.qr(torch.randn(3, 3, 3, generator=torch.Generator().manual_seed(3)).double())[0]
    window = replace(noisy, ground=Ground(up, torch.tensor([0.0, 0.1, -0.05]).double()), T_camera_motion=camera)
    task = WindowTask(window, points)
    assert_slopes(task, somewhere(task))


def test_a_graph_has_the_same_gradient(noisy, points):
    """By way of the motion, as autograd takes it, and straight to the knots."""
    task = WindowTask(noisy, points)
    x = somewhere(task)
    for one, other in zip(task.loss_and_gradient(x), Task.loss_and_gradient(task, x), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


def test_a_gradient_of_single_terms_is_weighed_by_what_comes_from_above(noisy, points):
    """Negative weights too: a vector-Jacobian product knows no sign."""
    task = WindowTask(noisy, points)
    x = somewhere(task).requires_grad_()
    parameters, loss = task._at(x)
    squares = loss.squares(*parameters.decode(x))
    above = torch.randn(squares.shape, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    (together,) = torch.autograd.grad(squares, x, above, retain_graph=True)
    alone = [torch.autograd.grad(squares[:, k].sum(), x, retain_graph=True)[0] for k in range(len(UNITS))]
    wanted = (torch.stack(alone, -1) * above[:, None]).sum(-1)
    torch.testing.assert_close(together, wanted, rtol=1e-9, atol=1e-9 * float(wanted.abs().max()))


def test_there_is_no_second_derivative_in_silence(noisy, points):
    task = WindowTask(noisy, points)
    x = somewhere(task).requires_grad_()
    (gradient,) = torch.autograd.grad(task.loss(x).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError):
        torch.autograd.grad(gradient.sum(), x)


def test_single_precision_comes_back_in_single_precision(noisy, points):
    task, single = WindowTask(noisy, points), WindowTask(noisy.to(dtype=torch.float32), points)
    x = somewhere(task)
    wanted, found = task.loss_and_gradient(x), single.loss_and_gradient(x.float())
    assert found[0].dtype == found[1].dtype == torch.float32
    torch.testing.assert_close(found[0].double(), wanted[0], rtol=1e-4, atol=0.0)
    torch.testing.assert_close(found[1].double(), wanted[1], rtol=1e-3, atol=1e-3 * float(wanted[1].abs().max()))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_tensors_of_a_gpu_come_back_to_it(noisy, points):
    task = WindowTask(noisy, points)
    x = somewhere(task)
    wanted = task.loss_and_gradient(x)
    there = WindowTask(noisy.to("cuda"), points.to("cuda"), tuple(part.cuda() for part in task.reference))
    found = there.loss_and_gradient(x.cuda())
    graph = Task.loss_and_gradient(there, x.cuda())
    for one, by_graph, other in zip(found, graph, wanted, strict=True):
        assert one.is_cuda and by_graph.is_cuda
        torch.testing.assert_close(one.cpu(), other, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(by_graph.cpu(), other, rtol=1e-9, atol=1e-9)
    assert there.refined(x.cuda()).dynamics.torques.is_cuda and there.refined(x.cuda()).touching.is_cuda


def test_one_window_serves_many_unknowns_and_several_only_as_many(noisy, points):
    task, one = WindowTask(noisy, points), WindowTask(noisy.row(1), points)
    x = somewhere(task)
    losses, gradients = one.loss_and_gradient(x)
    for b in range(3):
        loss, gradient = one.loss_and_gradient(x[b : b + 1])
        assert float(loss[0]) == float(losses[b]) and torch.equal(gradient[0], gradients[b])
    with pytest.raises(SettingsError, match="3 windows"):
        task.loss_and_gradient(x[:2])


def test_a_motion_of_another_length_is_refused(noisy, points):
    task = WindowTask(noisy, points)
    _, loss = task._at(somewhere(task))
    with pytest.raises(SettingsError, match="of 14 frames; got motion 0 of 9"):
        loss(task.reference[0][:, :9], task.reference[1][:, :9])


def test_what_is_not_a_number_stays_nan(noisy, points):
    task = WindowTask(noisy, points)
    x = somewhere(task)
    x[1, 100] = torch.nan
    loss, gradient = task.loss_and_gradient(x)
    assert bool(loss[[0, 2]].isfinite().all()) and bool(loss[1].isnan())
    assert bool(gradient[[0, 2]].isfinite().all())


def test_what_is_given_stands_in_the_order_of_its_names(noisy, points):
    """A record is filled by position: shapes tell most of its fields apart."""
    task = WindowTask(noisy, points)
    given = task._at(somewhere(task))[1]._given[0]
    frames, hypotheses, contacts = 14, 3, len(points.radius)
    shapes = {
        "up": (3,), "axes": (3, 3), "gravity": (3,), "camera": (3, 4), "observed": (frames, 2, 25),
        "confidence": (frames, 25), "metres_per_pixel": (frames,), "target": (frames, hypotheses, 216),
        "constant": (frames,), "places": (frames, hypotheses, 3), "precision": (frames, 3, 3),
        "log_weights": (frames, hypotheses), "lifted": (frames,), "held": (frames, contacts),
        "held_steps": (frames - 1, contacts), "may_push": (frames - 2, contacts), "activity_rates": (2,),
    }  # fmt: skip
    assert {name: getattr(given, name).shape for name in shapes} == shapes
    assert set(Given._fields) == {"dt_s", "height", *shapes} and given.dt_s == noisy.dt_s and given.height == 0.0
    assert all(part.flags.c_contiguous for part in given if isinstance(part, np.ndarray))


def test_terms_have_the_order_of_their_units():
    from diffmocap.refinement.kernels import terms

    names = ("REPROJECTION", "HYPOTHESES", "ROOT_FORCE", "ROOT_MOMENT", "SLIP", "GAP", "PENETRATION", "TORQUE",
             "TORQUE_RATE", "LIMITS", "JERK")  # fmt: skip
    told = {"GAP": "contact_gap", "LIMITS": "joint_limits"}
    assert [told.get(name, name.lower()) for name in names] == list(UNITS)
    assert [getattr(terms, name) for name in names] == list(range(len(UNITS)))


def test_nothing_is_compiled_before_it_is_needed():
    """Whoever reads a setting need not wait for Numba."""
    modules = "sys, diffmocap.refinement.physics_refiner, diffmocap.refinement.window.task"
    text = f"import {modules}; print('numba' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "False"


def test_where_nothing_can_be_cached_it_is_compiled_all_the_same():
    """A read-only install of a user without a home: Numba finds no place for its cache."""
    text = (
        "import numba.core.caching as c; c.CacheImpl._locator_classes = []\n"
        "from diffmocap.refinement.kernels.motion import contact_motion as f; import numpy as np\n"
        "gap, steps = f(np.ones((1, 3, 2)), np.zeros(2), np.array([0.0, 1.0, 0.0]), 0.25, 0.1)\n"
        "print(gap.tolist(), steps.shape)"
    )
    out = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[[0.75, 0.75]] (0, 3, 2)"


#: Prepares a refiner and plays a stream: three hypotheses, gaps, an unknown floor that is then given.
STREAM = """
import roma, torch
from diffmocap.body.model import BodyModel
from diffmocap.physics.compiled.contact_state import touching_state
from diffmocap.refinement.kernels import kinematics, motion, poses, still_points, terms
from diffmocap.refinement.stream.fixed_lag import FixedLagRefiner
from diffmocap.refinement.physics_refiner import PhysicsRefiner
from diffmocap.refinement.stream.window_buffer import LiveFrame

refiner = PhysicsRefiner(BodyModel.load())
refiner.prepare()
called = (terms.evaluate, kinematics.decode, kinematics.decode_vjp, kinematics.place, motion.contact_motion,
          touching_state, poses.hold_standing, poses.nearest_rotations,
          still_points.still_state)
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
    assert out.strip() == "[1, 1, 1, 1, 1, 1, 1, 1, 1] True"


def test_compiling_ahead_says_what_it_took():
    command = [sys.executable, "-m", "diffmocap.pipeline"]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert out.splitlines()[-1].startswith("ready after ")


def test_without_a_compiler_nothing_is_prepared(monkeypatch, points):
    from diffmocap.refinement.prepare import compile_all

    monkeypatch.setattr(compiler, "available", lambda: False)
    monkeypatch.setattr(WindowLoss, "__init__", None)  # would end what calls it
    compile_all(points)
