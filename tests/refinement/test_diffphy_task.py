"""DiffPhy: controls, the loss through the simulation, and optimizers on it."""

from __future__ import annotations

import numpy as np
import pytest
import roma
import torch

from diffmocap.body.mocap import load_split, retarget
from diffmocap.body.model import BodyModel
from diffmocap.body.skeleton import JOINT_NAMES
from diffmocap.body.urdf import read_urdf
from diffmocap.errors import SettingsError
from diffmocap.evaluation.motion_metrics import mpjpe_global_mm
from diffmocap.optim.first_order import Adam
from diffmocap.optim.quasi_newton import Lbfgs
from diffmocap.optim.stopping import Budget
from diffmocap.physics.articulated import ArticulatedBody
from diffmocap.physics.contact_points import ContactPoints
from diffmocap.physics.ground import Ground
from diffmocap.physics.segments import BodySegments
from diffmocap.physics.simulation import Simulator
from diffmocap.refinement.diffphy.controls import ControlTrajectory, spline_weights
from diffmocap.refinement.diffphy.stages import minimize_in_stages
from diffmocap.refinement.diffphy.task import DiffphyTask, DiffphyWeights

DT = 1 / 30


@pytest.fixture(scope="module")
def model() -> BodyModel:
    return BodyModel.load()


def simulator_of(model: BodyModel, dtype: torch.dtype) -> Simulator:
    segments = BodySegments.from_urdf(read_urdf()).to(dtype=dtype)
    body = ArticulatedBody(segments, ContactPoints.from_body(model).to(dtype=dtype))
    return Simulator(body, Ground(torch.tensor([0.0, 1.0, 0.0]), torch.tensor(0.0)))


@pytest.fixture(scope="module")
def walk(model, mocap_dir) -> tuple[torch.Tensor, torch.Tensor]:
    """Half a second of a walk, soles on the floor: [1, 16, 24, 3, 3] and [1, 16, 3]."""
    clip = next(clip for clip in load_split(mocap_dir / "cmu_smpl30_val.npz") if clip.name == "39_01")
    clip = retarget(clip, model)
    return clip.rotations[None, 5:21], clip.pelvis[None, 5:21]


@pytest.fixture(scope="module")
def task(model, walk) -> DiffphyTask:
    """Two motions in float64: five frames each of the walk."""
    rotations, pelvis = (torch.cat([x[:, :5], x[:, 6:11]]) for x in walk)
    return DiffphyTask(simulator_of(model, torch.float64), rotations, pelvis, DT)


def test_splines_sum_to_one_and_follow_lines():
    weights = spline_weights(31, 10)
    torch.testing.assert_close(weights.sum(1), torch.ones(31, dtype=torch.float64))
    knots = torch.arange(-1, 12, dtype=torch.float64)  # uniform B-splines give back what is linear
    torch.testing.assert_close(weights @ knots, torch.linspace(0, 10, 31, dtype=torch.float64))
    assert bool((weights >= 0).all())


def test_controls_turn_the_driven_joints_alone():
    controls = ControlTrajectory.over(7, DT, ("left_knee", "spine1"))
    reference = roma.random_rotmat(7 * 23, dtype=torch.float64).view(1, 7, 23, 3, 3)
    torch.testing.assert_close(controls.targets(reference, torch.zeros(1, controls.shape[0] * 6).double()), reference)
    x = torch.zeros(1, *controls.shape, dtype=torch.float64)
    x[..., 2] = 0.3  # all knots: the left knee about its own z
    turned = controls.targets(reference, x.flatten(1))
    angles = roma.rotmat_to_rotvec(reference.transpose(-1, -2) @ turned)
    knee = JOINT_NAMES.index("left_knee") - 1
    torch.testing.assert_close(angles[0, :, knee], torch.tensor([0, 0, 0.3]).double().expand(7, 3))
    assert float(angles[0, :, [j for j in range(23) if j != knee]].abs().max()) < 1e-7


def test_controls_say_what_is_wrong():
    with pytest.raises(SettingsError, match="unknown joints .*left_kneee"):
        ControlTrajectory.over(7, DT, ("left_kneee",))
    with pytest.raises(SettingsError, match="two frames"):
        ControlTrajectory.over(1, DT)
    with pytest.raises(SettingsError, match="position_m must be positive"):
        DiffphyWeights(position_m=0.0)


def test_zero_loss_where_simulation_and_observation_agree(model, walk):
    """A simulated motion, observed: its own controls reproduce it, so only what they cost is left."""
    simulator = simulator_of(model, torch.float64)
    first = DiffphyTask(simulator, *(x[:, :8] for x in walk), DT)
    x = 0.05 * torch.randn(1, first.dimension, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    motion = first.simulate(x)
    again = DiffphyTask(simulator, motion.local_rotations(simulator.body), motion.pelvis, DT, start=first.start)
    terms = first.terms(x)
    assert float(terms["position"]) > 1e-4
    # The observed motion is no longer the controls' reference: compare what the first controls did with it.
    same = again.terms(torch.zeros_like(x), motion)
    for name in ("position", "root", "rotation", "velocity", "control", "control_change"):
        assert float(same[name]) < 1e-9, name


def test_the_loss_is_the_sum_of_its_terms_and_rows_are_their_own(task):
    x = 0.1 * torch.randn(2, task.dimension, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    terms = task.terms(x)
    loss = task.loss(x)
    torch.testing.assert_close(loss, sum(terms.values()))
    assert all(term.shape == (2,) and bool((term >= 0).all()) for term in terms.values())
    other = x.clone()
    other[0] += 0.1
    torch.testing.assert_close(task.loss(other)[1], loss[1], rtol=1e-9, atol=0)
    torch.testing.assert_close(task.row(1).loss(x[1:]), loss[1:], rtol=1e-9, atol=0)


def test_the_gradient_is_that_of_finite_differences(task):
    x = 0.05 * torch.randn(2, task.dimension, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    _, gradient = task.loss_and_gradient(x)
    for seed in range(3):
        way = torch.randn(x.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        with torch.no_grad():
            slope = (task.loss(x + 1e-6 * way) - task.loss(x - 1e-6 * way)) / 2e-6
        torch.testing.assert_close((gradient * way).sum(1), slope, rtol=1e-5, atol=1e-7)


def test_a_beginning_does_not_know_its_end(task):
    x = 0.05 * torch.randn(2, task.dimension, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    part = task.beginning(3)
    assert part.shape == task.shape
    torch.testing.assert_close(part.simulate(x).joints, task.simulate(x).joints[:, :3])
    _, gradient = part.loss_and_gradient(x)
    last = gradient.view(2, *task.shape)[:, -1]
    assert float(last.abs().max()) == 0


def test_absurd_controls_have_a_loss_and_a_gradient(task):
    loss, gradient = task.loss_and_gradient(100 * torch.randn(2, task.dimension, dtype=torch.float64))
    assert bool(torch.isfinite(loss).all()) and bool(torch.isfinite(gradient).all())


def test_starts_are_as_many_as_motions(task):
    assert task.init(2).shape == (2, task.dimension)
    with pytest.raises(SettingsError, match="2 motions"):
        task.init(3)


@pytest.fixture(scope="module")
def walking(model, walk) -> DiffphyTask:
    return DiffphyTask(simulator_of(model, torch.float32), *walk, DT)


def test_lbfgs_makes_a_walker_walk(walking):
    """Driven towards the observed poses alone it stumbles; 25 evaluations bring it within three centimetres."""
    x = walking.init(1)
    before = mpjpe_global_mm(walking.simulate(x).joints[0].numpy(), walking.joints[0].numpy())
    result = Lbfgs().minimize(walking, x, Budget(evaluations=25))
    found = walking.simulate(result.x).joints[0]
    after = mpjpe_global_mm(np.asarray(found), walking.joints[0].numpy())
    assert float(result.loss) < 0.1 * float(result.losses[0])
    assert after < 30 and after < 0.4 * before


def test_stages_reach_the_whole_motion(walking):
    result = minimize_in_stages(walking, Adam(0.02), 4, stage_s=0.2)
    assert [frames for frames, _ in result.stages] == [7, 13, 16]
    assert result.evaluations.tolist() == [12]
    torch.testing.assert_close(walking.loss(result.x), result.loss, rtol=1e-4, atol=1e-5)
    assert float(result.loss) < float(walking.loss(walking.init(1)))
