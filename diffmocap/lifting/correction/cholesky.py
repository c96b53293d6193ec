"""Cholesky factors of small matrices as machine code, row by row, so that the processor's vector units are used.

A symmetric matrix S is held by its upper triangle, and so is its factor U with ``U^T U = S``. Columns to the right of
it ride along: a vector r becomes ``U^-T r``, independent numbers of unit variance where S is the covariance of r. Where
S is no covariance, or NaN, the factor is NaN, too.
"""

from __future__ import annotations

import math

from diffmocap.compiler import compiled_within


@compiled_within
def is_number(value):
    """Whether a value is finite. (``math.isfinite`` takes a value from itself, which reordered sums may cancel.)"""
    return abs(value) < math.inf


@compiled_within
def eliminate(matrix, begin, end, size, width):
    """Factors pivots ``begin`` to ``end - 1`` of ``matrix`` [size, width], in place; those before are done.

    The square after ``end`` becomes the covariance of the rest given these, not yet factored. Four pivots go at once:
    as many rows are read for each one that is written. (Rows are cut out before each loop, and nothing is called there:
    so the compiler uses vector instructions.)
    """
    for pivot in range(begin, end, 4):
        beyond = min(pivot + 4, end)
        for i in range(pivot, beyond):
            row = matrix[i, i:width]
            for k in range(pivot, i):
                factor, other = matrix[k, i], matrix[k, i:width]
                for c in range(len(row)):
                    row[c] -= factor * other[c]
            scale = 1.0 / math.sqrt(matrix[i, i])
            for c in range(len(row)):
                row[c] *= scale
        if beyond - pivot == 4:
            for i in range(beyond, size):
                row = matrix[i, i:width]
                w, x, y, z = matrix[pivot, i], matrix[pivot + 1, i], matrix[pivot + 2, i], matrix[pivot + 3, i]
                p, q = matrix[pivot, i:width], matrix[pivot + 1, i:width]
                r, s = matrix[pivot + 2, i:width], matrix[pivot + 3, i:width]
                for c in range(len(row)):
                    row[c] -= w * p[c] + x * q[c] + y * r[c] + z * s[c]
        else:
            for i in range(beyond, size):
                row = matrix[i, i:width]
                for k in range(pivot, beyond):
                    factor, other = matrix[k, i], matrix[k, i:width]
                    for c in range(len(row)):
                        row[c] -= factor * other[c]


@compiled_within
def log_density(matrix, begin, end, column):
    """Of a normal vector that rode along in ``column``, up to a constant: of its parts ``begin`` to ``end - 1``, given
    those before."""
    log, square = 0.0, 0.0
    for i in range(begin, end):
        log += math.log(matrix[i, i])
        square += matrix[i, column] * matrix[i, column]
    return -log - 0.5 * square


@compiled_within
def invert(factor, size, inverse):
    """``U^-T`` [size, size] of a factor U, which is lower triangular; zeros above."""
    for i in range(size):
        row = inverse[i, :size]
        for c in range(size):
            row[c] = 0.0
        fours = i - i % 4
        for k in range(0, fours, 4):
            w, x, y, z = factor[k, i], factor[k + 1, i], factor[k + 2, i], factor[k + 3, i]
            p, q = inverse[k, : k + 4], inverse[k + 1, : k + 4]
            r, s = inverse[k + 2, : k + 4], inverse[k + 3, : k + 4]
            for c in range(len(p)):
                row[c] -= w * p[c] + x * q[c] + y * r[c] + z * s[c]
        for k in range(fours, i):
            entry, other = factor[k, i], inverse[k, : k + 1]
            for c in range(len(other)):
                row[c] -= entry * other[c]
        scale = 1.0 / factor[i, i]
        for c in range(i):
            row[c] *= scale
        row[i] = scale


@compiled_within
def whiten(factor, size, vector):
    """``U^-T vector``, in place."""
    for i in range(size):
        entry = vector[i] / factor[i, i]
        vector[i] = entry
        row, rest = factor[i, i + 1 : size], vector[i + 1 : size]
        for c in range(len(row)):
            rest[c] -= entry * row[c]


@compiled_within
def solve_upper(factor, size, vector):
    """``U^-1 vector``, in place: after :func:`whiten` it is ``S^-1`` times the vector."""
    for i in range(size - 1, -1, -1):
        row, rest = factor[i, i + 1 : size], vector[i + 1 : size]
        total = vector[i]
        for c in range(len(row)):
            total -= row[c] * rest[c]
        vector[i] = total / factor[i, i]
