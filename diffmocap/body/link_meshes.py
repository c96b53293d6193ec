"""Pieces of the skin that move with one joint each, for programs that draw rigid links."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch

from diffmocap.body.joint_angles import JOINT_ANGLE_NAMES, NUM_ANGLES, URDF_FROM_SMPL, rotations_from_angles
from diffmocap.body.model import BodyModel
from diffmocap.body.skeleton import JOINT_NAMES

#: A face goes to every link whose mean skin weight over its corners reaches this: pieces overlap around the
#: joints, so that bending one opens no gap at once.
SHARED_WEIGHT = 0.25
#: Vertices closer than about this are merged [m]; it takes the detail out of face, fingers and toes.
RESOLUTION = 0.006
#: Pose in which the skin is cut [degrees]: about half way through everyday ranges of motion.
RELAXED_POSE_DEG = {
    "left_shoulder_x": -65, "right_shoulder_x": 65, "left_elbow_z": -35, "right_elbow_z": 35,
    "left_hip_y": -20, "right_hip_y": -20, "left_knee_y": 35, "right_knee_y": 35,
}  # fmt: skip


def link_meshes(body: BodyModel, betas: torch.Tensor | None = None) -> dict[str, np.ndarray]:
    """Triangles [N, 3, 3] in metres of each link, in the link's frame (URDF axes, origin at the joint).

    The skin is cut in a relaxed pose rather than in the T-pose, so that hanging arms look right.
    """
    in_links, faces, weights = _cut(body, betas)
    share = weights[faces].mean(axis=1)
    dominant = share.argmax(axis=1)
    meshes = {}
    for joint, name in enumerate(JOINT_NAMES):
        own = faces[(share[:, joint] > SHARED_WEIGHT) | (dominant == joint)]
        meshes[name] = in_links[joint][own]
    return meshes


def link_skin(body: BodyModel, betas: torch.Tensor | None = None) -> dict[str, np.ndarray]:
    """The vertices [N, 3] in metres that move with each link above all, in the link's frame; each belongs to one."""
    in_links, _, weights = _cut(body, betas)
    dominant = weights.argmax(axis=1)
    return {name: in_links[joint][dominant == joint] for joint, name in enumerate(JOINT_NAMES)}


def write_stl(path: Path, triangles: np.ndarray) -> None:
    """Write triangles [N, 3, 3] as binary STL."""
    normals = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    record = np.zeros(len(triangles), dtype=[("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
    record["normal"], record["corners"] = normals, triangles
    with path.open("wb") as file:
        file.write(b"diffmocap link mesh, metres".ljust(80))
        file.write(np.uint32(len(triangles)).tobytes())
        file.write(record.tobytes())


def _cut(body: BodyModel, betas: torch.Tensor | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The relaxed skin without its finest detail.

    Returns:
        Its vertices in the frame of every link [24, V, 3], faces [F, 3] and skin weights [V, 24].
    """
    angles = torch.zeros(NUM_ANGLES)
    for name, degrees in RELAXED_POSE_DEG.items():
        angles[JOINT_ANGLE_NAMES.index(name)] = math.radians(degrees)
    rotations = torch.cat([torch.eye(3)[None], rotations_from_angles(angles)])[None].to(body.device)
    pelvis = torch.zeros(1, 3, device=body.device)
    skin = body.vertices(rotations, pelvis, betas)[0].cpu().numpy().astype(float)
    turns, joints = (x[0].cpu().numpy().astype(float) for x in body.forward_kinematics(rotations, pelvis, betas))
    vertices, faces, weights = _merge(skin, body.faces.cpu().numpy(), body.skin_weights.cpu().numpy())
    axes = URDF_FROM_SMPL.numpy().astype(float)
    return (vertices - joints[:, None]) @ turns @ axes.T, faces, weights


def _merge(vertices: np.ndarray, faces: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertex clustering: vertices of one grid cell become their mean, faces that collapse go."""
    cells = np.round(vertices / RESOLUTION).astype(int)
    _, cluster, count = np.unique(cells, axis=0, return_inverse=True, return_counts=True)
    cluster = cluster.reshape(-1)
    merged_vertices, merged_weights = np.zeros((len(count), 3)), np.zeros((len(count), weights.shape[1]))
    np.add.at(merged_vertices, cluster, vertices)
    np.add.at(merged_weights, cluster, weights)
    merged_faces = cluster[faces]
    a, b, c = merged_faces.T
    merged_faces = np.unique(merged_faces[(a != b) & (b != c) & (a != c)], axis=0)
    return merged_vertices / count[:, None], merged_faces, merged_weights / count[:, None]
