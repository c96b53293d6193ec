"""Changes the published pose from one source to another without a jump (inertialization).

The offset between the expected pose and that of the new source is added to the new source and decays to zero, as in
animation transitions (D. Bollo, "Inertialization: High-Performance Animation Transitions in Gears of War", GDC 2018),
which also carry over its velocity.
"""

from __future__ import annotations

import math

import torch

from diffmocap.body.rotations import rotation_matrix, rotation_vector

#: Time constant with which an offset decays [s].
FADE_S = 0.1
#: Offsets below this count as zero [rad, m].
_NOTHING = 1e-4

Pose = tuple[torch.Tensor, torch.Tensor]


class SourceBlend:
    """Takes the poses of changing sources, rotations [24, 3, 3] and pelvis [3] m, and gives a continuous one.

    A steady source, the output of a filter, shows how the body moves while the source changes.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """The next pose passes unchanged."""
        self._offset: Pose | None = None
        self._ahead: Pose | None = None  # of what was published last to the steady pose of that time

    def step(self, pose: Pose, steady: Pose, changed: bool, dt_s: float) -> Pose:
        """The pose to publish.

        Args:
            pose: of the present source. steady: of the steady one, at the same time.
            changed: ``pose`` does not continue the last one.
            dt_s: since the last one.
        """
        if changed and self._ahead is not None:
            self._offset = _difference(pose, _moved(steady, self._ahead))
        elif self._offset is not None:
            fade = math.exp(-dt_s / FADE_S)
            self._offset = (fade * self._offset[0], fade * self._offset[1])
        if self._offset is not None:
            if max(float(part.abs().max()) for part in self._offset) < _NOTHING:
                self._offset = None
            else:
                pose = _moved(pose, self._offset)
        self._ahead = _difference(steady, pose)
        return pose


def _difference(start: Pose, end: Pose) -> Pose:
    """What leads from ``start`` to ``end``: rotation vectors [24, 3] in the joints' own axes, and [3] m."""
    return rotation_vector(start[0].mT @ end[0]), end[1] - start[1]


def _moved(start: Pose, by: Pose) -> Pose:
    return start[0] @ rotation_matrix(by[0]), start[1] + by[1]
