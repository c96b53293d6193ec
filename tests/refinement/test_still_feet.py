"""Feet that stand still in the image: who stands is held without a floor, who moves is not."""

from __future__ import annotations

import pytest
import torch

from diffmocap.camera.projection import project
from diffmocap.physics.tree import global_poses
from diffmocap.refinement.stream.fixed_lag import FixedLagRefiner
from diffmocap.refinement.stream.settings import LiveSettings
from diffmocap.refinement.stream.still_feet import still_points
from diffmocap.refinement.stream.task import live_window
from diffmocap.refinement.stream.window_buffer import LiveFrame, WindowBuffer

K = torch.tensor([[600.0, 0.0, 320.0], [0.0, 600.0, 240.0], [0.0, 0.0, 1.0]])
FPS, FRAMES, FIRST = 30, 45, 12
SETTINGS = LiveSettings(budget_ms=0.0, iterations=1)
HEEL, TOE = 0, 3  # contact points of the left foot


def upright(frames: int) -> torch.Tensor:
    rotations = torch.eye(3).repeat(frames, 24, 1, 1)
    rotations[:, 0] = torch.diag(torch.tensor([1.0, -1.0, -1.0]))
    return rotations


def stream(body, pelvis: torch.Tensor, noise_px: float = 0.5, depth_m: float = 0.0, seed: int = 0) -> list[LiveFrame]:
    """Frames of an upright person at ``pelvis`` [T, 3] m whose lifted distance is off by errors that drift."""
    g = torch.Generator().manual_seed(seed)
    rotations, errors = upright(len(pelvis)), torch.zeros(len(pelvis))
    for t in range(1, len(pelvis)):
        errors[t] = 0.8 * errors[t - 1] + 0.6 * torch.randn((), generator=g)
    points = project(body.keypoints(rotations, pelvis), K)
    points = points + noise_px * torch.randn(points.shape, generator=g)
    lifted = pelvis * (1.0 + depth_m * errors[:, None] / pelvis[:, 2:])
    confidence = torch.ones(25)
    confidence[[20, 23]] = 0.0  # MediaPipe has no small toes
    return [
        LiveFrame(r[None], p[None], torch.zeros(1), xy, confidence, K)
        for r, p, xy in zip(rotations, lifted, points, strict=True)
    ]


def drift(*velocity: float, begins: int = 0) -> torch.Tensor:
    """[T, 3] m of a person who moves at so many m/s from a frame on."""
    time = (torch.arange(FRAMES) - begins).clamp_min(0) / FPS
    return torch.tensor([0.1, -0.2, 4.0]) + time[:, None] * torch.tensor(velocity)


def states(points, frames: list[LiveFrame]) -> torch.Tensor:
    """[T, P] of the newest frame of each window."""
    buffer, found = WindowBuffer(24, 1), []
    for frame in frames:
        buffer.push(frame, 1 / FPS)
        window = live_window(buffer, None, SETTINGS)
        found.append(still_points(window, window.pelvis[0, 0], points)[-1])
    return torch.stack(found)


def feet(points, results) -> torch.Tensor:
    """[T, 2, 3] m of the published ankles."""
    rotations, pelvis = (torch.stack([getattr(r, name) for r in results]) for name in ("rotations", "pelvis"))
    return global_poses(rotations, pelvis, points.bones.float())[1][:, [7, 8]]


def published(points, frames: list[LiveFrame], settings: LiveSettings = SETTINGS) -> torch.Tensor:
    live = FixedLagRefiner(points, settings)
    results = [live.step(frame, 1 / FPS) for frame in frames]
    assert live.ground is None  # who stays in one place does not show where the floor is, and nobody guesses it
    assert all(r.ground_source.startswith("unknown") and r.torques is None for r in results)
    return feet(points, results)


def test_soles_of_who_stands_are_still_and_nothing_else_is(points, body):
    found = states(points, stream(body, drift(0.0, 0.0, 0.0)))
    soles = torch.tensor(points.feet)
    assert not bool(found[:4].any())  # a few images do not show it
    assert bool(found[6:, soles].all())
    found[:, soles] = False
    assert not bool(found.any())


@pytest.mark.parametrize("velocity", [(0.5, 0.0, 0.0), (0.0, -0.5, 0.0), (0.6, 0.0, 0.6)])
def test_feet_that_slide_in_the_image_are_not_still(points, body, velocity):
    assert not bool(states(points, stream(body, drift(*velocity))).any())


def test_who_leaves_is_let_go_within_three_images(points, body):
    found = states(points, stream(body, drift(1.2, 0.0, 0.0, begins=20)))[:, HEEL]
    assert bool(found[18:21].all())
    assert not bool(found[23:].any())


def test_a_single_wrong_image_lets_nothing_go(points, body):
    frames = stream(body, drift(0.0, 0.0, 0.0))
    frames[25].points_px[:] += 2.5  # 2.4 cm
    assert bool(states(points, frames)[8:, HEEL].all())


def test_a_foot_that_is_not_seen_is_not_still(points, body):
    frames = stream(body, drift(0.0, 0.0, 0.0))
    for frame in frames:
        frame.confidence[[14, 19, 20, 21]] = 0.0  # the left foot
    found = states(points, frames)
    assert not bool(found[:, [HEEL, TOE]].any()) and bool(found[8:, 6:10].all())


def test_feet_that_stand_are_published_standing_without_a_floor(points, body):
    """The lifted distance wanders by centimetres from image to image."""
    frames = stream(body, drift(0.0, 0.0, 0.0), depth_m=0.04)
    speeds = []
    for settings in (LiveSettings(budget_ms=0.0, iterations=1, still_feet=False), SETTINGS):
        speeds.append(float(published(points, frames, settings)[FIRST:].diff(dim=0).norm(dim=-1).mean()) * FPS)
    assert speeds[0] > 0.15
    assert speeds[1] < 0.4 * speeds[0]


@pytest.mark.parametrize("velocity", [(0.5, 0.0, 0.0), (0.2, 0.0, 0.0), (0.0, 0.0, 0.5)])
def test_who_is_carried_is_not_pinned(points, body, velocity):
    """Feet that hang still from a body that moves: across the view they are seen to move, along it they grow."""
    pelvis = drift(*velocity)
    truth = global_poses(upright(FRAMES), pelvis, points.bones.float())[1][:, [7, 8]]
    away = (published(points, stream(body, pelvis)) - truth).norm(dim=-1)
    assert float(away[FIRST:].max()) < 0.06
