"""One frame's problem of the live refinement, and the window it is about."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch

from diffmocap.optim.task import Task
from diffmocap.physics.ground import Ground
from diffmocap.refinement.body_points import BodyPoints
from diffmocap.refinement.live_settings import LiveSettings
from diffmocap.refinement.window import Window
from diffmocap.refinement.window_buffer import WindowBuffer
from diffmocap.refinement.window_loss import WindowDynamics, WindowLoss
from diffmocap.refinement.window_parameters import WindowParameters
from diffmocap.refinement.window_weights import RefinementWeights

#: Where no ground is known it is put so far below the camera that nothing touches it [m].
_NOWHERE_M = -1e4


def live_window(buffer: WindowBuffer, ground: Ground | None, settings: LiveSettings) -> Window:
    """The frames of a buffer as a window of batch 1 in the optical frame."""
    views = buffer.views()
    frames = views["lifted"].shape[1]
    spread = torch.tensor([settings.across_m, settings.across_m, settings.along_m])
    if ground is None:
        ground = Ground(torch.tensor([0.0, -1.0, 0.0]), torch.tensor(_NOWHERE_M), "unknown")
    return Window(
        dt_s=buffer.dt_s(), **views,
        rotation_spread=torch.full((1, frames, views["rotations"].shape[3]), settings.rotation_spread_rad),
        pelvis_precision=torch.diag(spread.square().reciprocal()).expand(1, frames, 3, 3),
        T_camera_motion=torch.eye(3, 4)[None],
        ground=replace(ground, up=ground.up[None].float(), height=ground.height[None].float()),
    )  # fmt: skip


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
        x: [1, N]; None for a motion that no unknowns stand for.
        motion: rotations [1, T, 24, 3, 3] and pelvis [1, T, 3] m.
        loss: infinite where it is no number. touching: [1, T, P] bool. dynamics: None without a ground.
    """

    x: torch.Tensor | None
    motion: tuple[torch.Tensor, torch.Tensor]
    loss: float
    touching: torch.Tensor
    dynamics: WindowDynamics | None


class LiveTask(Task):
    """The loss of one window in knots that stay where they are in time.

    Contacts are those of the motion that the last solution stands for; increments are on the reference.

    Args:
        window: of batch 1. points: the body, float32.
        reference: rotations [1, T, 24, 3, 3] and pelvis [1, T, 3] m. spline: [T, knots].
        x: [1, N] the last solution. weights: of the loss.
        start: [1, T-2, 6] multipliers of the contact forces near it, or None.
    """

    minimum = 0.0
    scale = 1.0

    def __init__(
        self, window: Window, points: BodyPoints, reference: tuple[torch.Tensor, torch.Tensor], spline: torch.Tensor,
        x: torch.Tensor, weights: RefinementWeights, start: torch.Tensor | None,
    ) -> None:  # fmt: skip
        self.window, self.x = window, x
        self.parameters = WindowParameters(*reference, spline)
        self.shape = self.parameters.shape
        self.motion = self.parameters.decode(x)
        self.physics = WindowLoss(window, points, *self.motion, weights, start=start)

    def init(self, count: int, generator: torch.Generator | None = None) -> torch.Tensor:
        return self.x.repeat(count, 1)

    def loss(self, x: torch.Tensor) -> torch.Tensor:
        return self.physics(*self.parameters.decode(x.to(self.x))).to(x)

    def assess(self, x: torch.Tensor) -> WindowSolution:
        """The motion that x [1, N] stands for."""
        return replace(self.assess_motion(self.parameters.decode(x)), x=x)

    def assess_motion(self, motion: tuple[torch.Tensor, torch.Tensor]) -> WindowSolution:
        """Any motion of the window."""
        loss, touching, dynamics = self.physics.assess(*motion)
        value = float(loss[0])
        return WindowSolution(None, motion, value if math.isfinite(value) else math.inf, touching, dynamics)

    def unrefined(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The heaviest hypothesis of each frame as it came; where there is none, the reference."""
        window, lifted = self.window, self.window.lifted
        rotations = torch.where(lifted[..., None, None, None], window.rotations[:, 0], self.parameters.rotations)
        return rotations, torch.where(lifted[..., None], window.pelvis[:, 0], self.parameters.pelvis)
