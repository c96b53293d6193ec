"""The physics refinement as a stage: what it publishes, when it falls back, and that nobody sees it change."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import roma
import torch

from benchmarks.lifting.noisy_keypoints import CAMERA, observe
from diffmocap import compiler
from diffmocap.body.joint_angles import angle_rates, angles_from_rotations
from diffmocap.camera.projection import project
from diffmocap.lifting.tracking.track import TrackedPoses
from diffmocap.physics.revolute_torques import on_branch
from diffmocap.refinement.filter.pose_filter import PoseFilter
from diffmocap.refinement.filter.settings import FilterSettings
from diffmocap.refinement.physics_refiner import (
    BEGINS,
    FIRST_FRAMES,
    NO_TIME,
    NOT_COMPILED,
    PhysicsRefiner,
    PhysicsSettings,
    points_of,
)  # fmt: skip
from diffmocap.refinement.stream.known_ground import KnownGround
from diffmocap.refinement.stream.settings import LiveSettings
from diffmocap.types import CameraIntrinsics, PoseHypotheses
from tests.clocked import Clocked

LENGTH = 22
SETTINGS = PhysicsSettings(True, live=LiveSettings(window_frames=12, budget_ms=0.0, iterations=1))


@pytest.fixture(scope="module")
def stream(walks, body):
    """A walk before a level camera, with three noisy hypotheses per frame; and how high the camera is [m]."""
    seen = observe(walks[0], 0.6, body, LENGTH)
    g = torch.Generator().manual_seed(0)
    frames = []
    for t in range(LENGTH):
        turn = roma.rotvec_to_rotmat(0.08 * torch.randn(3, 24, 3, generator=g))
        pelvis = seen.pelvis[t] + torch.tensor([0.01, 0.01, 0.05]) * torch.randn(3, 3, generator=g)
        poses = PoseHypotheses(seen.rotations[t] @ turn, pelvis, torch.zeros(3), seen.keypoints[t].stamp_ns)
        frames.append((TrackedPoses(poses, torch.tensor([0.2, 0.5, 0.3]), followed=0), seen.keypoints[t], CAMERA))
    return frames, float(seen.joints[:, [10, 11], 1].max()) + 0.03


@pytest.fixture
def make(body, points, stream):
    def made(settings=SETTINGS, known=True) -> PhysicsRefiner:
        ground = KnownGround.from_camera(stream[1], 0.0) if known else KnownGround()
        return PhysicsRefiner(body, replace(settings, ground=ground), points)

    return made


@pytest.fixture(scope="module")
def walked(body, points, stream):
    refiner = PhysicsRefiner(body, replace(SETTINGS, ground=KnownGround.from_camera(stream[1], 0.0)), points)
    return play(refiner, stream[0])


def play(refiner, frames) -> list:
    """The states that a refiner makes of frames in a row."""
    clocked = Clocked(refiner)
    return [None if (refined := clocked(*frame)) is None else refined.state for frame in frames]


def steps(states) -> torch.Tensor:
    """[T - 1] m: the farthest that a joint goes from state to state."""
    return torch.stack([s.joint_positions for s in states]).diff(dim=0).norm(dim=-1).amax(-1)


def test_a_walk_gets_poses_with_forces(walked, body, points):
    assert [s.fallback for s in walked] == [BEGINS] * (FIRST_FRAMES - 1) + [""] * (LENGTH - FIRST_FRAMES + 1)
    assert all(s.physics is None and s.contacts == () for s in walked[: FIRST_FRAMES - 1])
    refined = walked[FIRST_FRAMES - 1 :]
    for state in refined:
        physics = state.physics
        assert physics.torques.shape == physics.angles.shape == (69,) and bool(physics.torques.isfinite().all())
        assert physics.angular_velocity.shape == (24, 3) and physics.iterations == 1
        assert state.loss_after <= state.loss_before
        assert physics.ground_source == "camera height and pitch given"
        assert set(state.contacts) <= {*points.contact_names}
        for covariance in (state.rotation_covariance, state.pelvis_covariance):
            assert bool((torch.linalg.eigvalsh(covariance) > 0).all())
        joints = body.forward_kinematics(state.rotations[None], state.pelvis[None])[1][0]
        torch.testing.assert_close(joints, state.joint_positions)
    assert sum(s.loss_after for s in refined) < 0.2 * sum(s.loss_before for s in refined)
    assert any(s.contacts for s in refined)
    up = torch.tensor([0.0, -1.0, 0.0])
    for state in refined:
        places, forces = state.physics.contact_points, state.physics.contact_forces
        assert places.shape == forces.shape == (len(state.contacts), 3)
        assert bool(((places @ up - state.physics.ground_height).abs() < 0.12).all()), "they are at the floor"
        assert bool((forces @ up > -1e-3).all()), "the floor does not pull"
    weight = 9.81 * float(points.mass.sum())
    carried = [float((s.physics.contact_forces @ up).sum()) for s in refined]
    assert 0.4 * weight < max(carried) < 2.5 * weight


def test_off_it_is_the_filter(make, body, stream):
    refiner, pose_filter = make(replace(SETTINGS, enabled=False)), PoseFilter(body)
    for state, expected in zip(play(refiner, stream[0][:6]), play(pose_filter, stream[0][:6]), strict=True):
        assert torch.equal(state.rotations, expected.rotations) and torch.equal(state.pelvis, expected.pelvis)
        assert torch.equal(state.rotation_covariance, expected.rotation_covariance)
        assert state.physics is None and state.fallback == "" and np.isnan(state.loss_before)


def test_turning_it_on_and_off_makes_no_jump(make, stream):
    """The poses of both sources lie apart; what is published goes from one to the other in small steps."""
    refiner, filtered = make(), make(replace(SETTINGS, enabled=False))
    off = play(filtered, stream[0])
    states, clocked = [], Clocked(refiner)
    for t, frame in enumerate(stream[0]):
        refiner.settings = replace(refiner.settings, enabled=t < 14)
        states.append(clocked(*frame).state)
    assert states[13].physics is not None and states[14].physics is None
    apart = [float((a.joint_positions - b.joint_positions).norm(dim=-1).max()) for a, b in zip(states, off)]
    # A cut would add the whole distance between the sources to the step that the body makes anyway.
    extra = steps(states) - steps(off)
    assert apart[13] > 0.03
    assert float(extra[FIRST_FRAMES - 2]) < 0.3 * apart[13] and float(extra[13]) < 0.3 * apart[13]
    assert apart[FIRST_FRAMES - 1] < 1e-4 and apart[-1] < 0.3 * apart[13], "it does not get from one to the other"


def test_with_a_lag_states_come_with_the_hypotheses_of_their_frame(make, stream):
    lag = 4
    refine = Clocked(make(replace(SETTINGS, live=replace(SETTINGS.live, lag_frames=lag))))
    refined = [refine(*frame) for frame in stream[0]]
    assert refined[:lag] == [None] * lag
    assert all(r.tracked is frame[0] for r, frame in zip(refined[lag:], stream[0][:-lag], strict=True))
    states = [None if r is None else r.state for r in refined]
    assert all(s.physics is not None for s in states[lag + FIRST_FRAMES :])
    jerk = [torch.stack([s.joint_positions for s in x]).diff(n=2, dim=0).norm(dim=-1).mean() for x in
            (states[lag + FIRST_FRAMES :], [make_state(frame) for frame in stream[0][FIRST_FRAMES:]])]  # fmt: skip
    assert jerk[0] < 0.5 * jerk[1]


def make_state(frame):
    """The followed hypothesis as it came."""
    tracked = frame[0]

    class State:
        joint_positions = tracked.poses.pelvis[tracked.followed][None]

    return State


def test_frames_never_go_back_whatever_is_switched(make, stream):
    """Lag off, lag on, physics off, a lost frame: the order of what is published holds."""
    refiner, stamps = make(), []
    clocked = Clocked(refiner)
    for t, frame in enumerate(stream[0]):
        lag, on = (0, True) if t < 6 else (3, True) if t < 14 else (3, False) if t < 18 else (2, True)
        live = replace(SETTINGS.live, lag_frames=lag, window_frames=8)
        refiner.settings = replace(refiner.settings, live=live, enabled=on)
        if t in (9, 16):
            continue
        refined = clocked(*frame)
        if refined is not None:
            stamps.append(refined.tracked.poses.stamp_ns)
    assert stamps == sorted(set(stamps)) and len(stamps) > 12


def test_without_time_the_filter_goes_out(make, body, stream):
    refine, smooth = Clocked(make()), Clocked(PoseFilter(body))
    for frame in stream[0][:4]:
        state, expected = refine(*frame, budget_ms=0.0).state, smooth(*frame).state
        assert state.fallback == NO_TIME and torch.equal(state.rotations, expected.rotations)


def test_the_first_frame_with_time_has_physics(make, stream):
    """Frames before it had none, but the window has them: nothing begins again, and nothing jumps."""
    refine = Clocked(make())
    states = [refine(*frame, budget_ms=0.0 if 1 <= t < 18 else None).state for t, frame in enumerate(stream[0])]
    said = [state.fallback for state in states]
    assert said == [BEGINS] + [NO_TIME] * 17 + [""] * (LENGTH - 18)
    assert steps(states)[17] < 2 * steps(states)[4:17].max()


def test_a_long_deadline_without_a_budget_of_its_own_is_no_error(make, stream):
    """``budget_ms`` of the node may be longer than the longest one that the live refinement takes."""
    refine = Clocked(make(replace(SETTINGS, live=replace(SETTINGS.live, budget_ms=0.0))))
    states = [refine(*frame, budget_ms=3000.0).state for frame in stream[0][: FIRST_FRAMES + 2]]
    assert states[-1].physics is not None and states[-1].physics.iterations == SETTINGS.live.iterations


@pytest.mark.parametrize("lag", [0, 2])
def test_a_new_track_knows_nothing_of_the_last_one(make, stream, lag):
    """What it publishes is what a new refiner would, whatever time is said to have passed."""
    settings = replace(SETTINGS, live=replace(SETTINGS.live, lag_frames=lag))
    refiner = make(settings)
    assert play(refiner, stream[0][: FIRST_FRAMES + 4])[-1].physics is not None
    rest = stream[0][FIRST_FRAMES + 4 :]
    for again, fresh in zip(play(refiner, rest), play(make(settings), rest), strict=True):
        assert (again is None) == (fresh is None)
        if again is not None:
            assert torch.equal(again.rotations, fresh.rotations) and torch.equal(again.pelvis, fresh.pelvis)
            assert again.fallback == fresh.fallback


class Unreadable:
    """A stamp that nobody may look at."""

    def refused(self, *_):
        raise AssertionError("a stamp was looked at")

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __lt__ = __le__ = __gt__ = __ge__ = refused
    __eq__ = __int__ = __float__ = __index__ = __bool__ = refused
    __hash__ = None


@pytest.mark.parametrize("kind", ["filter", "physics", "lag"])
def test_stamps_are_never_looked_at(make, body, stream, kind):
    """The poses come out the same where every stamp is unreadable, and time is told."""

    def made():
        live = replace(SETTINGS.live, lag_frames=2 if kind == "lag" else 0)
        return PoseFilter(body) if kind == "filter" else make(replace(SETTINGS, live=live))

    refiner, clocked = made(), Clocked(made())
    for t, (tracked, keypoints, camera) in enumerate(stream[0][: FIRST_FRAMES + 4]):
        expected = clocked(tracked, keypoints, camera)
        dt_s = 0.0 if t == 0 else 1e-9 * (keypoints.stamp_ns - stream[0][t - 1][1].stamp_ns)
        blind = replace(tracked, poses=replace(tracked.poses, stamp_ns=Unreadable()))
        refined = refiner.refine(blind, replace(keypoints, stamp_ns=Unreadable()), camera, dt_s, t == 0)
        assert (refined is None) == (expected is None)
        if refined is not None:
            assert torch.equal(refined.state.rotations, expected.state.rotations)
            assert torch.equal(refined.state.pelvis, expected.state.pelvis)
            assert refined.state.fallback == expected.state.fallback


def test_a_floor_that_was_given_too_low_is_contradicted(make, stream):
    """A person stands half a metre above it: told once windows have seen it, and the floor stays what was given."""
    live = replace(SETTINGS.live, window_frames=8)
    refiner = make(replace(SETTINGS, live=live), known=False)
    low = stream[1] + 0.5
    refiner.settings = replace(refiner.settings, ground=KnownGround.from_camera(low, 0.0))
    tracked, keypoints, camera = stream[0][0]
    told = []
    for t in range(1, 60):
        state = refiner.refine(tracked, keypoints, camera, 0.033, t == 1).state
        told.append(state.physics.ground_contradiction_m if state.physics is not None else 0.0)
    assert not any(told[:30]) and 0.25 < max(told) < 0.75
    assert state.physics is None or state.physics.ground_height == pytest.approx(-low)


def test_the_ground_is_found_kept_and_forgotten(make, stream):
    """A person who stands still shows the floor; a new track keeps it, another camera does not."""
    live = replace(SETTINGS.live, window_frames=8)
    refiner = make(replace(SETTINGS, live=live), known=False)
    refiner.settings = replace(refiner.settings, ground=KnownGround.from_camera(None, 0.0))
    tracked, keypoints, camera = stream[0][0]

    def stand(count: int, begins: bool = False, camera: CameraIntrinsics = camera):
        for t in range(count):
            state = refiner.refine(tracked, keypoints, camera, 0.033, begins and t == 0).state
        return state

    first = stand(FIRST_FRAMES + 1, begins=True)
    assert first.physics.torques is None and first.physics.ground_up is None and first.contacts == ()
    found = stand(22).physics
    assert found.torques is not None and found.ground_source.startswith("camera pitch given; ")
    assert found.ground_up.tolist() == [0.0, -1.0, 0.0] and abs(found.ground_height + stream[1]) < 0.2
    kept = stand(FIRST_FRAMES, begins=True).physics
    assert kept.ground_height == found.ground_height
    assert stand(FIRST_FRAMES, camera=CameraIntrinsics.from_fov(1280, 720)).physics.ground_up is None


@pytest.mark.parametrize(("frames", "iterations"), [(8, 1), (24, 4)])
def test_a_person_who_sits_keeps_still(make, stream, body, frames, iterations):
    """Nothing under the thighs carries a body that sits: what the feet cannot explain must not move it."""
    refiner = make(replace(SETTINGS, live=replace(SETTINGS.live, window_frames=frames, iterations=iterations)))
    tracked, keypoints, camera = stream[0][0]
    bend = torch.zeros(24, 3)
    bend[[1, 2], 0], bend[[4, 5], 0] = -1.4, 1.4
    rotations = roma.rotvec_to_rotmat(bend)
    rotations[0] = torch.diag(torch.tensor([1.0, -1.0, -1.0]))
    pelvis = torch.tensor([0.0, 0.0, 3.0])
    toes = body.forward_kinematics(rotations[None], pelvis[None])[1][0, [10, 11], 1].max()
    pelvis[1] = stream[1] - 0.03 - toes  # soles on the floor
    places = body.keypoints(rotations[None], pelvis[None])
    seen = replace(keypoints, points_px=project(places, torch.tensor(CAMERA.matrix).float())[0].numpy())
    states = []
    for t in range(20):
        poses = PoseHypotheses(rotations[None], pelvis[None], torch.zeros(1))
        sitting = TrackedPoses(poses, torch.ones(1), followed=0)
        states.append(refiner.refine(sitting, seen, camera, 0.033, t == 0).state)
    assert all(s.physics is not None for s in states[FIRST_FRAMES:])
    assert float(steps(states).max()) < 0.03
    away = roma.rotmat_geodesic_distance(states[-1].rotations, rotations).max()
    assert float(away) < 0.2 and float((states[-1].pelvis - pelvis).norm()) < 0.08
    assert float(states[-1].physics.torques.abs().max()) < 300.0


def test_another_body_gets_masses_of_its_own(body, points):
    """The shipped body takes its masses from the URDF, a taller one from its own volume."""
    torch.testing.assert_close(points_of(body).mass, points.mass)


def test_rates_of_angles_are_their_derivatives():
    """On both branches, with the velocity in the joints' own axes."""
    torch.manual_seed(0)
    rotations = roma.rotvec_to_rotmat(0.3 * torch.randn(20, 24, 3, dtype=torch.float64))
    velocity, dt = torch.randn(20, 24, 3, dtype=torch.float64), 1e-6
    angles = angles_from_rotations(rotations)
    other = (angles.unflatten(-1, (-1, 3)) * torch.tensor([1.0, -1.0, 1.0]) + torch.pi).flatten(-2)
    for branch in (angles, other):
        later = angles_from_rotations(rotations @ roma.rotvec_to_rotmat(velocity * dt), branch)
        expected = (later - angles_from_rotations(rotations, branch)) / dt
        torch.testing.assert_close(angle_rates(branch, velocity), expected, rtol=0.02, atol=0.02)
    assert float(angle_rates(torch.full((69,), torch.pi / 2), torch.ones(24, 3)).abs().max()) < 100.0, "gimbal lock"


def test_torques_turn_with_the_branch():
    """The power that motors give does not depend on how the same rotation is written."""
    torch.manual_seed(1)
    rotations = roma.rotvec_to_rotmat(0.5 * torch.randn(24, 3, dtype=torch.float64))
    velocity, torques = torch.randn(24, 3, dtype=torch.float64), torch.randn(69, dtype=torch.float64)
    angles = angles_from_rotations(rotations)
    other = (angles.unflatten(-1, (-1, 3)) * torch.tensor([1.0, -1.0, 1.0]) + torch.pi).flatten(-2)
    turned = on_branch(torques, angles, other)
    power = [float(t @ angle_rates(a, velocity)) for t, a in ((torques, angles), (turned, other))]
    assert power[0] == pytest.approx(power[1], abs=1e-6)
    assert torch.equal(on_branch(torques, angles, angles + 2 * torch.pi), torques)


def test_settings_reach_the_filter(make, stream):
    refiner = make(replace(SETTINGS, enabled=False))
    refiner.settings = replace(refiner.settings, smoothing=FilterSettings(enabled=False))
    for state, frame in zip(play(refiner, stream[0][:3]), stream[0]):
        assert torch.equal(state.rotations, frame[0].poses.rotations[0])


def test_without_a_working_numba_the_filtered_pose_goes_out_and_says_why(make, stream, monkeypatch):
    monkeypatch.setattr(compiler, "available", lambda: False)
    refiner = make()
    refiner.prepare()
    states = play(refiner, stream[0])
    off = play(make(replace(SETTINGS, enabled=False)), stream[0])
    assert {state.fallback for state in states} == {NOT_COMPILED} and "diffmocap doctor" in NOT_COMPILED
    for state, other in zip(states, off, strict=True):
        torch.testing.assert_close(state.joint_positions, other.joint_positions)
        assert state.physics is None
