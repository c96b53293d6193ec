"""Root translation as machine code: it stands here, where a change of the package's code compiles it anew.

The law is the NumPy code of :mod:`diffmocap.lifting.translation`, with which the tests hold this one together.
"""

from __future__ import annotations

import math

import numpy as np

from diffmocap.camera.projection import NEAREST_M
from diffmocap.compiler import compiled


@compiled
def translations(points, rays, given, iterations, huber, out):
    """Of points [B, N, 3] m, rays [B, N, 2] at depth 1 and ``given`` weights [B, N] into ``out`` [B, 3] m.

    At least one of ``iterations``; ``huber``: share of the keypoints' spread beyond which they count less.
    """
    weights = np.empty(points.shape[1])
    for b in range(len(points)):
        spread = 1e-3
        for n in range(len(weights)):
            weights[n] = given[b, n]
            if weights[n] > 0.0:
                spread = max(spread, abs(rays[b, n, 0]), abs(rays[b, n, 1]))
        for i in range(iterations):
            total = x = y = b_x = b_y = squares = b_z = 0.0
            for n in range(len(weights)):
                w, r_x, r_y = weights[n], rays[b, n, 0], rays[b, n, 1]
                h_x = r_x * points[b, n, 2] - points[b, n, 0]
                h_y = r_y * points[b, n, 2] - points[b, n, 1]
                total, x, y, b_x, b_y = total + w, x + w * r_x, y + w * r_y, b_x + w * h_x, b_y + w * h_y
                squares, b_z = squares + w * (r_x * r_x + r_y * r_y), b_z + w * (r_x * h_x + r_y * h_y)
            z = ((x * b_x + y * b_y) / total - b_z) / max(squares - (x * x + y * y) / total, 1e-9)
            z = NEAREST_M if z < NEAREST_M else z  # NaN stays NaN
            out[b, 0], out[b, 1], out[b, 2] = (b_x + x * z) / total, (b_y + y * z) / total, z
            if i + 1 == iterations:
                break
            for n in range(len(weights)):
                depth = max(points[b, n, 2] + z, NEAREST_M)
                off_x = (points[b, n, 0] + out[b, 0]) / depth - rays[b, n, 0]
                off_y = (points[b, n, 1] + out[b, 1]) / depth - rays[b, n, 1]
                residual = math.sqrt(off_x * off_x + off_y * off_y) / spread
                weights[n] = given[b, n] * (huber / max(residual, huber)) * (z / depth) ** 2
