"""Motions of any length, simulated: no seams, a standing body stands, falls are recognised, what is done is kept."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from diffmocap.body.model import BodyModel
from diffmocap.body.urdf import read_urdf
from diffmocap.errors import SettingsError
from diffmocap.optim.optimizer import Optimizer
from diffmocap.optim.quasi_newton import Lbfgs
from diffmocap.optim.result import Result
from diffmocap.physics.articulated import ArticulatedBody
from diffmocap.physics.contact_points import ContactPoints
from diffmocap.physics.ground import Ground
from diffmocap.physics.segments import BodySegments
from diffmocap.physics.simulation import Simulator
from diffmocap.physics.wrench import STANDARD_GRAVITY
from diffmocap.reconstruct.physics.simulated_motion import FLOOR
from diffmocap.refinement.diffphy.controls import ControlTrajectory
from diffmocap.refinement.diffphy.horizon import HorizonSimulator, Progress, run_weights, state_at, window_frames
from diffmocap.refinement.diffphy.settings import SimulationSettings

DT = 1 / 30
#: A window of 19 frames, 9 of which are kept.
SHORT = SimulationSettings(window_s=0.6, overlap_s=0.3, evaluations=8, blend_s=0.2, free_start=False)


@pytest.fixture(scope="module")
def simulator() -> Simulator:
    body = BodyModel.load()
    segments = BodySegments.from_urdf(read_urdf()).to(dtype=torch.float64)
    points = ContactPoints.from_body(body).to(dtype=torch.float64)
    ground = Ground(torch.tensor([0.0, 1.0, 0.0]), torch.tensor(0.0))
    return Simulator(ArticulatedBody(segments, points), ground, contact=FLOOR)


@pytest.fixture(scope="module")
def standing(simulator) -> tuple[torch.Tensor, torch.Tensor]:
    """40 frames of the T-pose with its soles on the floor."""
    rotations = torch.eye(3, dtype=torch.float64).repeat(40, 24, 1, 1)
    at = simulator.body.configuration(rotations[:1], torch.zeros(1, 3, dtype=torch.float64))
    low = float((at.positions[0, 24:, 1] - simulator.body.points.radius).min())
    return rotations, torch.tensor([0.0, -low, 0.0], dtype=torch.float64).repeat(40, 1)


def touching(simulator: Simulator, frames: int) -> torch.Tensor:
    """The soles do."""
    found = torch.zeros(frames, len(simulator.body.points.names), dtype=torch.bool)
    found[:, simulator.body.points.feet] = True
    return found


class Given(Optimizer):
    """Finds nothing: the first window's controls are drawn, all others are what they begin with."""

    def __init__(self) -> None:
        self.first: torch.Tensor | None = None

    def minimize(self, task, x, budget, stop=None) -> Result:
        x = x.double()
        if self.first is None:
            x = 0.1 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
            self.first = x.view(task.shape)
        loss = task.loss(x)
        return Result(x, loss, x, loss[None], loss[None].long(), loss[None], loss.long(), ["given"])


def test_windows_of_the_same_controls_are_one_long_simulation(simulator, standing):
    """So nothing is lost from one window to the next: neither the state nor the controls."""
    rotations, pelvis = standing
    solver = Given()
    horizon = HorizonSimulator(simulator, solver, replace(SHORT, stray_m=1.0))
    found = horizon.simulate(rotations, pelvis, touching(simulator, 40), DT)
    assert found.simulated.all()
    spacing, hop, length = window_frames(SHORT, DT)
    assert (spacing, hop, length) == (3, 9, 19)
    controls = ControlTrajectory.every(40, spacing)
    knots = torch.cat([solver.first, solver.first[-1:].expand(controls.shape[0] - len(solver.first), -1)])
    start = state_at(rotations, pelvis, 0, DT, simulator)
    targets = controls.targets(rotations[None, :, 1:], knots.flatten()[None])
    with torch.no_grad():
        whole = simulator.simulate(start, targets, DT)
    torch.testing.assert_close(found.pelvis, whole.pelvis[0], rtol=0, atol=1e-6)
    torch.testing.assert_close(found.rotations, whole.local_rotations(simulator.body)[0], rtol=0, atol=1e-6)
    torch.testing.assert_close(found.torques[1:], whole.torque[0], rtol=1e-4, atol=1e-2)
    torch.testing.assert_close(found.contact_forces, whole.contact_force[0], rtol=1e-4, atol=1e-2)


@pytest.fixture(scope="module")
def stood(simulator, standing):
    return HorizonSimulator(simulator, Lbfgs(), SHORT).simulate(*standing, touching(simulator, 40), DT)


def test_a_standing_body_stays_standing_on_forces_of_its_weight(simulator, standing, stood):
    assert stood.simulated.all() and stood.losses[1] < stood.losses[0]
    assert float((stood.pelvis - standing[1]).norm(dim=-1).max()) < 0.02
    weight = float(simulator.body.segments.total_mass) * STANDARD_GRAVITY
    force = stood.contact_forces.sum(1)
    assert float(force[10:, 1].mean()) == pytest.approx(weight, rel=0.03)
    assert float(force[10:, [0, 2]].mean(0).norm()) < 0.03 * weight
    feet = simulator.body.points.feet
    assert float(stood.contact_forces[10:, feet, 1].sum(1).mean()) == pytest.approx(weight, rel=0.03)
    assert float(stood.torques[:, 0].abs().max()) == 0.0  # nothing holds the pelvis


def test_what_no_body_can_do_stays_as_it_was_and_nothing_jumps(simulator, standing):
    """After 0.6 s on the floor the motion rises and hangs in the air for longer than a jump would."""
    rotations = standing[0][:1].repeat(60, 1, 1, 1)
    floating = standing[1][:1].repeat(60, 1)
    rise = ((torch.arange(60) - 18) / 6).clamp(0, 1).double()
    floating[:, 1] += 0.5 * rise**3 * (10 - 15 * rise + 6 * rise**2)
    found = HorizonSimulator(simulator, Lbfgs(), SHORT).simulate(rotations, floating, touching(simulator, 60), DT)
    assert found.simulated[:3].all() and not found.simulated[27:].any()
    torch.testing.assert_close(found.pelvis[27:], floating[27:])
    for numbers in (found.torques, found.contact_points, found.contact_forces):
        assert float(numbers[~found.simulated].abs().max()) == 0.0
    away = (found.pelvis - floating).norm(dim=-1)
    assert float(away.max()) < SHORT.stray_m
    assert float(away.diff().abs().max()) < 0.03  # a leap back would be as large as the distance
    assert float(found.losses[1]) < float(found.losses[0])


def test_a_body_that_never_stands_is_nowhere_simulated(simulator, standing):
    rotations, pelvis = standing
    high = pelvis + torch.tensor([0.0, 2.0, 0.0])
    found = HorizonSimulator(simulator, Lbfgs(), replace(SHORT, evaluations=2)).simulate(
        rotations[:12], high[:12], touching(simulator, 12), DT
    )
    assert not found.simulated.any() and found.losses[0] != found.losses[0]
    assert torch.equal(found.pelvis, high[:12]) and torch.equal(found.rotations, rotations[:12])


def test_an_interrupted_simulation_goes_on_where_it_was(simulator, standing, stood):
    horizon, kept = HorizonSimulator(simulator, Lbfgs(), SHORT), []

    def stop(progress: Progress) -> None:
        kept.append({name: x.clone() for name, x in progress.tensors().items()})
        if len(kept) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        horizon.simulate(*standing, touching(simulator, 40), DT, told=stop)
    count = []
    again = horizon.simulate(
        *standing, touching(simulator, 40), DT, Progress(**kept[-1]), lambda progress: count.append(progress.frame)
    )
    assert len(count) == 2  # of four windows
    assert torch.equal(again.pelvis, stood.pelvis) and torch.equal(again.contact_forces, stood.contact_forces)
    assert again.losses == stood.losses


def test_a_run_that_is_broken_off_fades_out_and_one_that_ends_the_motion_does_not():
    run = torch.tensor([0, 0, 0, 0, 1, 1, 1, -1, -1, 2, 2, 2])
    weights = run_weights(run, 2)
    assert (weights == 1).tolist() == [True, True, False, False, True, False, False, False, False, True, True, True]
    assert weights[7:9].tolist() == [0, 0]
    assert weights[2] == pytest.approx(1 - float(weights[3])) and 0 < weights[3] < 0.5  # symmetrical
    assert run_weights(run, 0).tolist() == [1] * 7 + [0, 0] + [1] * 3
    assert (run_weights(run, 50) < 1).tolist() == [True] * 9 + [False] * 3  # shorter than the fade: none of it is left


def test_windows_say_what_is_wrong(simulator, standing):
    with pytest.raises(SettingsError, match="overlap_s must be below window_s"):
        SimulationSettings(window_s=0.5, overlap_s=0.5)
    with pytest.raises(SettingsError, match="two frames"):
        HorizonSimulator(simulator, Lbfgs()).simulate(*(x[:1] for x in standing), touching(simulator, 1), DT)
    with pytest.raises(SettingsError, match="held knots must be"):
        ControlTrajectory.every(7, 3, ("left_knee",), torch.zeros(3, 4))
