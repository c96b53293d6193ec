"""One trajectory for the root: where the pelvis is and how the body is turned, with limited speed and acceleration.

The law is that of the joints (:mod:`diffmocap.output.joint_motion`) for two vectors: between two samples

    p' = p + (v + v') dt / 2,    R' = exp((w + w') dt / 2) R

with the velocity v and the angular velocity w in the axes of the frame that the root is given in. Lengths of vectors
are limited. A ball of velocities is convex: going from a velocity inside towards another one inside stays inside, so
that both limits always hold at once.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from diffmocap.body.rotations import reorthonormalized, rotation_matrix, rotation_vector


class RootMotion:
    """Position [3] m and rotation [3, 3] of the root; ``velocity`` and ``acceleration`` [2, 3] of pelvis and turn."""

    def __init__(self) -> None:
        self.position = np.zeros(3)
        self.rotation = torch.eye(3, dtype=torch.float64)
        self.velocity = np.zeros((2, 3))
        self.acceleration = np.zeros((2, 3))

    def start(self, position: np.ndarray, rotation: torch.Tensor) -> None:
        """At rest at a pose."""
        self.position, self.rotation = position, rotation
        self.velocity, self.acceleration = np.zeros((2, 3)), np.zeros((2, 3))

    def far(self, position: np.ndarray, rotation: torch.Tensor) -> tuple[float, float]:
        """Distance to a pose in m and rad."""
        cosine = 0.5 * (float((self.rotation * rotation).sum()) - 1.0)
        return math.dist(self.position, position), math.acos(min(max(cosine, -1.0), 1.0))

    def follow(
        self, target: np.ndarray, target_velocity: np.ndarray, dt_s: float, gain_s: float, limits: np.ndarray
    ) -> None:
        """One step towards a target ``target`` [2, 3] m and rad away (:func:`turns`) that moves with [2, 3] m/s, rad/s.

        ``limits`` [2, 2]: velocity and acceleration, a row each, of pelvis and turn.
        """
        wanted = _shortened(target_velocity, limits[0])
        missing = target - 0.5 * dt_s * (self.velocity + wanted)
        size = _length(missing)
        # What is missing is met in gain_s, from farther away so that braking is possible.
        speed = 2.0 / (gain_s + np.sqrt(gain_s**2 + 2.0 * size / limits[1][:, None]))
        self._step(wanted + speed * missing, dt_s, limits)

    def rest(self, dt_s: float, left_s: float, limits: np.ndarray) -> None:
        """One step on the way to rest ``left_s`` after the last sample."""
        self._step(self.velocity * (max(1.0 - dt_s / left_s, 0.0) if left_s > 0 else 0.0), dt_s, limits)

    def _step(self, velocity: np.ndarray, dt_s: float, limits: np.ndarray) -> None:
        change = _shortened(_shortened(velocity, limits[0]) - self.velocity, limits[1] * dt_s)
        velocity = self.velocity + change
        way = 0.5 * dt_s * (self.velocity + velocity)
        self.position = self.position + way[0]
        self.rotation = reorthonormalized(rotation_matrix(torch.from_numpy(way[1])) @ self.rotation)
        self.velocity, self.acceleration = velocity, change / dt_s


def turns(starts: list[torch.Tensor], end: torch.Tensor) -> np.ndarray:
    """Rotation vectors [N, 3] rad in fixed axes that lead from N rotations [3, 3] to another one."""
    return rotation_vector(end @ torch.stack(starts).mT).numpy()


def _length(vectors: np.ndarray) -> np.ndarray:
    return np.sqrt((vectors * vectors).sum(-1, keepdims=True))


def _shortened(vectors: np.ndarray, most: np.ndarray) -> np.ndarray:
    """Vectors [2, 3], each at most [2] long."""
    length = _length(vectors)
    return vectors * np.minimum(1.0, most[:, None] / np.maximum(length, 1e-12))
