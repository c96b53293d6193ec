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
def chain(rotations, pelvis, offsets, turned, joints):
    """Global rotations into ``turned`` [B, 24, 3, 3] and positions into ``joints`` [B, 24, 3], for local rotations
    [B, 24, 3, 3], pelvis [B, 3] and each joint's offset from its parent at rest [B or 1, 24, 3]."""
    for b in range(len(rotations)):
        bones = offsets[b if len(offsets) > 1 else 0]
        for a in range(3):
            joints[b, 0, a] = pelvis[b, a]
            for c in range(3):
                turned[b, 0, a, c] = rotations[b, 0, a, c]
        for j in range(1, NUM_JOINTS):
            parent = _PARENTS[j]
            above, local = turned[b, parent], rotations[b, j]
            for a in range(3):
                joints[b, j, a] = joints[b, parent, a] + (
                    above[a, 0] * bones[j, 0] + above[a, 1] * bones[j, 1] + above[a, 2] * bones[j, 2]
                )
                for c in range(3):
                    turned[b, j, a, c] = (
                        above[a, 0] * local[0, c] + above[a, 1] * local[1, c] + above[a, 2] * local[2, c]
                    )


@compiled
def keypoints_of(rotations, turned, joints, rest_joints, template, pose_dirs, weights, gather, out):
    """Keypoints into ``out`` [B, 25, 3]: sums by ``gather`` [25, 24 + P] of the joints [B, 24, 3] and of P points on
    the skin, which linear blend skinning moves.

    Local and global rotations [B, 24, 3, 3]; joints of the rest pose [24, 3]; of the points: places in the rest pose
    [P, 3], their derivatives by the rotations of the joints beyond the pelvis [P, 3, 207 or, where there are none, 0],
    and weights [P, 24].
    """
    points = np.empty((NUM_JOINTS + len(template), 3))
    place = np.empty(3)
    for b in range(len(rotations)):
        points[:] = 0.0
        points[:NUM_JOINTS] = joints[b]
        for p in range(len(template)):
            for a in range(3):
                place[a] = template[p, a]
                for f in range(pose_dirs.shape[2]):
                    j, r, c = 1 + f // 9, f // 3 % 3, f % 3
                    place[a] += pose_dirs[p, a, f] * (rotations[b, j, r, c] - (1.0 if r == c else 0.0))
            for j in range(NUM_JOINTS):
                if weights[p, j] != 0.0:
                    x, y, z = place[0] - rest_joints[j, 0], place[1] - rest_joints[j, 1], place[2] - rest_joints[j, 2]
                    for a in range(3):
                        turn = turned[b, j, a]
                        points[NUM_JOINTS + p, a] += weights[p, j] * (
                            joints[b, j, a] + turn[0] * x + turn[1] * y + turn[2] * z
                        )
        for k in range(len(gather)):
            for a in range(3):
                total = 0.0
                for p in range(len(points)):
                    if gather[k, p] != 0.0:
                        total += gather[k, p] * points[p, a]
                out[b, k, a] = total
