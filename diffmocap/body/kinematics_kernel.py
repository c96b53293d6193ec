"""Forward kinematics of the SMPL tree as machine code, where no gradient is asked for.

One pose is eight levels of a few small products each, which as torch operations cost twenty times their arithmetic. The
law is the torch code of :mod:`diffmocap.body.kinematics`, with which the tests hold this one together.
"""

from __future__ import annotations

import numpy as np

from diffmocap.body.skeleton import NUM_JOINTS, PARENTS
from diffmocap.compiler import compiled

_PARENTS = np.array(PARENTS)


@compiled
def chain(rotations, pelvis, rest_joints, turned, joints):
    """Global rotations into ``turned`` [B, 24, 3, 3] and positions into ``joints`` [B, 24, 3], for local rotations
    [B, 24, 3, 3], pelvis [B, 3] and joints of the rest pose [B or 1, 24, 3]."""
    for b in range(len(rotations)):
        rest = rest_joints[b if len(rest_joints) > 1 else 0]
        for a in range(3):
            joints[b, 0, a] = pelvis[b, a]
            for c in range(3):
                turned[b, 0, a, c] = rotations[b, 0, a, c]
        for j in range(1, NUM_JOINTS):
            parent = _PARENTS[j]
            above, local = turned[b, parent], rotations[b, j]
            for a in range(3):
                joints[b, j, a] = joints[b, parent, a] + (
                    above[a, 0] * (rest[j, 0] - rest[parent, 0])
                    + above[a, 1] * (rest[j, 1] - rest[parent, 1])
                    + above[a, 2] * (rest[j, 2] - rest[parent, 2])
                )
                for c in range(3):
                    turned[b, j, a, c] = (
                        above[a, 0] * local[0, c] + above[a, 1] * local[1, c] + above[a, 2] * local[2, c]
                    )
