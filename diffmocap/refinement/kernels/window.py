"""Single windows of a :class:`~diffmocap.refinement.window.loss.WindowLoss` for the compiled loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from diffmocap.body.skeleton import NUM_JOINTS
from diffmocap.compiler import array
from diffmocap.physics.contact_state import ContactLevels, activity_rates
from diffmocap.physics.ground import Ground
from diffmocap.refinement.kernels.contacts import contact_motion, touching_state
from diffmocap.refinement.kernels.kinematics import decode, place, pull_decode
from diffmocap.refinement.kernels.poses import hold_standing
from diffmocap.refinement.kernels.window_kernel import evaluate
from diffmocap.refinement.window.body_points import BodyPoints
from diffmocap.refinement.window.dynamics import STRENGTH
from diffmocap.refinement.window.joint_limits import LimitExcess
from diffmocap.refinement.window.parameters import WindowParameters


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


def contacts_of(
    points: BodyPoints, rotations: torch.Tensor, pelvis: torch.Tensor, ground: Ground, dt_s: float,
    levels: ContactLevels,
) -> torch.Tensor:  # fmt: skip
    """Contact states [B, T, P] bool of motions [B, T, 24, 3, 3] and [B, T, 3] m, with hysteresis both ways."""
    batch, frames = pelvis.shape[:2]
    matrix, radius = points.constants[0], points.constants[4]
    first, count = sum(points.sizes[:2]), len(radius)
    matrix = np.ascontiguousarray(matrix[:, first : first + count])
    columns, places = np.empty((3 * frames, 3 * NUM_JOINTS)), np.empty((3 * frames, count))
    gap, steps = np.empty((frames, count)), np.empty((max(frames - 1, 0), 3, count))
    on = np.empty((batch, frames, count), bool)
    for b, (turns, moves) in enumerate(zip(array(rotations), array(pelvis), strict=True)):
        place(turns, matrix, columns, places)
        centres = places.reshape(frames, 3, count) + moves[..., None]
        contact_motion(centres, radius, array(ground.up[b]), float(ground.height[b]), float(dt_s), gap, steps)
        on[b] = _state_of(gap, steps, levels)
    return torch.from_numpy(on)


def _state_of(gap: np.ndarray, steps: np.ndarray, levels: ContactLevels) -> np.ndarray:
    on = np.zeros(gap.shape, bool)
    touching_state(
        gap, steps, levels.touch_height_m, levels.leave_height_m, levels.touch_speed_m_s, levels.leave_speed_m_s, on
    )  # fmt: skip
    return on


def held_standing(
    points: BodyPoints, poses: Sequence[tuple[torch.Tensor, torch.Tensor]], firm: torch.Tensor, creep: float,
    stiffness_m: float, up: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:  # fmt: skip
    """The first of three poses with its standing points held; see :func:`hold_standing`."""
    rotations, pelvis = (array(torch.stack(parts)) for parts in zip(*poses, strict=True))
    turned, moved = np.empty_like(rotations[0]), np.empty(3)
    matrix, contact_segment = points.constants[0], points.constants[3]
    hold_standing(
        rotations, pelvis, array(firm), creep, stiffness_m, array(up), matrix, contact_segment, sum(points.sizes[:2]),
        turned, moved,
    )  # fmt: skip
    return tuple(torch.from_numpy(x).to(poses[0][1]) for x in (turned, moved))


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
        from diffmocap.refinement.window.loss import CONTACT_ITERATIONS

        reprojection, hypotheses, levels = loss._reprojection, loss._hypotheses, loss.levels
        self._body = loss.points.constants
        self._levels = levels
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

    def evaluate(self, rotations: np.ndarray, pelvis: np.ndarray, with_gradient: bool = True) -> Evaluated:
        """A motion [T, 24, 3, 3], [T, 3] m, float64 and in one piece."""
        frames, count = len(pelvis), len(self._body[4])
        inner = max(frames - 2, 0)
        found = Evaluated(
            np.empty(len(self._weights)), 0.0, np.empty((frames, NUM_JOINTS, 3)), np.empty((frames, 3)),
            np.empty((frames, count)), np.empty((max(frames - 1, 0), 3, count)),
            np.empty((inner, 3, NUM_JOINTS - 1)), np.empty((inner, 3, count)),
        )  # fmt: skip
        evaluate(
            rotations, pelvis, self._body, self._window, self._weights, self._robust, self._iterations, with_gradient,
            found.squares, found.of_turns, found.of_pelvis, found.gap, found.steps, found.torques, found.forces,
        )  # fmt: skip
        object.__setattr__(found, "loss", float(found.squares @ self._weights))
        return found

    def touching(self, found: Evaluated) -> np.ndarray:
        """Contact state [T, P] bool."""
        return _state_of(found.gap, found.steps, self._levels)


class CompiledUnknowns:
    """Window ``row`` of :class:`~diffmocap.refinement.window.parameters.WindowParameters`."""

    def __init__(self, parameters: WindowParameters, row: int = 0) -> None:
        self._spline = array(parameters.spline)
        self._reference, self._pelvis = array(parameters.rotations[row]), array(parameters.pelvis[row])

    def decode(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Local rotations [T, 24, 3, 3], pelvis [T, 3] m and increments [T, 75] of knots x [K, 75], float64 and in one
        piece."""
        steps = np.empty((len(self._spline), x.shape[1]))
        rotations, pelvis = np.empty_like(self._reference), np.empty_like(self._pelvis)
        decode(x, self._spline, self._reference, self._pelvis, steps, rotations, pelvis)
        return rotations, pelvis, steps

    def loss_and_gradient(self, loss: CompiledLoss, x: np.ndarray) -> tuple[float, np.ndarray]:
        """Of knots x [K, 75]."""
        rotations, pelvis, steps = self.decode(x)
        found = loss.evaluate(rotations, pelvis)
        gradient = np.empty_like(x)
        pull_decode(found.of_turns, found.of_pelvis, self._spline, self._reference, steps, gradient)
        return found.loss, gradient
