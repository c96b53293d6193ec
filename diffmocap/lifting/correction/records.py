"""What the machine code of the correction takes and works in, by name: float64 arrays in one piece unless another type
is said.

Shapes: P parts of keypoints, N = 75 rows of an observation at most, T steps, C candidates of noise. Rows stand in the
order of :class:`~diffmocap.lifting.correction.observation.Observation`; *used* rows are packed, so that what is missing
costs nothing.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from diffmocap.body.skeleton import NUM_JOINTS, NUM_KEYPOINTS

#: Numbers of a pose's tangent vector and of a step, which moves the pelvis too; rows; numbers of the body's shape.
TANGENT, STEP, ROWS, SHAPES = 3 * NUM_JOINTS, 3 * NUM_JOINTS + 3, 3 * NUM_KEYPOINTS, 10


class KeypointBody(NamedTuple):
    """Constants of a body: what its keypoints are weighted sums of, each part following one joint.

    Attributes:
        first: [26] int, the parts of keypoint k are ``first[k]`` to ``first[k + 1] - 1``.
        joint: [P] int, what a part follows. weight: [P]. offset: [P, 3] m from the joint at rest.
        turned_by: [P] int, the lowest joint that moves the part; -1: none does.
        pose_dirs: [P, 3, 207] m, how offsets follow the rotations of joints 1 to 23; [0, 3, 207] where they do not.
        bone: [24, 3] m from the parent at rest. bone_dirs: [24, 3, 10], offset_dirs: [P, 3, 10] m, by the shape.
        movers: [25, 24] int and mover_count: [25] int, the joints that move a keypoint's rows.
    """

    first: np.ndarray
    joint: np.ndarray
    weight: np.ndarray
    offset: np.ndarray
    turned_by: np.ndarray
    pose_dirs: np.ndarray
    bone: np.ndarray
    bone_dirs: np.ndarray
    offset_dirs: np.ndarray
    movers: np.ndarray
    mover_count: np.ndarray


class Posed(NamedTuple):
    """One pose with the pelvis at the origin: global ``rotations`` [24, 3, 3]; ``joints`` [24, 3], ``parts`` [P, 3] and
    ``points`` [25, 3] m."""

    rotations: np.ndarray
    joints: np.ndarray
    parts: np.ndarray
    points: np.ndarray


class Derivatives(NamedTuple):
    """Of used rows by the step and by the body's shape.

    Attributes:
        by_joints: [N, 72], by_place: [N, 3] 1/m, by_shape: [N, 10], of the packed rows.
        points_by_joints: [25, 3, 72] m, zero where a joint moves nothing. points_by_shape: [25, 3, 10],
            joints_by_shape: [24, 3, 10] m. arms: [24, 3] m.
    """

    by_joints: np.ndarray
    by_place: np.ndarray
    by_shape: np.ndarray
    points_by_joints: np.ndarray
    points_by_shape: np.ndarray
    joints_by_shape: np.ndarray
    arms: np.ndarray


class Candidates(NamedTuple):
    """Candidates of the keypoint noise that are weighed, see :mod:`diffmocap.lifting.correction.keypoint_noise`.

    Attributes:
        detector: [75, 75] covariance of the detector's errors; variance: [75] its diagonal; floor: [75] beside it.
        wrong: [75] variances of rows that are wrong altogether.
        image: [4], depth: [4] variances. scales: [2], errors: [2] factors of the detector's and of the network's
            covariance.
    """

    detector: np.ndarray
    variance: np.ndarray
    floor: np.ndarray
    wrong: np.ndarray
    image: np.ndarray
    depth: np.ndarray
    scales: np.ndarray
    errors: np.ndarray


class Level(NamedTuple):
    """Noise of one image: ``independent`` [N] variances of all rows, and two ``factors`` [2], of the detector's
    covariance and of the network's; ``wrong`` [N], the probability of each row to be wrong."""

    independent: np.ndarray
    factors: np.ndarray
    wrong: np.ndarray


class Packed(NamedTuple):
    """Which rows are used, int: ``counts`` [2], keypoints in the image and depths; ``row`` [N], the place of each
    packed row among all: x of these keypoints, y of them, depths; ``keypoint`` [N], whose it is; ``used`` [N] bool, of
    all rows."""

    counts: np.ndarray
    row: np.ndarray
    keypoint: np.ndarray
    used: np.ndarray


class Covariances(NamedTuple):
    """Matrices of the packed rows, of which the upper triangle counts.

    Attributes:
        from_errors, from_body: [N, N], by the network's errors, and by the body's place and shape.
        factor: [N, N + 1] Cholesky factor of the rows' own. whitening: [N, N + 1 + T], see :func:`cholesky.eliminate`.
        trial: [N, N + 1], tail: [25, 26], inverse: [N, N], rows: [N, 72], columns: [72, N], loadings: [10, N],
            sums: [5, N]: room for what is in work.
        evidence: [C] of the candidates.
    """

    from_errors: np.ndarray
    from_body: np.ndarray
    factor: np.ndarray
    whitening: np.ndarray
    trial: np.ndarray
    tail: np.ndarray
    inverse: np.ndarray
    rows: np.ndarray
    columns: np.ndarray
    loadings: np.ndarray
    sums: np.ndarray
    evidence: np.ndarray


class Tried(NamedTuple):
    """What was tried, from the start on: ``residual`` [T + 1, N] of all rows, ``step`` [T + 1, 75], ``information``
    [T + 1, 75] (step = prior covariance @ information), ``rotations`` [T + 1, 24, 3, 3]; ``turns`` [24, 3, 3] from
    tangent vectors of the newest to world axes; ``vector`` [4, 75]: room."""

    residual: np.ndarray
    step: np.ndarray
    information: np.ndarray
    rotations: np.ndarray
    turns: np.ndarray
    vector: np.ndarray


class Workspace(NamedTuple):
    """Memory that a correction works in, and nothing of which counts before or after. One thread's."""

    posed: Posed
    derivatives: Derivatives
    level: Level
    packed: Packed
    covariances: Covariances
    tried: Tried


def workspace(parts: int, candidates: int, steps: int) -> Workspace:
    """Of a body with so many parts, for so many candidates of noise, and for as many steps."""
    e = np.empty
    # What is not written is multiplied by nothing, but must be no infinity.
    z = np.zeros
    return Workspace(
        Posed(e((NUM_JOINTS, 3, 3)), e((NUM_JOINTS, 3)), e((parts, 3)), e((NUM_KEYPOINTS, 3))),
        Derivatives(
            e((ROWS, TANGENT)), e((ROWS, 3)), e((ROWS, SHAPES)), z((NUM_KEYPOINTS, 3, TANGENT)),
            e((NUM_KEYPOINTS, 3, SHAPES)), e((NUM_JOINTS, 3, SHAPES)), e((NUM_JOINTS, 3)),
        ),
        Level(e(ROWS), e(2), e(ROWS)),
        Packed(e(2, np.int64), e(ROWS, np.int64), e(ROWS, np.int64), e(ROWS, bool)),
        Covariances(
            e((ROWS, ROWS)), e((ROWS, ROWS)), e((ROWS, ROWS + 1)), e((ROWS, ROWS + 1 + steps)), e((ROWS, ROWS + 1)),
            e((NUM_KEYPOINTS, NUM_KEYPOINTS + 1)), z((ROWS, ROWS)), e((ROWS, TANGENT)), e((TANGENT, ROWS)),
            e((SHAPES, ROWS)), e((5, ROWS)), e(candidates),
        ),
        Tried(
            e((steps + 1, ROWS)), e((steps + 1, STEP)), e((steps + 1, STEP)), e((steps + 1, NUM_JOINTS, 3, 3)),
            e((NUM_JOINTS, 3, 3)), e((4, STEP)),
        ),
    )  # fmt: skip
