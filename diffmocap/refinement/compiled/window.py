"""Single windows of a :class:`~diffmocap.refinement.window_loss.WindowLoss` for the compiled loss."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from diffmocap.body.skeleton import NUM_JOINTS
from diffmocap.physics.contact_state import activity_rates
from diffmocap.refinement.body_points import BodyPoints
from diffmocap.refinement.compiled.contacts import touching_state
from diffmocap.refinement.compiled.kinematics import decode, pull_decode
from diffmocap.refinement.compiled.window_kernel import evaluate
from diffmocap.refinement.joint_limits import LimitExcess
from diffmocap.refinement.window_dynamics import STRENGTH
from diffmocap.refinement.window_parameters import WindowParameters


def array(tensor: torch.Tensor) -> np.ndarray:
    """float64, in one piece; without a copy where it is that already."""
    return np.ascontiguousarray(tensor.detach().double().numpy())


def body_constants(points: BodyPoints) -> tuple[np.ndarray, ...]:
    """What the compiled loss wants of a body: see the beginning of :func:`evaluate`."""
    limits = LimitExcess(points.matrix.double())

    def owner(carried: torch.Tensor) -> np.ndarray:  # children stand after their parents
        return (carried > 0).double().mul(torch.arange(NUM_JOINTS)).argmax(-1).numpy()

    return (
        array(points.matrix), array(points.mass), owner(points.carried), owner(points.contact_carried),
        array(points.radius), np.array(STRENGTH), limits.places.view(5, -1).numpy(), array(limits.signs),
        array(limits.middle), array(limits.half),
    )  # fmt: skip


@dataclass(frozen=True)
class Evaluated:
    """A motion's terms [11], weighted sum, gradients, and what forces act in it; NumPy, float64."""

    squares: np.ndarray
    loss: float
    of_turns: np.ndarray
    of_pelvis: np.ndarray
    gap: np.ndarray
    steps: np.ndarray
    torques: np.ndarray
    forces: np.ndarray


class CompiledLoss:
    """Window ``row`` of a loss on the CPU, with the same values and gradients, in float64."""

    def __init__(self, loss, row: int = 0) -> None:
        from diffmocap.refinement.window_loss import CONTACT_ITERATIONS

        reprojection, hypotheses, levels = loss._reprojection, loss._hypotheses, loss.levels
        self._body = loss.points.constants
        self._levels = (
            levels.touch_height_m, levels.leave_height_m, levels.touch_speed_m_s, levels.leave_speed_m_s
        )  # fmt: skip
        self._window = (
            float(loss.dt_s), array(loss.ground.up[row]), float(loss.ground.height[row]), array(loss._axes[row]),
            array(loss._gravity[row, 0]), array(reprojection.camera[row]), array(reprojection.observed[row]),
            array(reprojection.weight[row]), array(reprojection.metres_a_pixel[row]), array(hypotheses.target[row]),
            array(hypotheses.constant[row, :, 0]), array(hypotheses.pelvis[row]), array(hypotheses.precision[row]),
            array(hypotheses.log_weights[row]), array(hypotheses.lifted[row]), array(loss._held[row]),
            array(loss._held_steps[row]), array(loss.touching[row, 1:-1]), np.array(activity_rates(levels)),
        )  # fmt: skip
        weights = loss.weights
        self._weights = array(loss._weight)
        self._robust = np.array([weights.robust_m, weights.robust_force, weights.robust_moment])
        self._iterations = CONTACT_ITERATIONS if loss._weighs_forces else 0

    @property
    def weighs_forces(self) -> bool:
        """Whether contact forces are looked for."""
        return self._iterations > 0

    def evaluate(self, rotations: np.ndarray, pelvis: np.ndarray) -> Evaluated:
        """A motion [T, 24, 3, 3], [T, 3] m, float64 and in one piece."""
        frames, count = len(pelvis), len(self._body[4])
        inner = max(frames - 2, 0)
        found = Evaluated(
            np.empty(len(self._weights)), 0.0, np.empty((frames, NUM_JOINTS, 3)), np.empty((frames, 3)),
            np.empty((frames, count)), np.empty((max(frames - 1, 0), 3, count)),
            np.empty((inner, 3, NUM_JOINTS - 1)), np.empty((inner, 3, count)),
        )  # fmt: skip
        evaluate(
            rotations, pelvis, self._body, self._window, self._weights, self._robust, self._iterations, found.squares,
            found.of_turns, found.of_pelvis, found.gap, found.steps, found.torques, found.forces,
        )  # fmt: skip
        object.__setattr__(found, "loss", float(found.squares @ self._weights))
        return found

    def touching(self, found: Evaluated) -> np.ndarray:
        """Contact state [T, P] bool."""
        on = np.zeros(found.gap.shape, bool)
        touching_state(found.gap, found.steps, *self._levels, on)
        return on


class CompiledUnknowns:
    """Window ``row`` of :class:`~diffmocap.refinement.window_parameters.WindowParameters`."""

    def __init__(self, parameters: WindowParameters, row: int = 0) -> None:
        self._spline = array(parameters.spline)
        self._reference, self._pelvis = array(parameters.rotations[row]), array(parameters.pelvis[row])

    def loss_and_gradient(self, loss: CompiledLoss, x: np.ndarray) -> tuple[float, np.ndarray]:
        """Of knots x [K, 75], float64 and in one piece."""
        steps = np.empty((len(self._spline), x.shape[1]))
        rotations, pelvis = np.empty_like(self._reference), np.empty_like(self._pelvis)
        decode(x, self._spline, self._reference, self._pelvis, steps, rotations, pelvis)
        found = loss.evaluate(rotations, pelvis)
        gradient = np.empty_like(x)
        pull_decode(found.of_turns, found.of_pelvis, self._spline, self._reference, steps, gradient)
        return found.loss, gradient
