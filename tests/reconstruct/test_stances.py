"""Feet stand where their keypoints rest, and step where they move."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from diffmocap.reconstruct.stances import FOOT_KEYPOINTS, runs, standing_feet
from diffmocap.reconstruct.viterbi import cheapest_path

DT_S, FOCAL_PX, AWAY_M = 1 / 30, 900.0, 3.0


@pytest.mark.parametrize("seed", range(3))
def test_the_path_is_the_cheapest_of_all(seed):
    g = torch.Generator().manual_seed(seed)
    costs, steps = torch.rand(5, 3, generator=g), torch.rand(4, 3, 3, generator=g)
    costs[2, 1] = torch.inf

    def cost(way) -> float:
        return float(sum(costs[t, k] for t, k in enumerate(way))) + float(
            sum(steps[t, a, b] for t, (a, b) in enumerate(itertools.pairwise(way)))
        )

    best = min(itertools.product(range(3), repeat=5), key=cost)
    assert tuple(cheapest_path(costs, steps).tolist()) == best


def walk(frames: int, steps: list[tuple[int, int]], noise_px: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Left foot that moves by 1.2 m/s to the right between the given frames; the right one always does."""
    rng = np.random.default_rng(0)
    velocity = np.zeros((frames, 2))
    for first, stop in steps:
        velocity[first:stop, 0] = 1.2
    velocity[:, 1] = 1.2
    toes = np.zeros((frames, 2, 3))
    toes[..., 0] = np.cumsum(velocity, 0) * DT_S
    toes[..., 2] = AWAY_M
    px = np.zeros((frames, 25, 2))
    for foot, keypoints in enumerate(FOOT_KEYPOINTS):
        for k in keypoints:
            px[:, k] = toes[:, foot, :2] * FOCAL_PX / AWAY_M + noise_px * rng.standard_normal((frames, 2))
    return toes, px, np.ones((frames, 25))


def test_a_foot_stands_between_its_steps_despite_the_detectors_noise():
    toes, px, confidence = walk(90, [(20, 32), (60, 72)], 2.0)
    standing = standing_feet(toes, px, confidence, FOCAL_PX, DT_S)
    truth = np.ones(90, bool)
    truth[20:32] = truth[60:72] = False
    assert (standing[:, 0] == truth).mean() > 0.93
    assert not standing[:, 1].any()


def test_the_image_outweighs_a_motion_that_slides():
    toes, px, confidence = walk(60, [], 0.5)
    sliding = toes.copy()
    sliding[:, 0, 2] += 0.5 * np.arange(60) * DT_S
    assert not standing_feet(sliding, px, 0 * confidence, FOCAL_PX, DT_S).any()
    assert standing_feet(sliding, px, confidence, FOCAL_PX, DT_S)[:, 0].all()


@pytest.mark.parametrize(("speed_m_s", "stands"), [(0.15, True), (0.35, False)])
def test_speeds_are_in_metres(speed_m_s, stands):
    """Also twice as far from the camera."""
    toes, px, confidence = walk(60, [], 0.0)
    toes[..., 2] *= 2.0
    toes[:, 0, 0] = speed_m_s * np.arange(60) * DT_S
    for k in FOOT_KEYPOINTS[0]:
        px[:, k] = toes[:, 0, :2] * FOCAL_PX / toes[:, 0, 2:]
    assert standing_feet(toes, px, confidence, FOCAL_PX, DT_S)[:, 0].all() == stands


def test_keypoints_that_are_not_seen_say_nothing():
    """A foot goes out and back while it is hidden: only the motion can tell."""
    toes, px, confidence = walk(60, [], 0.5)
    away = 0.6 * DT_S * np.concatenate([np.zeros(20), np.arange(10), np.arange(10)[::-1], np.zeros(20)])
    toes[:, 0, 0] += away
    confidence[20:40, FOOT_KEYPOINTS[0]] = 0.0
    standing = standing_feet(toes, px, confidence, FOCAL_PX, DT_S)[:, 0]
    assert standing[:18].all() and standing[42:].all() and not standing[23:28].any()


def test_the_rate_of_the_images_does_not_matter():
    rng = np.random.default_rng(2)
    toes, confidence = np.full((240, 2, 3), [0.0, 0.0, AWAY_M]), np.ones((240, 25))
    px = 4.0 * rng.standard_normal((240, 25, 2))
    assert standing_feet(toes, px, confidence, FOCAL_PX, 1 / 120).all()


def test_runs():
    assert runs(np.array([1, 1, 0, 0, 1], bool)) == [(0, 2), (4, 5)]
    assert runs(np.zeros(3, bool)) == []
