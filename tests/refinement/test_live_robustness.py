"""The live refinement on motions that its physics does not explain, and what listeners see when it stops helping."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from diffmocap.body.mocap import load_split
from diffmocap.evaluation.motion_metrics import acceleration_variation, excess_foot_skate_percent
from diffmocap.physics.tree import global_poses
from diffmocap.refinement.stream.fixed_lag import FixedLagRefiner
from diffmocap.refinement.stream.settings import LiveSettings
from diffmocap.refinement.stream.window_buffer import LiveFrame
from training.motions.live_streams import UP, LiveStream, live_stream

SETTINGS = LiveSettings(window_frames=16, budget_ms=0.0, iterations=1)


@pytest.fixture(scope="module")
def clips(mocap_dir):
    """A forward jump, and somebody on a high stool."""
    return {c.name: c for c in load_split(mocap_dir / "cmu_smpl30_train.npz") if c.name in ("16_05", "14_28")}


def run(points, stream: LiveStream, settings: LiveSettings = SETTINGS, ground: bool = True) -> list:
    live = FixedLagRefiner(
        points, settings, torch.tensor(UP) if ground else None, stream.ground_height if ground else None
    )
    return [live.step(*step) for step in stream.steps()]


def places(poses, points) -> tuple[torch.Tensor, torch.Tensor]:
    """Joints [T, 24, 3] and soles [T, 2, P, 3] m of results, frames, or (rotations, pelvis)."""
    if not isinstance(poses, tuple):
        rotations = torch.stack([p.rotations[0] if isinstance(p, LiveFrame) else p.rotations for p in poses])
        poses = rotations, torch.stack([p.pelvis[0] if isinstance(p, LiveFrame) else p.pelvis for p in poses])
    turned, joints = global_poses(*poses, points.bones.float())
    placed = points.to(dtype=torch.float32).positions(turned).split(points.sizes, -1)[2].transpose(-1, -2)
    feet = [i for i, n in enumerate(points.contact_names) if n.split("_", 1)[1] not in ("hand", "knee")]
    return joints, (placed + poses[1][:, None])[:, feet].unflatten(1, (2, -1))


def error(estimate: torch.Tensor, truth: torch.Tensor) -> float:
    """Mean distance of joints [m]."""
    return float((estimate - truth).norm(dim=-1).mean())


@pytest.fixture(scope="module")
def walk(walks, body) -> LiveStream:
    return live_stream(walks[0], body, "synthetic", 60, 0.5)


@pytest.fixture(scope="module")
def walked(walk, points):
    return run(points, walk)


def test_the_published_stream_is_smooth_and_does_not_skate(walk, walked, points):
    """The stream that a listener gets without lag, frame by frame: half the jitter, half of what was added to skate."""
    (came, came_soles), (went, soles) = places(walk.frames[12:], points), places(walked[12:], points)
    truth, true_soles = places((walk.rotations[12:], walk.pelvis[12:]), points)
    assert acceleration_variation(went.numpy(), 30.0) < 0.5 * acceleration_variation(came.numpy(), 30.0)
    ground = {"up": UP, "height": walk.ground_height}
    excess = [excess_foot_skate_percent(s.numpy(), true_soles.numpy(), **ground) for s in (came_soles, soles)]
    assert excess[0] > 5.0 and excess[1] < 0.5 * excess[0]
    assert error(went, truth) < error(came, truth)


def test_a_seated_body_is_not_dragged_by_the_force_that_a_chair_gives(clips, body, points):
    stream = live_stream(clips["14_28"], body, "synthetic", 34, 0.4)
    results = run(points, stream)
    (went, _), (came, _) = places(results[12:], points), places(stream.frames[12:], points)
    truth, _ = places((stream.rotations[12:], stream.pelvis[12:]), points)
    assert all(r.loss_after <= r.loss_before for r in results)
    assert error(went, truth) < error(came, truth)
    sunk = ((went - truth)[:, 0] @ torch.tensor(UP)).mean()
    assert abs(float(sunk)) < 0.04


def test_a_jump_keeps_its_height_and_touches_nothing_in_the_air(clips, body, points):
    stream = live_stream(clips["16_05"], body, "synthetic", 60, 0.4)
    results = run(points, stream)
    (went, _), (truth, soles) = places(results, points), places((stream.rotations, stream.pelvis), points)
    up = torch.tensor(UP)
    clearance = (soles @ up).amin((1, 2)) - stream.ground_height
    top = int((truth[:, 0] @ up).argmax())
    assert float(clearance[top]) > 0.1
    assert abs(float((went - truth)[top, 0] @ up)) < 0.08
    aloft = [r for r, height in zip(results, clearance.tolist(), strict=True) if height > 0.2]
    assert not any(r.contacts for r in aloft)
    assert all(r.loss_after <= r.loss_before for r in results)


def test_without_any_floor_in_the_whole_run_it_still_smooths(walk, points):
    results = run(points, walk, ground=False)
    (came, _), (went, _) = places(walk.frames[12:], points), places(results[12:], points)
    truth, _ = places((walk.rotations[12:], walk.pelvis[12:]), points)
    if results[-1].ground_source.startswith("unknown"):
        assert all(r.torques is None and not r.contacts for r in results)
    assert all(r.loss_after <= r.loss_before for r in results)
    assert acceleration_variation(went.numpy(), 30.0) < 0.5 * acceleration_variation(came.numpy(), 30.0)
    assert error(went, truth) < error(came, truth)


def test_where_refinement_stops_to_help_nobody_sees_a_jump(walk, points):
    """From frame 20 on any change counts as a failure: what is published goes over to the input within some frames."""
    live = FixedLagRefiner(points, SETTINGS, torch.tensor(UP), walk.ground_height)
    steps = list(walk.steps())
    results = [live.step(*step) for step in steps[:20]]
    live.settings = replace(SETTINGS, most_change_m=0.01)
    results += [live.step(*step) for step in steps[20:44]]
    assert all(r.refined for r in results[2:20]) and not any(r.refined for r in results[20:24])
    assert all(r.loss_after <= r.loss_before for r in results)
    (went, _), (came, _) = places(results, points), places(walk.frames[:44], points)
    apart = (went - came).norm(dim=-1).amax(-1)
    assert float(apart[19]) > 0.05 and float(apart[20]) > 0.25 * float(apart[19])  # no jump ...
    assert float(apart[40:].max()) < 0.02  # ... and there in the end
    assert float(went.diff(dim=0).norm(dim=-1).max()) < 1.1 * float(came.diff(dim=0).norm(dim=-1).max())


@pytest.mark.parametrize("seen", ["above", "below"])
def test_half_a_body(walk, points, seen):
    """Keypoints of one half only: no explosion, and still nearer to the truth than the input."""
    hidden = slice(8, None) if seen == "above" else slice(0, 8)

    def half(frame: LiveFrame) -> LiveFrame:
        confidence, pixels = frame.confidence.clone(), frame.points_px.clone()
        confidence[hidden], pixels[hidden] = 0.0, float("nan")
        return replace(frame, confidence=confidence, points_px=pixels)

    stream = replace(walk, frames=[half(f) for f in walk.frames[:30]], stamps_ns=walk.stamps_ns[:30])
    results = run(points, stream)
    (went, _), (came, _) = places(results[12:], points), places(stream.frames[12:], points)
    truth, _ = places((walk.rotations[12:30], walk.pelvis[12:30]), points)
    assert error(went, truth) < 1.1 * error(came, truth)
    assert all(r.loss_after <= r.loss_before for r in results)


def test_infinite_hypotheses_are_no_poses(walk, points):
    live = FixedLagRefiner(points, SETTINGS, torch.tensor(UP), walk.ground_height)
    for t, (frame, *time) in enumerate(list(walk.steps())[:16]):
        if t % 4 == 2:
            frame = replace(frame, pelvis=frame.pelvis / 0.0, rotations=frame.rotations * float("inf"))
        result = live.step(frame, *time)
        assert (result is None) == (t % 4 == 2)
        assert result is None or bool(torch.isfinite(result.rotations).all() & torch.isfinite(result.pelvis).all())
