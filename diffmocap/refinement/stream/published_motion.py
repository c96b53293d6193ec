"""Published poses as one continuous motion, although each window's solution revises earlier frames.

Every window is smooth in itself, but the next one has seen more and revises frames that were already published. Poses
taken from one window each would show these revisions as jitter and as sliding feet. So the difference between the
published pose and the present window's pose of the same frame is carried over to the next frame, and decays::

    p_t = q_t exp(r log(q_{t-1}^-1 p_{t-1})),  r = exp(-dt / settle)

with q the window's motion and p the published one, for the rotations and the pelvis. Where successive windows agree,
the published motion is the window's, without lag. (The arrival cost of moving-horizon estimation, Rao, Rawlings and
Mayne, "Constrained state estimation for nonlinear discrete-time systems", 2003, in its simplest form.)

Points that stand are held where they were published. Damped least-squares steps over the whole body keep them from
sliding,

    min over d  sum_joints |J_j d|^2 / 24 + m |d|^2 + s sum_standing w_c |P_c (J_c d - (p_{c,t-1} - p_{c,t}))|^2

and let them creep towards their place in the window's solution, so that an error does not persist. What touches the
ground is held along it: P is the projection. What stands still in the image (:mod:`.still_feet`) is held in all
directions, wherever the ground is, and creeps the slower the longer it has stood, as the mean of what the windows say
does; its weight w falls with the distance to the solution's place, as in Geman and McClure's loss: soon across the
view, where a foot that leaves is seen to leave, and later along it, where the solution itself wanders.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from diffmocap.body.rotations import rotation_matrix, rotation_vector
from diffmocap.body.skeleton import NUM_JOINTS
from diffmocap.compiler import array
from diffmocap.refinement.window.body_points import BodyPoints

#: Share of the way to the solution's place that a touching point creeps in a frame of 1/30 s. A still one takes this
#: time [s] and that for which it has stood, and no longer than the last one.
_CREEP, _CREEP_S = 0.2, 1 / 30
FIRST_CREEP_S, LAST_CREEP_S = 0.2, 0.7
#: Frames over which the firmness of a contact rises to 1, and falls to 0; that of a still point falls at once.
_RAMP = 3
#: Damping: a joint's rotation by one radian costs at least as much as its displacement by this [m].
_STIFFNESS_M = 0.02
#: Distances to the solution's place that reduce what holds a still point to a quarter, across and along the view [m].
ACROSS_M, ALONG_M = 0.03, 0.08
#: Steps that hold: the second one takes what a straight leg does not do linearly.
_STEPS = 2

Motion = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class Standing:
    """What stands in a window: ``touching`` [T, P] bool contact points on the ground, or on none where ``up``, its
    normal [3], is not known; ``still`` [T, P] bool those that do not move in the image."""

    touching: torch.Tensor
    still: torch.Tensor
    up: torch.Tensor | None = None

    def at(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """[P] bool what is held in a frame, and what of it is still."""
        still = self.still[index].numpy()
        return still if self.up is None else self.touching[index].numpy() | still, still


class PublishedMotion:
    """The published frames of one track, newest last, and the firmness of each contact point, 0 to 1.

    Args:
        points: the body, float32.
        frames: number of published frames that are stored.
    """

    def __init__(self, points: BodyPoints, frames: int) -> None:
        self._points, self._frames = points, frames
        # Every frame is written twice, ``frames`` apart, so that the last ones always lie side by side.
        self._rotations = np.zeros((2 * frames, NUM_JOINTS, 3, 3), np.float32)
        self._pelvis = np.zeros((2 * frames, 3), np.float32)
        self.forget()

    def __len__(self) -> int:
        return self._count

    def forget(self) -> None:
        """A new track."""
        self._count, self._next = 0, 0
        self._firm = np.zeros(self._points.sizes[2], np.float32)
        self._still = np.zeros(len(self._firm), bool)  # held in all directions
        self._stood_s = np.zeros(len(self._firm))

    def _latest(self, count: int) -> Motion:
        """The last frames, views that hold until the next one is appended."""
        held = slice(self._next + self._frames - count, self._next + self._frames)
        return torch.from_numpy(self._rotations[held]), torch.from_numpy(self._pelvis[held])

    def continued(
        self, motion: Motion, index: int, dt_s: float, settle_s: float, stance: float = 0.0,
        standing: Standing | None = None,
    ) -> Motion:  # fmt: skip
        """A window's motion as the continuation of what was published up to the frame that precedes ``index``.

        Args:
            motion: rotations [T, 24, 3, 3] and pelvis [T, 3] m of the window.
            index: of the frame to publish next.
            settle_s: time constant with which differences decay [s]; 0: they are dropped at once.
            stance: weight of a point that stands over that of the mean joint; 0: points are not held.
            standing: None: points are not held.

        Returns:
            The same shapes: the published frames, frame ``index``, and the later ones, whose differences decay on.
        """
        rotations, pelvis = motion
        known = min(len(self), index)
        if not known or (settle_s == 0.0 and not stance):
            return motion
        decay = math.exp(-dt_s / settle_s) if settle_s else 0.0
        past = self._latest(known)
        last = past[0][-1], past[1][-1]
        turn = rotation_vector(rotations[index - 1].transpose(-1, -2) @ last[0])
        pose = rotations[index] @ rotation_matrix(decay * turn), pelvis[index] + decay * (last[1] - pelvis[index - 1])
        if stance and standing is not None:
            pose = self._standing(pose, last, (rotations[index], pelvis[index]), stance, dt_s, standing, index)
        parts = [(rotations[: index - known], pelvis[: index - known]), past, (pose[0][None], pose[1][None])]
        if index + 1 < len(pelvis):
            decays = decay ** torch.arange(1.0, len(pelvis) - index)
            turn = rotation_vector(rotations[index].transpose(-1, -2) @ pose[0])
            parts.append((
                rotations[index + 1 :] @ rotation_matrix(decays[:, None, None] * turn),
                pelvis[index + 1 :] + decays[:, None] * (pose[1] - pelvis[index]),
            ))  # fmt: skip
        return torch.cat([p[0] for p in parts]), torch.cat([p[1] for p in parts])

    def append(
        self, rotations: torch.Tensor, pelvis: torch.Tensor, dt_s: float, standing: Standing, index: int
    ) -> None:
        """Appends a published pose, rotations [24, 3, 3] and pelvis [3] m, of frame ``index`` of a window."""
        self._rotations[self._next :: self._frames] = rotations.numpy()
        self._pelvis[self._next :: self._frames] = pelvis.numpy()
        self._next = (self._next + 1) % self._frames
        self._count = min(self._count + 1, self._frames)
        self._firm, self._still = self._firmness(standing, index)
        self._stood_s = np.where(self._still, self._stood_s + dt_s, 0.0)

    def _firmness(self, standing: Standing, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Firmness [P] in the frame after the published ones, and which points are held in all directions [P]."""
        held, still = standing.at(index)
        ramp = np.float32(1.0 / _RAMP)  # in single precision three falls end at 0
        falls = np.where(self._still, np.float32(-1.0), -ramp)
        return np.clip(self._firm + np.where(held, ramp, falls), 0.0, 1.0), still

    def _standing(
        self, now: Motion, before: Motion, solved: Motion, stance: float, dt_s: float, standing: Standing, index: int
    ) -> Motion:
        """The pose ``now`` [24, 3, 3], [3] with what stands where it was ``before``."""
        firm, still = self._firmness(standing, index)
        if not (firm > 0).any():
            return now
        from diffmocap.refinement.kernels.poses import hold_standing  # compiling may take a while

        slower = dt_s / np.minimum(FIRST_CREEP_S + self._stood_s, LAST_CREEP_S)
        creep = np.minimum(np.where(still, slower, 1.0 - (1.0 - _CREEP) ** (dt_s / _CREEP_S)), 1.0)
        up = np.zeros(3) if standing.up is None else array(standing.up)
        rotations, pelvis = (np.stack([array(part) for part in parts]) for parts in zip(now, before, solved))
        firmness = stance * firm.astype(np.float64)
        held = hold_standing(
            rotations, pelvis, firmness, still, creep, _STIFFNESS_M, ACROSS_M, ALONG_M, up, _STEPS,
            self._points.constants,
        )  # fmt: skip
        return tuple(torch.from_numpy(part).to(now[1]) for part in held)
