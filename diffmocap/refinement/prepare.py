"""Compiles ahead what frames call: compiled in the middle of a stream, it would stop that for seconds."""

from __future__ import annotations

import torch

from diffmocap import compiler
from diffmocap.refinement.stream.fixed_lag import FixedLagRefiner
from diffmocap.refinement.stream.settings import LiveSettings
from diffmocap.refinement.stream.window_buffer import LiveFrame
from diffmocap.refinement.window.body_points import BodyPoints


def compile_all(points: BodyPoints) -> None:
    """Compiles, or loads from disk, all that the live refinement of this body may call. Without a compiler: nothing.

    A T-pose stands on a known floor for some frames, as all of it is called then.
    """
    if not compiler.available():
        return
    points = points.to(dtype=torch.float32)
    turn = torch.diag(torch.tensor([1.0, -1.0, -1.0]))  # the camera's y looks down, and the person to the camera
    centres = points.positions(turn.expand(1, 24, 3, 3)).split(points.sizes, -1)[2][0, 1]
    floor_m = -float((centres + points.radius).max())
    refiner = FixedLagRefiner(points, LiveSettings(budget_ms=0.0), torch.tensor([0.0, -1.0, 0.0]), floor_m)
    upright = torch.eye(3).repeat(1, 24, 1, 1)
    upright[:, 0] = turn
    pose = upright, torch.tensor([[0.0, 0.0, 3.0]]), torch.zeros(1)
    keypoints = torch.zeros(25, 2), torch.zeros(25), torch.eye(3)
    for i in range(6):
        refiner.step(LiveFrame(*pose, *keypoints), dt_s=0.033, restarted=i == 0)
