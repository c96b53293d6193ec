"""One frame's problem of the live refinement, and the window it is about."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import torch

from diffmocap.body.skeleton import NUM_JOINTS
from diffmocap.compiler import array
from diffmocap.optim.task import Task
from diffmocap.physics.ground import Ground
from diffmocap.refinement.stream.settings import LiveSettings
from diffmocap.refinement.stream.window_buffer import WindowBuffer
from diffmocap.refinement.window.body_points import BodyPoints
from diffmocap.refinement.window.contacts import state_of
from diffmocap.refinement.window.loss import WindowLoss
from diffmocap.refinement.window.parameters import WindowParameters
from diffmocap.refinement.window.weights import RefinementWeights
from diffmocap.refinement.window.window import Window

#: Where no ground is known it is put so far below the camera that nothing touches it [m].
_NOWHERE_M = -1e4

#: Rotations [T, 24, 3, 3] and pelvis [T, 3] m.
Motion = tuple[torch.Tensor, torch.Tensor]


def live_window(buffer: WindowBuffer, ground: Ground | None, settings: LiveSettings) -> Window:
    """The frames of a buffer as a window of batch 1 in the optical frame."""
    views = buffer.views()
    frames = views["lifted"].shape[1]
    ground = _nowhere() if ground is None else ground
    return Window(
        dt_s=buffer.dt_s(), **views,
        **_of_all_hypotheses(frames, settings.rotation_spread_rad, settings.across_m, settings.along_m),
        ground=replace(ground, up=ground.up[None].float(), height=ground.height[None].float()),
    )  # fmt: skip


# Cached tensors must not be made in inference mode: no gradient could pass through them.


@lru_cache(maxsize=64)
@torch.inference_mode(False)
def _of_all_hypotheses(
    frames: int, rotation_spread_rad: float, across_m: float, along_m: float
) -> dict[str, torch.Tensor]:
    """What a window of so many frames says of the errors of all hypotheses alike, and that it is in the optical
    frame."""
    precision = torch.tensor([across_m, across_m, along_m]).square().reciprocal().diag()
    return {
        "rotation_spread": torch.full((1, frames, NUM_JOINTS), rotation_spread_rad),
        "pelvis_precision": precision.expand(1, frames, 3, 3),
        "T_camera_motion": torch.eye(3, 4)[None],
    }


@lru_cache(maxsize=1)
@torch.inference_mode(False)
def _nowhere() -> Ground:
    """In place of a ground that is not known."""
    return Ground(torch.tensor([0.0, -1.0, 0.0]), torch.tensor(_NOWHERE_M), "unknown")


@lru_cache(maxsize=16)
def without_ground(weights: RefinementWeights) -> RefinementWeights:
    """Weights where nothing is known of what the body stands on: no contacts, and so no forces."""
    return replace(
        weights, slip=0.0, contact_gap=0.0, penetration=0.0, root_force=0.0, root_moment=0.0, torque=0.0,
        torque_rate=0.0,
    )  # fmt: skip


@dataclass(frozen=True)
class WindowSolution:
    """A motion of a window and what it came to.

    Attributes:
        motion: rotations [T, 24, 3, 3] and pelvis [T, 3] m.
        loss: infinity in place of NaN. touching: [T, P] bool.
        torques: [T-2, 3, 23] N m of joints 1 to 23 on their children, in the frame's axes; None without a ground.
        forces: [T-2, P, 3] N of the contact points on the body; None where the torques are.
    """

    motion: Motion
    loss: float
    touching: torch.Tensor
    torques: torch.Tensor | None
    forces: torch.Tensor | None = None


class LiveTask(Task):
    """The loss of one window in knots that stay where they are in time.

    Contacts are those of the motion that the last solution stands for; increments are on the reference.

    Args:
        window: of batch 1. points: the body, float32.
        reference: rotations [1, T, 24, 3, 3] and pelvis [1, T, 3] m. spline: [T, knots].
        x: [1, N] the last solution. weights: of the loss.
    """

    minimum = 0.0
    scale = 1.0

    def __init__(
        self, window: Window, points: BodyPoints, reference: tuple[torch.Tensor, torch.Tensor], spline: torch.Tensor,
        x: torch.Tensor, weights: RefinementWeights,
    ) -> None:  # fmt: skip
        self.window, self.x = window, x
        self.parameters = WindowParameters(*reference, spline)
        self.shape = self.parameters.shape
        self.motion = self.parameters.motion(x)
        self.physics = WindowLoss(window, points, *self.motion, weights)

    def init(self, count: int, generator: torch.Generator | None = None) -> torch.Tensor:
        return self.x.repeat(count, 1)

    def loss(self, x: torch.Tensor) -> torch.Tensor:
        return self.physics(*self.parameters.decode(x.to(self.x))).to(x)

    def loss_and_gradient(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.physics.gradient(self.parameters, x)

    def motion_of(self, x: torch.Tensor) -> Motion:
        """The motion [T] that x [1, N] stands for."""
        rotations, pelvis = self.parameters.motion(x)
        return rotations[0], pelvis[0]

    def assess(self, motions: Sequence[Motion]) -> list[WindowSolution]:
        """What motions [T] of the window come to."""
        return [self._assessed(motion) for motion in motions]

    def _assessed(self, motion: Motion) -> WindowSolution:
        found = self.physics.evaluate(0, *map(array, motion))
        torques = forces = None
        if self.physics.weighs_forces and len(found.forces.torques):
            torques, forces = (torch.from_numpy(x).to(motion[1]) for x in (found.forces.torques, found.forces.forces))
            forces = forces.mT
        value = self.physics.value_of(found)
        touching = torch.from_numpy(state_of(found.gap, found.steps, self.physics.levels))
        return WindowSolution(motion, value if math.isfinite(value) else math.inf, touching, torques, forces)

    def unrefined(self) -> Motion:
        """The heaviest hypothesis of each frame as it came; where there is none, the reference."""
        window, lifted = self.window, self.window.lifted
        rotations = torch.where(lifted[..., None, None, None], window.rotations[:, 0], self.parameters.rotations)
        return rotations[0], torch.where(lifted[..., None], window.pelvis[:, 0], self.parameters.pelvis)[0]
