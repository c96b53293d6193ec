"""The window loss: gradients of every term, invariances, ideal motions, and windows in which little is known."""

from __future__ import annotations

from dataclasses import replace

import pytest
import roma
import torch

from diffmocap.errors import SettingsError
from diffmocap.physics.ground import Ground
from diffmocap.refinement.window.loss import WindowLoss
from diffmocap.refinement.window.reference import reference_motion
from diffmocap.refinement.window.task import WindowTask
from diffmocap.refinement.window.weights import UNITS, RefinementWeights
from tests.refinement.windows import cut, seen

OFF = dict.fromkeys(UNITS, 0.0)


@pytest.fixture(scope="module")
def noisy(walks, body):
    """Two windows of twelve frames with three hypotheses, and the motion behind them."""
    motion = cut(walks[:2], 12)
    return seen(body, *motion, hypotheses=3), motion


def standing(points, frames=8):
    """Rotations and pelvis [1, T, ...] of the T-pose with its soles on the floor at zero."""
    rotations = torch.eye(3, dtype=torch.float64).expand(1, frames, 24, 3, 3)
    lowest = points.positions(rotations[0, :1]).split(points.sizes, -1)[2][0, 1].min()
    return rotations, torch.tensor([0.3, -float(lowest), -0.2], dtype=torch.float64).expand(1, frames, 3).clone()


def exact(body, rotations, pelvis):
    return seen(body, rotations, pelvis, rotation_noise=(0, 0), pelvis_noise=(0, 0, 0), pixel_noise=0)


@pytest.mark.parametrize("term", UNITS)
def test_gradients_are_finite_differences(term, noisy, points):
    task = WindowTask(noisy[0], points)
    parameters, loss = task._at(task.init(2).double())
    g, which = torch.Generator().manual_seed(5), list(UNITS).index(term)
    x = 0.3 * torch.randn(2, task.dimension, generator=g, dtype=torch.float64)
    if term == "joint_limits":  # a few joints far out
        x.view(2, *task.shape)[:, :, [3 * 4, 3 * 18 + 1]] -= 15.0
    direction = torch.randn(2, task.dimension, generator=g, dtype=torch.float64)

    def value(step):
        return loss.squares(*parameters.decode(x + step * direction))[:, which].sum()

    step = torch.zeros((), dtype=torch.float64, requires_grad=True)
    here = value(step)
    (slope,) = torch.autograd.grad(here, step)
    h = 1e-5
    with torch.no_grad():
        numeric = (value(h) - value(-h)) / (2 * h)
    assert float(here.detach()) > 0 and float(slope) == pytest.approx(float(numeric), rel=2e-4, abs=1e-9)


def test_terms_add_up_and_each_can_be_left_out(noisy, points):
    task = WindowTask(noisy[0], points)
    x = torch.randn(2, task.dimension, generator=torch.Generator().manual_seed(0)).double()
    report = task.report(x)
    torch.testing.assert_close(sum(term.cost for term in report.values()), task.loss(x))
    assert list(report) == list(UNITS) and all(report[name].unit == unit for name, unit in UNITS.items())
    assert bool((torch.stack([term.cost for term in report.values()]) >= 0).all())
    for name in UNITS:
        alone = WindowTask(noisy[0], points, weights=RefinementWeights(**{**OFF, name: 2.0}))
        square = report[name].size if name == "hypotheses" else report[name].size.square()
        torch.testing.assert_close(alone.loss(x), 2 * square)


def test_the_world_may_be_turned_and_moved(noisy, points):
    """Motion, gravity, ground and camera together: the loss knows no axes of its own."""
    window, motion = noisy
    turn = roma.rotvec_to_rotmat(torch.tensor([0.4, -1.1, 0.7], dtype=torch.float64))
    shift = torch.tensor([0.5, -2.0, 1.0], dtype=torch.float64)

    def moved(rotations, pelvis):
        root = turn @ rotations[..., :1, :, :]
        return torch.cat([root, rotations[..., 1:, :, :]], -3), pelvis @ turn.T + shift

    poses, places = moved(window.rotations, window.pelvis)
    up = window.ground.up @ turn.T
    camera = torch.cat([window.T_camera_motion[:, :, :3] @ turn.T, window.T_camera_motion[:, :, 3:]], -1)
    camera[:, :, 3] -= camera[:, :, :3] @ shift
    other = replace(
        window, rotations=poses, pelvis=places, T_camera_motion=camera,
        pelvis_precision=turn @ window.pelvis_precision @ turn.T,
        ground=Ground(up, window.ground.height + up @ shift),
    )  # fmt: skip
    reference = reference_motion(window)
    here = WindowLoss(window, points, *reference).squares(*motion)
    there = WindowLoss(other, points, *moved(*reference)).squares(*moved(*motion))
    torch.testing.assert_close(there, here, rtol=1e-6, atol=1e-9)


def test_rows_do_not_see_each_other(noisy, points):
    task = WindowTask(noisy[0], points)
    x = torch.randn(2, task.dimension, generator=torch.Generator().manual_seed(1)).double()
    together, slopes = task.loss_and_gradient(x)
    for b in range(2):
        alone, slope = task.row(b).loss_and_gradient(x[b : b + 1])
        torch.testing.assert_close(alone[0], together[b])
        torch.testing.assert_close(slope[0], slopes[b], rtol=1e-5, atol=1e-6)


def test_single_precision_comes_to_the_same(noisy, points):
    task = WindowTask(noisy[0], points)
    x = 0.1 * torch.randn(2, task.dimension, generator=torch.Generator().manual_seed(1)).double()
    (double, slope), (single, rough) = task.loss_and_gradient(x), task.loss_and_gradient(x.float())
    torch.testing.assert_close(single.double(), double, rtol=1e-3, atol=1e-3)
    assert float((rough.double() - slope).norm() / slope.norm()) < 1e-2


def test_a_standing_body_is_explained(points, body):
    motion = standing(points)
    loss = WindowLoss(exact(body, *motion), points, *motion)
    sizes = {name: float(term.size[0]) for name, term in loss.report(*motion).items()}
    assert bool(loss.touching[:, :, [0, 3]].all())
    for name in ("reprojection", "hypotheses", "slip", "penetration", "torque_rate", "joint_limits", "jerk"):
        assert sizes[name] < 1e-6, (name, sizes[name])
    # The solver shares forces out at the price of a hundredth of the weight.
    assert sizes["root_force"] < 0.1 and sizes["root_moment"] < 0.05 and sizes["contact_gap"] < 0.02
    dynamics = loss.dynamics(*motion)
    weight = float(points.total_mass) * 9.80665
    assert float(dynamics.contacts.force.sum(-2)[0, 3, 1]) == pytest.approx(weight, rel=0.01)


def test_a_parabola_is_explained_without_contacts(points, body):
    rotations, pelvis = standing(points)
    t = torch.arange(8, dtype=torch.float64) / 30
    thrown = pelvis + torch.stack([2 * t, 0.8 + 1.5 * t - 0.5 * 9.80665 * t**2, 0 * t], -1)
    loss = WindowLoss(exact(body, rotations, thrown), points, rotations, thrown)
    report = loss.report(rotations, thrown)
    assert not bool(loss.touching.any())
    for name in ("root_force", "root_moment", "torque", "slip", "contact_gap", "penetration"):
        assert float(report[name].size[0]) < 1e-5, name


def test_sinking_and_sliding_cost_what_they_measure(points, body):
    rotations, pelvis = standing(points)
    window = exact(body, rotations, pelvis)
    loss = WindowLoss(window, points, rotations, pelvis)
    still = loss.report(rotations, pelvis)
    sunk = loss.report(rotations, pelvis - torch.tensor([0.0, 0.03, 0.0], dtype=torch.float64))
    assert float(sunk["penetration"].size[0]) > 0.03 > 1e-6 > float(still["penetration"].size[0])
    drift = torch.zeros_like(pelvis)
    drift[..., 0] = 0.4 * torch.arange(8) / 30
    assert float(loss.report(rotations, pelvis + drift)["slip"].size[0]) == pytest.approx(0.4, rel=1e-6)


def test_the_mixture_lets_go_of_far_hypotheses(points, body):
    """Between two poses the nearer one pulls; a weightier one pulls from further away; both are minima."""
    rotations, pelvis = standing(points, 1)
    window = exact(body, rotations, pelvis)
    bend = torch.tensor([0.0, 0.0, 1.2], dtype=torch.float64)

    def pose(share):
        turned = rotations.clone()
        turned[:, :, [16, 18]] = roma.rotvec_to_rotmat(share * bend)
        return turned

    both = torch.stack([pose(0.0), pose(1.0)], 1)
    window = replace(
        window, rotations=both, pelvis=pelvis[:, None].repeat(1, 2, 1, 1), log_weights=torch.zeros(1, 2, 1).double(),
        rotation_spread=torch.full((1, 1, 24), 0.1).double(),
    )  # fmt: skip
    weights = RefinementWeights(**{**OFF, "hypotheses": 1.0})

    def slope(share, window=window):
        s = torch.tensor(share, dtype=torch.float64, requires_grad=True)
        cost = WindowLoss(window, points, rotations, pelvis, weights)(pose(s), pelvis)
        return float(torch.autograd.grad(cost.sum(), s)[0])

    assert slope(0.3) > 0 > slope(0.7)
    assert abs(slope(0.0)) < 1e-6 and abs(slope(1.0)) < 1e-6
    favoured = replace(window, log_weights=torch.tensor([-9.0, 0.0]).double().view(1, 2, 1))
    assert slope(0.45) > 0 > slope(0.45, favoured)
    alone = replace(window, log_weights=torch.tensor([0.0, -torch.inf]).double().view(1, 2, 1))
    no_number = replace(window, log_weights=torch.tensor([0.0, torch.nan]).double().view(1, 2, 1))
    assert slope(0.9, no_number) == slope(0.9, alone) > 0 > slope(0.9)


@pytest.mark.parametrize("frames", [1, 2, 3, 4])
@pytest.mark.parametrize("missing", ["nothing", "keypoints", "hypotheses", "everything", "half the frames"])
def test_little_is_known(frames, missing, walks, body, points):
    """Few frames and few observations leave finite numbers, and terms that need more are zero."""
    motion = cut(walks[:2], frames)
    window = seen(body, *motion, hypotheses=2)
    nothing, lifted = torch.full_like(window.points_px, torch.nan), window.lifted.clone()
    confidence = window.confidence.clone()
    if missing in ("keypoints", "everything"):
        confidence[:] = 0
    if missing in ("hypotheses", "everything"):
        lifted[:] = False
    if missing == "half the frames":
        confidence[:, ::2], lifted[:, ::2] = 0, False
    gone = (~lifted)[:, None, :, None]
    window = replace(
        window, confidence=confidence, lifted=lifted,
        points_px=torch.where(confidence[..., None] > 0, window.points_px, nothing),
        rotations=window.rotations.masked_fill(gone[..., None, None], torch.nan),
        pelvis=window.pelvis.masked_fill(gone, torch.nan),
        log_weights=window.log_weights.masked_fill(gone[..., 0], -torch.inf),
    )  # fmt: skip
    task = WindowTask(window, points, reference=motion)
    x = 0.5 * torch.randn(2, task.dimension, generator=torch.Generator().manual_seed(0)).double()
    loss, slope = task.loss_and_gradient(x)
    assert bool(torch.isfinite(loss).all() and torch.isfinite(slope).all() and (loss >= 0).all())
    report = task.report(x)
    absent = {
        "reprojection": missing in ("keypoints", "everything"), "hypotheses": missing in ("hypotheses", "everything"),
        "slip": frames < 2, "root_force": frames < 3, "torque": frames < 3, "torque_rate": frames < 4,
        "jerk": frames < 4,
    }  # fmt: skip
    for name, none in absent.items():
        assert (float(report[name].size.abs().sum()) == 0.0) or not none, name
    refined = task.refined(x)
    assert (refined.dynamics is None) == (frames < 3) and bool(torch.isfinite(refined.pelvis_velocity).all())


def test_a_person_behind_the_camera_has_no_image(points, body):
    rotations, pelvis = standing(points, 4)
    window = exact(body, rotations, pelvis)
    window.T_camera_motion[:, 2, 3] -= 8.0
    task = WindowTask(window, points)
    loss, slope = task.loss_and_gradient(task.init(1).double())
    assert bool(torch.isfinite(loss).all() and torch.isfinite(slope).all())
    assert float(task.report(task.init(1).double())["reprojection"].size) == 0.0


@pytest.mark.parametrize("field", ["slip", "root_force", "robust_m"])
@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf")])
def test_weights_without_sense_are_refused(field, value):
    with pytest.raises(SettingsError, match=field):
        RefinementWeights(**{field: value})


def test_windows_of_wrong_shapes_are_refused(noisy):
    window = noisy[0]
    with pytest.raises(SettingsError, match="confidence"):
        replace(window, confidence=window.confidence[:, :3])
    with pytest.raises(SettingsError, match="between frames"):
        replace(window, dt_s=0.0)
    with pytest.raises(SettingsError, match="ground"):
        replace(window, ground=Ground(window.ground.up[0], window.ground.height[0]))
    with pytest.raises(SettingsError, match="spreads"):
        replace(window, rotation_spread=torch.zeros_like(window.rotation_spread))
    with pytest.raises(SettingsError, match="give a reference"):
        reference_motion(replace(window, lifted=torch.zeros_like(window.lifted)))
