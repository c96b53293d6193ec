"""Cholesky factors of small matrices as machine code, row by row, so that the processor's vectors are filled.

A symmetric matrix S is held by its upper triangle, and so is its factor U with ``U^T U = S``. Columns to the right of it
ride along: a vector r becomes ``U^-T r``, independent numbers of unit variance where S is the covariance of r. Where S is
no covariance, or no number, the factor is no number either.
"""

from __future__ import annotations

import math

from diffmocap.compiler import compiled

#: Pivots that go at once: as many rows are read for each row that is written.
_BLOCK = 4


@compiled
def is_number(value):
    """Whether a value is finite. (``math.isfinite`` takes a value from itself, which reordered sums may cancel.)"""
    return abs(value) < math.inf


@compiled
def eliminate(matrix, begin, end, size, width):
    """Factors pivots ``begin`` to ``end - 1`` of ``matrix`` [size, width], in place; those before are done.

    The square after ``end`` becomes the covariance of the rest given these, not yet factored.
    """
    for pivot in range(begin, end, _BLOCK):
        beyond = min(pivot + _BLOCK, end)
        for i in range(pivot, beyond):
            row = matrix[i, i:width]
            for k in range(pivot, i):
                _subtract(row, matrix[k, i], matrix[k, i:width])
            scale = 1.0 / math.sqrt(matrix[i, i])
            for c in range(len(row)):
                row[c] *= scale
        if beyond - pivot == _BLOCK:
            for i in range(beyond, size):
                subtract_four(matrix[i, i:width], matrix[pivot:beyond, i], matrix, pivot, i, width)
        else:
            for i in range(beyond, size):
                for k in range(pivot, beyond):
                    _subtract(matrix[i, i:width], matrix[k, i], matrix[k, i:width])


@compiled
def _subtract(row, factor, other):
    for c in range(len(row)):
        row[c] -= factor * other[c]


@compiled
def subtract_four(row, factors, matrix, first, begin, end):
    """``row -= factors @ matrix[first : first + 4, begin:end]``."""
    a, b, c, d = factors[0], factors[1], factors[2], factors[3]
    p, q = matrix[first, begin:end], matrix[first + 1, begin:end]
    r, s = matrix[first + 2, begin:end], matrix[first + 3, begin:end]
    for i in range(len(row)):
        row[i] -= a * p[i] + b * q[i] + c * r[i] + d * s[i]


@compiled
def log_density(matrix, begin, end, column):
    """Of a normal vector that rode along in ``column``, up to a constant: of its parts ``begin`` to ``end - 1``, given
    those before."""
    log, square = 0.0, 0.0
    for i in range(begin, end):
        log += math.log(matrix[i, i])
        square += matrix[i, column] * matrix[i, column]
    return -log - 0.5 * square


@compiled
def invert(factor, size, inverse):
    """``U^-T`` [size, size] of a factor U, which is lower triangular; zeros above."""
    for i in range(size):
        row = inverse[i, :size]
        row[:] = 0.0
        full = i - i % _BLOCK
        for pivot in range(0, full, _BLOCK):
            subtract_four(row[: pivot + _BLOCK], factor[pivot : pivot + _BLOCK, i], inverse, pivot, 0, pivot + _BLOCK)
        for k in range(full, i):
            _subtract(row[: k + 1], factor[k, i], inverse[k, : k + 1])
        scale = 1.0 / factor[i, i]
        for c in range(i):
            row[c] *= scale
        row[i] = scale


@compiled
def whiten(factor, size, vector):
    """``U^-T vector``, in place."""
    for i in range(size):
        vector[i] /= factor[i, i]
        _subtract(vector[i + 1 : size], vector[i], factor[i, i + 1 : size])


@compiled
def solve_upper(factor, size, vector):
    """``U^-1 vector``, in place: after :func:`whiten` it is ``S^-1`` times the vector."""
    for i in range(size - 1, -1, -1):
        row, rest = factor[i, i + 1 : size], vector[i + 1 : size]
        total = vector[i]
        for c in range(len(row)):
            total -= row[c] * rest[c]
        vector[i] = total / factor[i, i]
