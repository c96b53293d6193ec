"""What is known beforehand, as covariances of an observation's rows: how far the network's pose is off, and next to
nothing of where the body stands and what shape it has. Machine code."""

from __future__ import annotations

from diffmocap.compiler import compiled_within
from diffmocap.lifting.correction.records import SHAPES, TANGENT

#: Standard deviation of the body's place about where the network's pose must stand [m]: next to no prior.
PLACE_M = 1.0
#: Standard deviation of the ten numbers of the body's shape, which is neither known nor estimated.
SHAPE = 0.8


@compiled_within
def spread(body, covariance, packed, derivatives, covariances):
    """Covariances of the packed rows by the network's errors, and by the body's place and shape."""
    size = 2 * packed.counts[0] + packed.counts[1]
    own, columns, out = covariances.rows, covariances.columns, covariances.from_errors
    jacobian, movers = derivatives.by_joints, body.movers
    for i in range(size):
        row, k = own[i], packed.keypoint[i]
        for c in range(TANGENT):
            row[c] = 0.0
        for n in range(body.mover_count[k]):
            j = 3 * movers[k, n]
            x, y, z = jacobian[i, j], jacobian[i, j + 1], jacobian[i, j + 2]
            p, q, r = covariance[j], covariance[j + 1], covariance[j + 2]
            for c in range(TANGENT):
                row[c] += x * p[c] + y * q[c] + z * r[c]
        for c in range(TANGENT):
            columns[c, i] = row[c]
    for i in range(size):
        row, k = out[i, i:size], packed.keypoint[i]
        for c in range(len(row)):
            row[c] = 0.0
        for n in range(body.mover_count[k]):
            j = 3 * movers[k, n]
            x, y, z = jacobian[i, j], jacobian[i, j + 1], jacobian[i, j + 2]
            p, q, r = columns[j, i:size], columns[j + 1, i:size], columns[j + 2, i:size]
            for c in range(len(row)):
                row[c] += x * p[c] + y * q[c] + z * r[c]
    # The same for the body, whose loadings are columns of the derivatives times standard deviations.
    loadings, place, out = covariances.loadings, derivatives.by_place, covariances.from_body
    spread_shape(size, derivatives.by_shape, loadings, out)
    for a in range(3):
        for i in range(size):
            loadings[a, i] = PLACE_M * place[i, a]
    for i in range(size):
        row, p, q, r = out[i, i:size], loadings[0, i:size], loadings[1, i:size], loadings[2, i:size]
        x, y, z = p[0], q[0], r[0]
        for c in range(len(row)):
            row[c] += x * p[c] + y * q[c] + z * r[c]


@compiled_within
def spread_shape(size, by_shape, loadings, out):
    """Covariance of the packed rows by the body's shape, into the upper triangle of ``out``."""
    for i in range(size):
        for s in range(SHAPES):
            loadings[s, i] = SHAPE * by_shape[i, s]
    for i in range(size):
        row = out[i, i:size]
        for c in range(len(row)):
            row[c] = 0.0
        for s in range(0, SHAPES, 2):
            p, q = loadings[s, i:size], loadings[s + 1, i:size]
            x, y = p[0], q[0]
            for c in range(len(row)):
                row[c] += x * p[c] + y * q[c]
