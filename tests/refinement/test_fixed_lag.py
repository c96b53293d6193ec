"""The live refinement: laws of its results on noisy walks, and input that is none."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from diffmocap.errors import SettingsError
from diffmocap.optim.first_order import Adam
from diffmocap.optim.quasi_newton import Lbfgs
from diffmocap.physics.tree import global_poses
from diffmocap.refinement.stream.fixed_lag import FixedLagRefiner
from diffmocap.refinement.stream.settings import LiveSettings
from diffmocap.refinement.stream.window_buffer import LiveFrame
from tests.refinement.windows import cut, seen

UP = torch.tensor([0.0, -1.0, 0.0])
SETTINGS = LiveSettings(window_frames=16, budget_ms=0.0, iterations=1)
LENGTH = 36


@pytest.fixture(scope="module")
def stream(walks, body) -> tuple[list[LiveFrame], float]:
    """A noisy walk in the optical frame, and the floor's height along ``UP`` [m]."""
    window = seen(body, *cut(walks[:1], LENGTH), hypotheses=2)
    turn, shift = window.T_camera_motion[0, :, :3], window.T_camera_motion[0, :, 3]
    frames = []
    for t in range(LENGTH):
        rotations = window.rotations[0, :, t].clone()
        rotations[:, 0] = turn @ rotations[:, 0]
        pelvis = window.pelvis[0, :, t] @ turn.T + shift
        frames.append(LiveFrame(
            rotations.float(), pelvis.float(), window.log_weights[0, :, t].float(),
            window.points_px[0, t].float(), window.confidence[0, t].float(), window.K[0].float(),
        ))  # fmt: skip
    return frames, float(UP.double() @ shift)


#: Time between frames [s].
DT = 1 / 30


def refiner(points, stream, settings=SETTINGS, **arguments) -> FixedLagRefiner:
    return FixedLagRefiner(points, settings, **{"up": UP, "ground_height": stream[1], **arguments})


def play(live: FixedLagRefiner, frames) -> list:
    """What it makes of frames in a row; the first one of all begins a track by itself."""
    return [live.step(frame, DT) for frame in frames]


def joints(results, points) -> torch.Tensor:
    """[T, 24, 3] m of results, or of frames' heaviest hypotheses."""
    rotations = torch.stack([r.rotations[0] if isinstance(r, LiveFrame) else r.rotations for r in results])
    pelvis = torch.stack([r.pelvis[0] if isinstance(r, LiveFrame) else r.pelvis for r in results])
    return global_poses(rotations, pelvis, points.bones.float())[1]


def jerkiness(places: torch.Tensor) -> float:
    return float(places.diff(n=2, dim=0).norm(dim=-1).mean())


def finite(result) -> bool:
    numbers = [result.rotations, result.pelvis, result.angles, result.angular_velocity, result.pelvis_velocity]
    numbers += [] if result.torques is None else [result.torques]
    losses = torch.tensor([result.loss_before, result.loss_after])
    return all(bool(torch.isfinite(x).all()) for x in [*numbers, losses]) and float(result.pelvis.abs().max()) < 100


@pytest.fixture(scope="module")
def walked(points, stream):
    """Results without lag."""
    live = refiner(points, stream)
    return play(live, stream[0])


def test_never_worse_by_its_loss_and_much_better_on_a_walk(walked):
    assert all(finite(r) and r.loss_after <= r.loss_before for r in walked)
    assert all(r.refined for r in walked[2:])
    settled = walked[16:]
    assert sum(r.loss_after for r in settled) < 0.2 * sum(r.loss_before for r in settled)
    assert not any(r.age for r in walked)
    assert [r.restarted for r in walked] == [True] + [False] * (LENGTH - 1)


def test_steps_lower_the_loss_of_the_reference(points, stream):
    """Without a step a window's solution is the smoothed input; one per frame, from the last solution, does better.

    Nothing is continued here, so the loss is that of the solution.
    """
    losses = []
    for iterations in (0, 1):
        live = refiner(points, stream, replace(SETTINGS, iterations=iterations, settle_s=0.0, stance=0.0))
        results = play(live, stream[0])
        assert sum(r.iterations for r in results) == iterations * LENGTH
        losses.append(sum(r.loss_after for r in results[16:]))
    assert losses[1] < 0.75 * losses[0]


def test_what_is_published_without_lag_jumps_less_than_what_came_in(points, stream, walked):
    came, went = joints(stream[0], points), joints(walked, points)
    assert float(went.diff(dim=0).norm(dim=-1).max()) < float(came.diff(dim=0).norm(dim=-1).max())
    assert jerkiness(went) < 0.6 * jerkiness(came)
    angles = torch.stack([r.angles for r in walked])
    assert float(angles.diff(dim=0).abs().max()) < math.pi


def test_lag_makes_it_smoother_and_says_which_frame_it_is(points, stream, walked):
    live = refiner(points, stream, replace(SETTINGS, lag_frames=6))
    results = play(live, stream[0])
    assert results[:6] == [None] * 6
    assert [r.age for r in results[6:]] == [6] * (LENGTH - 6)
    assert all(finite(r) for r in results[6:])
    assert jerkiness(joints(results[6:], points)) < 0.7 * jerkiness(joints(walked[:-6], points))


def test_velocities_torques_and_contacts_are_those_of_a_walk(walked, points):
    settled = walked[16:]
    assert all(r.torques.shape == (69,) and r.ground_source == "given" for r in settled)
    torques = torch.stack([r.torques for r in settled]).abs()
    assert 5.0 < float(torques.amax(1).median()) < 1500.0
    assert sum(bool(r.contacts) for r in settled) > 0.25 * len(settled)  # errors of 6 degrees hide many at once
    assert 0.2 < float(torch.stack([r.pelvis_velocity for r in settled]).mean(0).norm()) < 3.0
    assert float(torch.stack([r.angular_velocity for r in settled]).norm(dim=-1).median()) < 10.0


def test_a_track_begins_where_it_is_told_and_time_must_advance(points, stream):
    live = refiner(points, stream)
    play(live, stream[0][:6])
    for dt_s in (0.0, -DT, math.nan):
        with pytest.raises(SettingsError, match="must be positive"):
            live.step(stream[0][6], dt_s)
    back = live.step(stream[0][0], -5 * DT, restarted=True)  # a recording that begins again
    fresh = refiner(points, stream).step(stream[0][0], 0.0, restarted=True)
    assert back.restarted and fresh.restarted
    torch.testing.assert_close(back.pelvis, fresh.pelvis, rtol=0.0, atol=0.0)
    torch.testing.assert_close(back.rotations, fresh.rotations, rtol=0.0, atol=0.0)
    assert not live.step(stream[0][1], DT).restarted


def test_a_window_of_another_shape_begins_a_track_once(points, stream):
    """Also where the settings change between two tracks: the first frame of the next has them already."""
    live = refiner(points, stream)
    play(live, stream[0][:3])
    live.settings = replace(SETTINGS, window_frames=8)
    assert [r.restarted for r in play(live, stream[0][3:6])] == [True, False, False]
    live.reset()
    live.settings = SETTINGS
    assert [r.restarted for r in play(live, stream[0][6:9])] == [True, False, False]


def test_frames_without_a_pose_and_lost_ones_are_bridged(points, stream):
    live = refiner(points, stream)
    results, last = [], -1
    for t, frame in enumerate(stream[0][:20]):
        if t in (8, 9):
            continue  # lost on the way
        if t in (12, 13):
            frame = replace(frame, rotations=None, pelvis=None, log_weights=None)
        results.append((t, live.step(frame, (t - last) * DT)))
        last = t
    assert [t for t, r in results if r is None] == [12, 13]
    assert all(finite(r) and not r.restarted for t, r in results if r is not None and t)


@pytest.mark.parametrize("count", [1, 6])
def test_frames_without_time_are_in_the_next_window(points, stream, count):
    """The poses after them are nearer to those of a stream with time for all than if the frames had been lost."""
    frames, end = stream[0], 12 + count
    every, kept, lost = (refiner(points, stream) for _ in range(3))
    for live in (every, kept, lost):
        play(live, frames[:12])
    for frame in frames[12:end]:
        every.step(frame, DT)
        assert not kept.store(frame, DT)
    every, kept = (play(live, frames[end : end + 3]) for live in (every, kept))
    lost = [lost.step(frame, DT * (1 + (0 if t else count))) for t, frame in enumerate(frames[end : end + 3])]
    assert all(finite(r) and not r.restarted and r.loss_after <= r.loss_before for r in kept)
    of_every, of_kept, of_lost = (joints(results, points) for results in (every, kept, lost))
    assert (of_kept - of_every).norm(dim=-1).mean() < 0.8 * (of_lost - of_every).norm(dim=-1).mean()


def test_a_track_may_begin_with_frames_that_had_no_time(points, stream):
    live = refiner(points, stream)
    assert live.store(stream[0][0], 0.0)
    assert not any(live.store(frame, DT) for frame in stream[0][1:30])  # more than the window holds
    result = live.step(stream[0][30], DT)
    assert finite(result) and result.iterations == SETTINGS.iterations and result.loss_after < result.loss_before
    assert live.store(stream[0][31], 10.0, restarted=True)


def broken(frame: LiveFrame, t: int, how: str) -> LiveFrame:
    nothing = float("nan")
    if how == "numbers that are none":
        if t % 3 == 1:
            return replace(frame, rotations=frame.rotations * nothing, points_px=frame.points_px * nothing)
        return replace(frame, log_weights=torch.tensor([0.0, nothing]), K=frame.K * (1.0 if t % 3 else nothing))
    if how == "half a body":
        seen = frame.confidence.clone()
        seen[8:] = 0.0
        return replace(frame, confidence=seen, points_px=torch.where(seen[:, None] > 0, frame.points_px, nothing))
    if how == "a jump":
        return replace(frame, pelvis=frame.pelvis + (0.8 + 0.02 * t) * UP)
    if how == "lying":
        down = frame.rotations.clone()
        lay = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])
        down[:, 0] = lay @ down[:, 0]
        return replace(frame, rotations=down, pelvis=frame.pelvis - 0.7 * UP, points_px=frame.points_px * nothing)
    if how == "here and there":
        return replace(frame, pelvis=frame.pelvis + (t % 2) * torch.tensor([3.0, 0.0, 20.0]))
    raise AssertionError(how)


@pytest.mark.parametrize("how", ["numbers that are none", "half a body", "a jump", "lying", "here and there"])
def test_bad_input_never_explodes(points, stream, how):
    live = refiner(points, stream, replace(SETTINGS, window_frames=10))
    for t, frame in enumerate(stream[0][:14]):
        frame = broken(frame, t, how)
        result = live.step(frame, DT)
        assert (result is None) == (how == "numbers that are none" and t % 3 == 1)
        if result is not None:
            assert finite(result) and result.loss_after <= result.loss_before
            identity = result.rotations @ result.rotations.transpose(-1, -2)
            torch.testing.assert_close(identity, torch.eye(3).expand_as(identity), atol=1e-4, rtol=0)
            if not result.refined:
                assert float((result.pelvis - frame.pelvis[0]).norm()) < 0.6


def test_nothing_at_all_gives_nothing(points, stream):
    live = refiner(points, stream)
    nobody = replace(stream[0][0], rotations=None, pelvis=None, log_weights=None)
    assert play(live, [nobody] * 40) == [None] * 40
    assert live.step(stream[0][0], DT).restarted


def test_a_window_of_one_frame(points, stream):
    live = refiner(points, stream, replace(SETTINGS, window_frames=1))
    results = play(live, stream[0][:4])
    assert all(finite(r) and r.torques is None and r.loss_after <= r.loss_before for r in results)


def test_without_a_floor_there_are_no_forces_until_feet_have_rested(points, stream):
    """A person who stands still shows where the floor is; a walk of half a second does not."""
    live = refiner(points, stream, replace(SETTINGS, window_frames=8), ground_height=None)
    results = play(live, stream[0][:1] * 30)
    assert all(finite(r) for r in results)
    assert results[6].torques is None and results[6].ground_source.startswith("unknown")
    assert results[-1].torques is not None and "rested" in results[-1].ground_source
    assert abs(float(live.ground.height) - stream[1]) < 0.15
    assert not results[-1].restarted


def test_the_budget_is_kept_by_a_clock_that_ticks(points, stream):
    """Every look at the clock costs 2 ms: the number of looks, and so of steps, is what the budget allows."""
    looks = iter(range(10**6))
    live = refiner(points, stream, replace(SETTINGS, window_frames=8, budget_ms=13.0, iterations=50),
                   clock=lambda: 2e-3 * next(looks))  # fmt: skip
    results = play(live, stream[0][:6])
    assert all(r.milliseconds <= 13.0 for r in results[1:])
    assert all(1 <= r.iterations < 6 for r in results[1:])


def test_another_optimizer_of_the_package_does_it_too(points, stream):
    settings = replace(SETTINGS, window_frames=8, iterations=3, optimizer=Adam(0.05))
    live = refiner(points, stream, settings)
    results = play(live, stream[0][:10])
    assert all(finite(r) and r.loss_after <= r.loss_before for r in results) and results[-1].iterations == 3


class Ticking(Adam):
    """Adam on a machine on which an evaluation with its step takes ``step_ms``."""

    def __init__(self, step_ms: float) -> None:
        super().__init__(0.05)
        self.step_s, self.now = 1e-3 * step_ms, 0.0

    def step(self, state, loss, gradient):
        self.now += self.step_s
        return super().step(state, loss, gradient)


@pytest.mark.parametrize("step_ms, steps", [(2.0, 4), (4.0, 2), (9.0, 1)])
def test_an_optimizer_steps_in_every_frame_as_often_as_there_is_time(points, stream, step_ms, steps):
    """After the first frame, in which it is seen how long a step takes, and from which the loss falls each time."""
    optimizer = Ticking(step_ms)
    settings = replace(SETTINGS, window_frames=8, iterations=50, budget_ms=9.5, optimizer=optimizer)
    live = refiner(points, stream, settings, clock=lambda: optimizer.now)
    results = play(live, stream[0][:12])
    assert [r.iterations for r in results[1:]] == [steps] * 11 and results[0].iterations >= 1
    assert all(r.milliseconds <= 9.5 for r in results[1:])
    still = refiner(points, stream, replace(settings, iterations=0))
    rest = play(still, stream[0][:12])[-1]
    assert results[-1].loss_after < 0.98 * rest.loss_after, "steps that are counted are taken"


def test_optimus_steps_in_every_frame_that_has_time_for_a_step(points, stream):
    """On a machine that needs 3 ms for a step, and nothing else."""
    from diffmocap.optim.optimus import Optimus, OptimusSettings

    class Slow(Optimus):
        now = 0.0

        def step(self, state, loss, gradient):
            self.now += 3e-3
            return super().step(state, loss, gradient)

    torch.manual_seed(0)
    optimizer = Slow(OptimusSettings(width=16, heads=2, attention_width=8, feedforward=16, mlp_width=16))
    settings = replace(SETTINGS, window_frames=8, iterations=5, budget_ms=10.0, optimizer=optimizer)
    live = refiner(points, stream, settings, clock=lambda: optimizer.now)
    assert [result.iterations for result in play(live, stream[0][:40])][1:] == [3] * 35


def test_an_optimizer_with_a_line_search_ends_with_its_time(points, stream):
    settings = replace(SETTINGS, window_frames=8, iterations=1000, budget_ms=30.0, optimizer=Lbfgs())
    live = refiner(points, stream, settings)
    assert all(result.iterations < 1000 for result in play(live, stream[0][:6]))


@pytest.mark.parametrize("wrong", [
    {"window_frames": 0}, {"lag_frames": 24}, {"lag_frames": -1}, {"budget_ms": float("nan")}, {"iterations": -1},
    {"most_change_m": 0.0}, {"optimizer": "adam"},
])  # fmt: skip
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(SettingsError):
        LiveSettings(**wrong)
