"""The window loss and DiffPhy against values that earlier code computed: a rewrite must meet them to nine digits."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from diffmocap.optim.task import Task
from diffmocap.refinement.window.contacts import state_of
from diffmocap.refinement.window.weights import UNITS
from tests.refinement.golden import DIFFPHY, NAMES, RECORDED, GoldenWindow, diffphy_task

#: Of a value, or of the largest in its array.
TOLERANCE = 1e-9


def agree(found, wanted, tolerance: float = TOLERANCE) -> None:
    found, wanted = np.asarray(found), np.asarray(wanted)
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, rtol=0.0, atol=tolerance * np.abs(wanted).max())


@pytest.fixture(scope="module", params=NAMES)
def golden(request) -> GoldenWindow:
    return GoldenWindow.load(request.param)


def test_every_term_of_the_window_loss_and_its_slopes(golden, points):
    """Slopes along four directions and the size of each term's gradient: light terms do not hide behind heavy ones."""
    task, x = golden.task(points), golden["x"].requires_grad_()
    parameters, loss = task._at(x)
    squares = loss.squares(*parameters.decode(x))[0]
    slopes = torch.stack([torch.autograd.grad(term, x, retain_graph=True)[0][0] for term in squares])
    assert bool((golden["terms"] > 0).all()) and tuple(UNITS)[: len(RECORDED)] == RECORDED
    for k, name in enumerate(RECORDED):
        assert float(squares[k].detach()) == pytest.approx(float(golden["terms"][k]), rel=TOLERANCE), name
        size = float(golden["slope_sizes"][k])
        assert float(slopes[k].norm()) == pytest.approx(size, rel=TOLERANCE), name
        np.testing.assert_allclose(
            slopes[k] @ golden["ways"].double().T, golden["slopes"][k], rtol=0.0, atol=TOLERANCE * size, err_msg=name
        )


def test_the_window_loss_and_its_gradient(golden, points):
    task = golden.task(points)
    for loss, gradient in (Task.loss_and_gradient(task, golden["x"]), task.loss_and_gradient(golden["x"])):
        agree(loss, golden["loss"])
        agree(gradient, golden["gradient"])


def test_contacts_forces_and_torques(golden, points):
    task = golden.task(points)
    parameters, loss = task._at(golden["x"])
    motion = parameters.decode(golden["x"])
    found = loss.dynamics(*motion)
    residual = found.contacts.residual
    agree(found.torques, golden["torques"])
    agree(found.contacts.force, golden["forces"])
    agree(torch.cat([residual.force, residual.moment], -1), golden["residual"])
    assert torch.equal(loss.contacts_of(*motion), golden["touching"])


def test_forces_as_a_stream_takes_them(golden, points):
    """Not converged as far, and beside the terms."""
    task = golden.task(points)
    parameters, loss = task._at(golden["x"])
    rotations, pelvis = parameters.motion(golden["x"])
    found = loss.evaluate(0, rotations[0].numpy(), pelvis[0].numpy())
    np.testing.assert_allclose(found.squares, golden["terms"], rtol=TOLERANCE)
    agree(found.forces.torques[None], golden["torques"])
    assert np.array_equal(state_of(found.gap, found.steps, loss.levels)[None], golden["touching"])


def test_one_second_of_diffphy(body):
    with np.load(DIFFPHY, allow_pickle=False) as data:
        golden = dict(data)
    task = diffphy_task(body, golden["rotations"], golden["pelvis"])
    x = torch.from_numpy(golden["x"]).double()
    terms = {name.removeprefix("term."): value for name, value in golden.items() if name.startswith("term.")}
    motion = task.simulate(x)
    found = task.terms(x, motion)
    assert set(found) == set(terms)
    for name, value in terms.items():
        assert float(found[name]) == pytest.approx(float(value[0]), rel=TOLERANCE), name
    agree(motion.joints[:, ::5], golden["joints"])
    loss, gradient = task.loss_and_gradient(x)
    agree(loss, golden["loss"])
    agree(gradient, golden["gradient"])
