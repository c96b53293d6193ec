"""The compiled simulation against the torch one, which is the reference, and its matrices against dense ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import roma
import torch

from diffmocap.body.skeleton import PARENTS
from diffmocap.physics.articulated import ArticulatedBody
from diffmocap.physics.compiled.step import turned, turned_vjp
from diffmocap.physics.compiled.tree_matrix import SIZE, factorise, solve
from diffmocap.physics.ground import Ground
from diffmocap.physics.ground_contact import GroundContact
from diffmocap.physics.simulation import BodyMotionState, SimulatedMotion, Simulator
from tests.physics.fall_points import with_fall_points

DT = 1 / 30
UP = torch.nn.functional.normalize(torch.tensor([0.1, 1.0, -0.05], dtype=torch.float64), dim=0)


@pytest.fixture(scope="module")
def simulator(body, segments, points) -> Simulator:
    """On a tilted floor that is not at the origin, with balls to fall on."""
    articulated = ArticulatedBody(segments, with_fall_points(points, body))
    return Simulator(articulated, Ground(UP, torch.tensor(0.2)), contact=GroundContact(friction=0.6))


def falling(simulator: Simulator, seed: int, speed: float = 1.0) -> tuple[BodyMotionState, torch.Tensor]:
    """Two bodies in random poses that have just touched the ground, moving and turning, and moving targets."""
    g = torch.Generator().manual_seed(seed)
    rotations = roma.rotvec_to_rotmat(0.4 * torch.randn(2, 24, 3, generator=g, dtype=torch.float64))
    at = simulator.body.configuration(rotations, torch.zeros(2, 3, dtype=torch.float64))
    low = (at.positions[:, 24:] @ UP - simulator.body.points.radius).amin(1)
    velocity = speed * torch.randn(2, 25, 3, generator=g, dtype=torch.float64)
    state = BodyMotionState(rotations, (0.2 - 0.005 - low)[:, None] * UP, velocity)
    return state, 0.3 * torch.randn(2, 5, 23, 3, generator=g, dtype=torch.float64).cumsum(1)


def leaves(state: BodyMotionState, vectors: torch.Tensor) -> list[torch.Tensor]:
    """Turns [2, 24, 3] of the first state, its pelvis and velocity, and the targets' vectors, all to differentiate."""
    start = torch.zeros(2, 24, 3, dtype=torch.float64), state.pelvis, state.velocity, vectors
    return [x.clone().requires_grad_() for x in start]


def run(simulator: Simulator, state: BodyMotionState, parts: list[torch.Tensor]) -> SimulatedMotion:
    turns, pelvis, velocity, vectors = parts
    begin = replace(
        state, rotations=roma.rotvec_to_rotmat(turns) @ state.rotations, pelvis=pelvis, velocity=velocity
    )  # fmt: skip
    return simulator.simulate(begin, roma.rotvec_to_rotmat(vectors), DT)


@pytest.mark.parametrize("seed", range(3))
def test_motions_are_those_of_torch(simulator, by_torch, seed):
    state, vectors = falling(simulator, seed)
    with torch.no_grad():
        found = run(simulator, state, leaves(state, vectors))
        wanted = by_torch(run, simulator, state, leaves(state, vectors))
    assert float(wanted.contact_force.norm(dim=-1).max()) > 50.0  # it does touch
    for name in ("rotations", "pelvis", "velocity", "positions", "contact_force", "torque"):
        one, other = getattr(found, name), getattr(wanted, name)
        torch.testing.assert_close(one, other, rtol=1e-7, atol=1e-7 * float(other.abs().max()), msg=name)


@pytest.mark.parametrize("name", ["rotations", "pelvis", "velocity", "positions", "contact_force", "torque"])
def test_gradients_are_those_of_torch(simulator, by_torch, name):
    """Of each output with respect to the first state and the targets."""
    state, vectors = falling(simulator, 7)

    def gradients() -> tuple[torch.Tensor, ...]:
        parts = leaves(state, vectors)
        values = getattr(run(simulator, state, parts), name)
        weight = torch.randn(values.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        return torch.autograd.grad((weight * values).sum(), parts)

    for one, other in zip(gradients(), by_torch(gradients), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-7 * float(other.abs().max()))
        assert bool(other.any())


def test_fast_bodies_are_bounded_alike(simulator, by_torch):
    """Near the bound on rates, whose gradient counts there."""
    state, vectors = falling(simulator, 3, speed=25.0)

    def gradient() -> torch.Tensor:
        parts = leaves(state, vectors[:, :2])
        return torch.autograd.grad(run(simulator, state, parts).joints.square().sum(), parts[2])[0]

    wanted = by_torch(gradient)
    torch.testing.assert_close(gradient(), wanted, rtol=1e-6, atol=1e-7 * float(wanted.abs().max()))


def test_gradients_of_the_body_itself_are_torchs(simulator):
    """Machine code has none: they must not be lost without a word."""
    state, vectors = falling(simulator, 1)
    stiffness = simulator.drives.stiffness.clone().requires_grad_()
    learning = Simulator(
        simulator.body, Ground(UP, torch.tensor(0.2)), replace(simulator.drives, stiffness=stiffness)
    )  # fmt: skip
    motion = learning.simulate(state, roma.rotvec_to_rotmat(vectors), DT)
    (gradient,) = torch.autograd.grad(motion.joints.square().sum(), stiffness)
    assert bool(gradient[1:].any())


def test_a_state_that_is_no_number_is_not_hidden(simulator):
    state, vectors = falling(simulator, 0)
    state.velocity[1, 4] = torch.nan
    motion = simulator.simulate(state, roma.rotvec_to_rotmat(vectors), DT)
    assert bool(motion.joints[0].isfinite().all()) and not bool(motion.joints[1, -1].isfinite().all())


def test_matrices_of_the_tree_are_solved_as_dense_ones():
    """A random positive matrix with its pattern: J^T J of points, each moved by its way to the pelvis."""
    g, matrix = np.random.default_rng(0), np.eye(SIZE)
    for joint in range(len(PARENTS)):
        row, above = np.zeros((3, SIZE)), joint
        row[:, :3] = g.normal(size=(3, 3))
        while above >= 0:
            row[:, 3 * (above + 1) : 3 * (above + 2)] = g.normal(size=(3, 3))
            above = PARENTS[above]
        matrix += row.T @ row
    right = g.normal(size=SIZE)
    kept, found = np.tril(matrix), right.copy()
    factorise(kept)
    solve(kept, found)
    np.testing.assert_allclose(found, np.linalg.solve(matrix, right), rtol=1e-9, atol=1e-12)


def test_turns_by_cayleys_map_and_their_gradient():
    g = torch.Generator().manual_seed(4)
    start = roma.rotvec_to_rotmat(torch.randn(3, generator=g, dtype=torch.float64)).numpy()
    omega = 8.0 * torch.randn(3, generator=g, dtype=torch.float64).numpy()
    end, way = np.empty((3, 3)), torch.randn(2, 3, generator=g, dtype=torch.float64).numpy()
    turned(start, omega, 1 / 120, end)
    np.testing.assert_allclose(end @ end.T, np.eye(3), atol=1e-12)
    exact = roma.rotvec_to_rotmat(torch.from_numpy(omega / 120)).numpy() @ start
    np.testing.assert_allclose(end, exact, atol=1e-5)

    def after(step: float) -> np.ndarray:
        out = np.empty((3, 3))
        first = roma.rotvec_to_rotmat(torch.from_numpy(step * way[0])).numpy() @ start
        turned(first, omega + step * way[1], 1 / 120, out)
        return roma.rotmat_to_rotvec(torch.from_numpy(out @ end.T)).numpy()

    above = np.array([0.3, -1.0, 0.5])
    numeric = (after(1e-5) - after(-1e-5)) @ above / 2e-5
    of_turn, of_omega = above.copy(), np.zeros(3)
    turned_vjp(omega, 1 / 120, of_turn, of_omega)
    assert of_turn @ way[0] + of_omega @ way[1] == pytest.approx(numeric, rel=1e-6)
