"""Published poses as one continuous motion, although each window's solution revises earlier frames.

Every window is smooth in itself, but the next one has seen more and revises frames that were already published. Poses
taken from one window each would show these revisions as jitter and as sliding feet. So the difference between the
published pose and the present window's pose of the same frame is carried over to the next frame, and decays::

    p_t = q_t exp(r log(q_{t-1}^-1 p_{t-1})),  r = exp(-dt / settle)

with q the window's motion and p the published one, for the rotations and the pelvis. Where successive windows agree,
the published motion is the window's, without lag. (The arrival cost of moving-horizon estimation, Rao, Rawlings and
Mayne, "Constrained state estimation for nonlinear discrete-time systems", 2003, in its simplest form.)

Points in contact are held where they were published. A damped least-squares step over the whole body keeps them from
sliding,

    min over d  sum_joints |J_j d|^2 / 24 + m |d|^2 + s sum_touching |P (J_c d - (p_{c,t-1} - p_{c,t}))|^2

with P the projection along the ground, and lets them creep towards their place in the window's solution, so that an
error does not persist.
"""

from __future__ import annotations

import math
from collections import deque

import torch

from diffmocap.compiler import array
from diffmocap.physics.motion import rotation_vector
from diffmocap.refinement.window.body_points import BodyPoints
from diffmocap.refinement.window.parameters import exponential

#: Share of the way to the solution's place that a standing point creeps in a frame of 1/30 s.
_CREEP, _CREEP_S = 0.2, 1 / 30
#: Frames over which the firmness of a contact rises to 1, and falls to 0.
_RAMP = 3
#: Damping: a joint's rotation by one radian costs at least as much as its displacement by this [m].
_STIFFNESS_M = 0.02

Motion = tuple[torch.Tensor, torch.Tensor]


class PublishedMotion:
    """The published frames of one track, newest last, and the firmness of each contact point, 0 to 1.

    Args:
        points: the body, float32.
        frames: number of published frames that are stored.
    """

    def __init__(self, points: BodyPoints, frames: int) -> None:
        self._points = points
        self._rotations: deque[torch.Tensor] = deque(maxlen=frames)
        self._pelvis: deque[torch.Tensor] = deque(maxlen=frames)
        self._firm = torch.zeros(points.sizes[2])

    def __len__(self) -> int:
        return len(self._pelvis)

    def forget(self) -> None:
        """A new track."""
        self._rotations.clear()
        self._pelvis.clear()
        self._firm = torch.zeros_like(self._firm)

    def continued(
        self, motion: Motion, index: int, touching: torch.Tensor, dt_s: float, settle_s: float, stance: float,
        up: torch.Tensor | None,
    ) -> Motion:  # fmt: skip
        """A window's motion as the continuation of what was published up to the frame that precedes ``index``.

        Args:
            motion: rotations [T, 24, 3, 3] and pelvis [T, 3] m of the window.
            index: of the frame to publish next.
            touching: [T, P] bool contacts.
            settle_s: time constant with which differences decay [s]; 0: they are dropped at once.
            stance: weight of a point in contact over that of the mean joint; 0: points are not held.
            up: [3] the ground's normal; None: points are not held.

        Returns:
            The same shapes: the published frames, frame ``index``, and the later ones, whose differences decay on.
        """
        rotations, pelvis = motion
        known = min(len(self), index)
        if not known or (settle_s == 0.0 and not stance):
            return motion
        decay = math.exp(-dt_s / settle_s) if settle_s else 0.0
        last = self._rotations[-1], self._pelvis[-1]
        turn = rotation_vector(rotations[index - 1].transpose(-1, -2) @ last[0])
        pose = rotations[index] @ exponential(decay * turn), pelvis[index] + decay * (last[1] - pelvis[index - 1])
        firm = self._next_firm(touching[index])
        if stance and up is not None and bool((firm > 0).any()):
            pose = self._standing(pose, last, (rotations[index], pelvis[index]), stance * firm, dt_s, up)
        past = [torch.stack(list(x)[-known:]) for x in (self._rotations, self._pelvis)]
        parts = [(rotations[: index - known], pelvis[: index - known]), tuple(past), (pose[0][None], pose[1][None])]
        if index + 1 < len(pelvis):
            decays = decay ** torch.arange(1.0, len(pelvis) - index)
            turn = rotation_vector(rotations[index].transpose(-1, -2) @ pose[0])
            parts.append((
                rotations[index + 1 :] @ exponential(decays[:, None, None] * turn),
                pelvis[index + 1 :] + decays[:, None] * (pose[1] - pelvis[index]),
            ))  # fmt: skip
        return torch.cat([p[0] for p in parts]), torch.cat([p[1] for p in parts])

    def append(self, rotations: torch.Tensor, pelvis: torch.Tensor, touching: torch.Tensor) -> None:
        """Appends a published pose, rotations [24, 3, 3] and pelvis [3] m, with its contacts [P] bool."""
        self._rotations.append(rotations)
        self._pelvis.append(pelvis)
        self._firm = self._next_firm(touching)

    def _next_firm(self, touching: torch.Tensor) -> torch.Tensor:
        return (self._firm + torch.where(touching, 1.0 / _RAMP, -1.0 / _RAMP)).clamp(0.0, 1.0)

    def _standing(
        self, now: Motion, before: Motion, solved: Motion, firm: torch.Tensor, dt_s: float, up: torch.Tensor
    ) -> Motion:
        """The pose ``now`` [24, 3, 3], [3] with points of firmness [P] where they were ``before``."""
        from diffmocap.refinement.kernels.poses import hold_standing  # compiling may take a while

        creep = 1.0 - (1.0 - _CREEP) ** (dt_s / _CREEP_S)
        rotations, pelvis = (array(torch.stack(parts)) for parts in zip(now, before, solved, strict=True))
        held = hold_standing(rotations, pelvis, array(firm), creep, _STIFFNESS_M, array(up), self._points.constants)
        return tuple(torch.from_numpy(part).to(now[1]) for part in held)
