"""Small linear systems, symmetric and positive definite. NaN stays NaN: a library's solver would raise an error."""

from __future__ import annotations

import math

from diffmocap.compiler import compiled_within


@compiled_within
def factorise(matrix):
    """Replaces the lower half of A [N, N], which alone is read, by L with A = L L^T."""
    for j in range(len(matrix)):
        for k in range(j):
            matrix[j, j] -= matrix[j, k] * matrix[j, k]
        matrix[j, j] = math.sqrt(matrix[j, j])
        for i in range(j + 1, len(matrix)):
            for k in range(j):
                matrix[i, j] -= matrix[i, k] * matrix[j, k]
            matrix[i, j] /= matrix[j, j]


@compiled_within
def solve(low, x):
    """Replaces x [N] by A^-1 x, with what :func:`factorise` made of A."""
    for i in range(len(x)):
        for k in range(i):
            x[i] -= low[i, k] * x[k]
        x[i] /= low[i, i]
    for i in range(len(x) - 1, -1, -1):
        for k in range(i + 1, len(x)):
            x[i] -= low[k, i] * x[k]
        x[i] /= low[i, i]
