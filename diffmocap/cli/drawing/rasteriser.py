"""Triangles drawn into an image, the nearer ones over the others: a z-buffer in machine code."""

from __future__ import annotations

import math

from diffmocap.compiler import compiled


@compiled
def fill(points_px, depth, shade, faces, rgb, image, nearest):
    """Draws a mesh, light interpolated between its corners.

    Args:
        points_px: [V, 2] px. depth: [V] m, what is not in front of the eye is left out. shade: [V], 1 is the colour
            itself. faces: [F, 3]. rgb: [3] colour in the image's order. image: uint8 [H, W, 3].
        nearest: [H, W] m of what was drawn already, inf: nothing; both are changed.
    """
    height, width = nearest.shape
    for f in range(len(faces)):
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        if min(depth[a], depth[b], depth[c]) <= 0.0:
            continue
        ax, ay, bx, by = points_px[a, 0], points_px[a, 1], points_px[b, 0], points_px[b, 1]
        cx, cy = points_px[c, 0], points_px[c, 1]
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if abs(area) < 1e-9:
            continue
        left, right = max(math.ceil(min(ax, bx, cx)), 0), min(math.floor(max(ax, bx, cx)), width - 1)
        top, bottom = max(math.ceil(min(ay, by, cy)), 0), min(math.floor(max(ay, by, cy)), height - 1)
        for y in range(top, bottom + 1):
            for x in range(left, right + 1):
                u = ((bx - x) * (cy - y) - (by - y) * (cx - x)) / area
                v = ((cx - x) * (ay - y) - (cy - y) * (ax - x)) / area
                w = 1.0 - u - v
                if u < 0.0 or v < 0.0 or w < 0.0:
                    continue
                # What is even on the body is even in 1 / depth in the image.
                there = 1.0 / (u / depth[a] + v / depth[b] + w / depth[c])
                if there >= nearest[y, x]:
                    continue
                nearest[y, x] = there
                light = (u * shade[a] / depth[a] + v * shade[b] / depth[b] + w * shade[c] / depth[c]) * there
                for channel in range(3):
                    image[y, x, channel] = min(max(rgb[channel] * light, 0.0), 255.0)
