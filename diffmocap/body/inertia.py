"""Mass, centre and inertia of the 24 body segments, from the volume inside the skin.

The inside of the closed mesh is sampled on a grid; a sample belongs to the joint that dominates the skin weights of
the nearest vertex. Totals are exact, since the samples are scaled to the mesh's own volume.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from diffmocap.body.model import BodyModel
from diffmocap.body.skeleton import NUM_JOINTS
from diffmocap.errors import SettingsError

#: Mean density of a person with air in the lungs [kg/m^3]; people just float.
BODY_DENSITY = 985.0


@dataclass(frozen=True)
class SegmentInertia:
    """One segment in the rest pose, SMPL axes (x left, y up, z forward).

    Attributes:
        mass: kg.
        centre: [3] centre of mass relative to the segment's joint [m].
        inertia: [3, 3] about the centre of mass [kg m^2].
    """

    mass: float
    centre: np.ndarray
    inertia: np.ndarray


def segment_inertias(
    body: BodyModel, betas: torch.Tensor | None = None, density: float = BODY_DENSITY, spacing: float = 0.006
) -> list[SegmentInertia]:
    """Mass properties of the segments that move with the 24 joints, in SMPL's joint order.

    Args:
        body: any body whose skin is closed.
        betas: [1, 10] shape; None is the mean shape.
        density: kg/m^3.
        spacing: distance of the samples [m].

    Raises:
        SettingsError: the spacing is so coarse that a segment gets no sample, or the skin is not closed.
    """
    from scipy.spatial import cKDTree

    identity = torch.eye(3, device=body.device).expand(1, NUM_JOINTS, 3, 3)
    joints = body.rest_joints(betas)[0].cpu().numpy().astype(float)
    pelvis = body.rest_joints(betas)[:, 0]
    vertices = body.vertices(identity, pelvis, betas)[0].cpu().numpy().astype(float)
    faces = body.faces.cpu().numpy()
    volume = mesh_volume(vertices, faces)
    points = interior_points(vertices, faces, spacing)
    if len(points) == 0 or volume <= 0:
        raise SettingsError("the skin encloses no volume; a body model needs a closed mesh, faces turned outwards")
    nearest = cKDTree(vertices).query(points)[1]
    owner = body.skin_weights.cpu().numpy().argmax(axis=1)[nearest]
    sample_mass = density * volume / len(points)
    cube = np.eye(3) * spacing**2 / 6.0  # a sample is a cube, not a point
    segments = []
    for joint in range(NUM_JOINTS):
        own = points[owner == joint]
        if len(own) == 0:
            raise SettingsError(f"no sample falls into segment {joint}; take a spacing below {spacing} m")
        centre = own.mean(axis=0)
        d = own - centre
        second = d.T @ d / len(own)
        inertia = np.trace(second) * np.eye(3) - second + cube
        mass = sample_mass * len(own)
        segments.append(SegmentInertia(float(mass), centre - joints[joint], mass * inertia))
    return segments


def mesh_volume(vertices: np.ndarray, faces: np.ndarray) -> float:
    """Volume [m^3] inside a closed mesh by the divergence theorem; positive if the faces look outwards."""
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    return float(np.einsum("ij,ij->", a, np.cross(b, c)) / 6.0)


def interior_points(vertices: np.ndarray, faces: np.ndarray, spacing: float) -> np.ndarray:
    """Grid points [N, 3] inside a closed mesh, found along vertical lines by the winding number."""
    # Lines slightly off round coordinates, so that none passes through a vertex or the plane of symmetry.
    origin = vertices.min(axis=0) - spacing * np.array([0.4987, 0.0, 0.4913])
    flat = (vertices[:, [0, 2]] - origin[[0, 2]]) / spacing  # in grid lines
    corners = flat[faces]  # [F, 3, 2]
    low = np.ceil(corners.min(axis=1)).astype(int)
    size = np.maximum(np.floor(corners.max(axis=1)).astype(int) - low + 1, 0)
    # Every (face, line) pair in the faces' bounding boxes, and of these the ones that meet.
    count = size[:, 0] * size[:, 1]
    face = np.repeat(np.arange(len(faces)), count)
    rank = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    line = low[face] + np.stack([rank % np.maximum(size[face, 0], 1), rank // np.maximum(size[face, 0], 1)], axis=1)
    a, b, c = (corners[face, k] for k in range(3))
    area = _cross(b - a, c - a)
    seen = np.where(area == 0, np.inf, area)  # faces on edge meet no line
    v, w = _cross(line - a, c - a) / seen, _cross(b - a, line - a) / seen
    hit = (area != 0) & (v >= 0) & (w >= 0) & (v + w <= 1)
    face, line, v, w, area = face[hit], line[hit], v[hit], w[hit], area[hit]
    y = vertices[faces[face], 1]
    height = (1 - v - w) * y[:, 0] + v * y[:, 1] + w * y[:, 2]
    # Seen along y, x and z swap hands: a face that looks down has a positive area and opens the inside.
    order = np.lexsort((height, line[:, 1], line[:, 0]))
    line, height, opens = line[order], height[order], np.where(area[order] > 0, 1, -1)
    winding = np.cumsum(opens)  # every line closes what it opens
    inside = (winding[:-1] > 0) & (line[1:] == line[:-1]).all(axis=1)
    start, stop = height[:-1][inside], height[1:][inside]
    first = np.ceil((start - origin[1]) / spacing).astype(int)
    steps = np.maximum(np.ceil((stop - origin[1]) / spacing).astype(int) - first, 0)
    which = np.repeat(np.flatnonzero(inside), steps)
    level = np.repeat(first, steps) + np.arange(steps.sum()) - np.repeat(np.cumsum(steps) - steps, steps)
    return origin + spacing * np.stack([line[which, 0], level, line[which, 1]], axis=1)


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
