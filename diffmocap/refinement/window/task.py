"""A window's refinement as a task for any optimizer of :mod:`diffmocap.optim`."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from diffmocap.optim.task import Task
from diffmocap.physics.contact_state import ContactLevels
from diffmocap.refinement.window.body_points import BodyPoints
from diffmocap.refinement.window.loss import TermReport, WindowDynamics, WindowLoss
from diffmocap.refinement.window.metric import WindowMetric
from diffmocap.refinement.window.parameters import WindowParameters
from diffmocap.refinement.window.reference import reference_motion
from diffmocap.refinement.window.weights import RefinementWeights
from diffmocap.refinement.window.window import Window


@dataclass(frozen=True)
class RefinedWindow:
    """A refined motion and what it says about the world.

    Attributes:
        rotations: [B, T, 24, 3, 3] local. pelvis: [B, T, 3] m.
        pelvis_velocity: [B, T, 3] m/s; zero for a window of one frame.
        touching: [B, T, P] bool of the body's contact points.
        dynamics: contact forces, residual and joint torques; None for fewer than 3 frames.
        report: the loss's terms.
    """

    rotations: torch.Tensor
    pelvis: torch.Tensor
    pelvis_velocity: torch.Tensor
    touching: torch.Tensor
    dynamics: WindowDynamics | None
    report: dict[str, TermReport]


class WindowTask(Task):
    """Unknowns are spline knots of increments, ``shape`` = (knots, 75); the start of every problem is x = 0.

    Works in the dtype of x, so that SciPy has float64 and a stream float32.

    Args:
        window: B windows: as many problems, in this order.
        points: the body.
        reference: rotations [B, T, 24, 3, 3] and pelvis [B, T, 3] m to start from; None:
            :func:`diffmocap.refinement.window.reference.reference_motion`.
        weights: of the loss. levels: of contacts. spacing: frames between knots.
    """

    minimum = 0.0

    def __init__(
        self, window: Window, points: BodyPoints, reference: tuple[torch.Tensor, torch.Tensor] | None = None,
        weights: RefinementWeights | None = None, levels: ContactLevels | None = None, spacing: int = 4,
    ) -> None:  # fmt: skip
        self.window, self.points, self.weights, self.levels = window, points, weights, levels
        self.reference = reference_motion(window) if reference is None else reference
        self.spacing = spacing
        self.parameters = WindowParameters.around(*self.reference, spacing)
        self.shape = self.parameters.shape
        #: Unknowns are in units of lifting's errors.
        self.scale = 1.0
        self._prepared: dict[tuple, tuple[WindowParameters, WindowLoss]] = {}

    def init(self, count: int, generator: torch.Generator | None = None) -> torch.Tensor:
        """Zeros [count, N]: the reference itself."""
        return self.window.pelvis.new_zeros(count, self.dimension)

    @property
    def physics(self) -> WindowLoss:
        """The loss of motions, in the window's own dtype."""
        return self._at(self.window.pelvis)[1]

    def metric(self, row: int) -> WindowMetric:
        """The curvature of the loss of one window along the reference, roughly."""
        window, physics = self.window.row(row), self.physics
        motion = self.reference[0][row].to(window.pelvis), self.reference[1][row].to(window.pelvis)
        return WindowMetric.along(
            window, physics.points, motion, physics.touching[row], physics.weights,
            self.parameters.spline.to(window.pelvis), self.spacing,
        )  # fmt: skip

    def loss(self, x: torch.Tensor) -> torch.Tensor:
        parameters, loss = self._at(x)
        return loss(*parameters.decode(x))

    def loss_and_gradient(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        parameters, loss = self._at(x)
        return loss.gradient(parameters, x)

    def row(self, index: int) -> WindowTask:
        index = range(self.window.batch)[index]
        one = slice(index, index + 1)
        reference = self.reference[0][one], self.reference[1][one]
        return WindowTask(self.window.row(index), self.points, reference, self.weights, self.levels, self.spacing)

    def around(self, x: torch.Tensor) -> WindowTask:
        """The same windows with the motion at x [B, N] as the reference: contacts are read anew, and x = 0 is it."""
        with torch.no_grad():
            parameters, _ = self._at(x)
            reference = parameters.decode(x)
        return WindowTask(self.window, self.points, reference, self.weights, self.levels, self.spacing)

    def report(self, x: torch.Tensor) -> dict[str, TermReport]:
        """Every term at x [B, N]."""
        parameters, loss = self._at(x)
        return loss.report(*parameters.decode(x))

    @torch.no_grad()
    def refined(self, x: torch.Tensor) -> RefinedWindow:
        """The motion that x [B, N] stands for, and its forces, contacts and torques."""
        parameters, loss = self._at(x)
        rotations, pelvis = parameters.decode(x)
        several, dt_s = pelvis.shape[1] > 1, self.window.dt_s
        return RefinedWindow(
            rotations, pelvis,
            torch.gradient(pelvis, spacing=dt_s, dim=1)[0] if several else torch.zeros_like(pelvis),
            loss.contacts_of(rotations, pelvis), loss.dynamics(rotations, pelvis) if pelvis.shape[1] >= 3 else None,
            loss.report(rotations, pelvis),
        )  # fmt: skip

    def _at(self, x: torch.Tensor) -> tuple[WindowParameters, WindowLoss]:
        """Parameters and loss in the dtype and on the device of x; made once each."""
        key = (x.device, x.dtype)
        if key not in self._prepared:
            window, parameters = self.window.to(*key), self.parameters.to(*key)
            loss = WindowLoss(window, self.points, parameters.rotations, parameters.pelvis, self.weights, self.levels)
            self._prepared[key] = parameters, loss
        return self._prepared[key]
