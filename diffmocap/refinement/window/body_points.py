"""Every point that the window loss looks at, as one matrix: joints, mass points, contact points and keypoints.

A point p that rides on segments is ``p = pelvis + sum_j R_j a_pj`` with constant vectors a_pj, R_j the segments' global
rotations: the bones that lead to the segment and the point's place on it are both turned by some R_j. So one product
with a constant [72, N] matrix replaces positions by forward kinematics, skinning and offsets.

A rigid segment is replaced by four equal point masses with its mass, centre and inertia (an equimomental system, Routh,
"Elementary Rigid Dynamics", 1905, art. 43): with covariance ``C = (tr(I) / 2 - I) / m`` of its mass about the centre
they stand at ``c + sqrt(C) v`` for the corners v of a regular tetrahedron, whose mean of v v^T is the identity.
Newton's law for points then covers turning as well, and no rotation need be differentiated.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cached_property

import torch

from diffmocap.body.kinematics import bone_offsets
from diffmocap.body.model import BodyModel
from diffmocap.body.skeleton import (
    KEYPOINT_FROM_JOINT,
    KEYPOINT_FROM_MIDPOINT,
    KEYPOINT_FROM_VERTEX,
    NUM_JOINTS,
    NUM_KEYPOINTS,
    PARENTS,
)
from diffmocap.compiler import array
from diffmocap.errors import ModelFileError
from diffmocap.physics.contact_points import FOOT_POINTS, ContactPoints
from diffmocap.physics.segments import BodySegments
from diffmocap.refinement.kernels.records import Body
from diffmocap.refinement.window.joint_constants import joint_constants

#: Corners of a regular tetrahedron; the mean of v v^T is the identity, that of v is zero.
_TETRAHEDRON = ((1.0, 1.0, 1.0), (1.0, -1.0, -1.0), (-1.0, 1.0, -1.0), (-1.0, -1.0, 1.0))
MASSES_PER_SEGMENT = len(_TETRAHEDRON)
_COLUMNS = 3 * NUM_JOINTS


@dataclass(frozen=True)
class BodyPoints:
    """N = 24 joints + 96 mass points + P contact points + 25 keypoints of one body, in this order.

    Attributes:
        matrix: [72, N] metres; row 3 j + c belongs to column c of segment j's rotation.
        mass: [96] kg of the mass points.
        mass_segment: [96] int64, the segment that each mass point rides on.
        contact_segment: [P] int64, that of each contact point.
        radius: [P] from a contact point's centre to the skin [m].
        bones: [24, 3] rest position of each joint relative to its parent's [m]; row 0 is zero.
        contact_names: P names.
    """

    matrix: torch.Tensor
    mass: torch.Tensor
    mass_segment: torch.Tensor
    contact_segment: torch.Tensor
    radius: torch.Tensor
    bones: torch.Tensor
    contact_names: tuple[str, ...]

    @classmethod
    def from_body(
        cls, body: BodyModel, segments: BodySegments, contacts: ContactPoints, betas: torch.Tensor | None = None
    ) -> BodyPoints:
        """Points of one body, float64; ``segments`` and ``contacts`` are of the same shape ``betas`` [1, 10].

        Keypoints on the skin leave out corrective blend shapes, which move them by millimetres.

        Raises:
            ModelFileError: the segments' bones are not the body's, or an inertia is not that of a solid body.
        """
        device = body.device
        segments = segments.to(device, torch.float64)
        rest = body.rest_joints(betas)[0].detach().double()
        if not torch.allclose(bone_offsets(rest), segments.offsets, atol=2e-3):
            raise ModelFileError("segments and body differ in their bones; make both of the same shape")
        eye = torch.eye(NUM_JOINTS, dtype=torch.float64, device=device)

        # [N, 24, 3] all the way, flattened at the end.
        joints = torch.zeros(NUM_JOINTS, NUM_JOINTS, 3, dtype=torch.float64, device=device)
        for j, parent in enumerate(PARENTS[1:], start=1):
            joints[j] = joints[parent]
            joints[j, parent] += segments.offsets[j]

        def riding(segment: torch.Tensor, offset: torch.Tensor) -> torch.Tensor:
            return joints[segment] + eye[segment][..., None] * offset[:, None]

        owner = torch.arange(NUM_JOINTS, device=device).repeat_interleave(MASSES_PER_SEGMENT)
        masses = riding(owner, _mass_places(segments))
        touching = riding(contacts.segment, contacts.offset.to(device, torch.float64))
        keypoints = _keypoints(body, rest, joints, betas)
        return cls(
            matrix=torch.cat([joints, masses, touching, keypoints]).flatten(1).T.contiguous(),
            mass=(segments.mass / MASSES_PER_SEGMENT).repeat_interleave(MASSES_PER_SEGMENT),
            mass_segment=owner,
            contact_segment=contacts.segment.to(device),
            radius=contacts.radius.to(device, torch.float64),
            bones=segments.offsets,
            contact_names=contacts.names,
        )  # fmt: skip

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> BodyPoints:
        """The same on another device or in another floating-point type."""
        held = self.matrix
        if dtype in (None, held.dtype) and (device is None or torch.device(device) == held.device):
            return self
        tensors = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "contact_names"}
        moved = {
            name: x.to(device=device, dtype=dtype if x.is_floating_point() else None) for name, x in tensors.items()
        }
        return self if all(moved[name] is x for name, x in tensors.items()) else replace(self, **moved)

    @cached_property
    def constants(self) -> Body:
        """What the compiled loss takes of the body."""
        return Body(
            array(self.matrix), array(self.mass), self.mass_segment.cpu().numpy(), self.contact_segment.cpu().numpy(),
            array(self.radius), *joint_constants(),
        )  # fmt: skip

    @property
    def sizes(self) -> tuple[int, int, int, int]:
        """How many joints, mass points, contact points and keypoints."""
        return NUM_JOINTS, len(self.mass), len(self.radius), NUM_KEYPOINTS

    @property
    def feet(self) -> list[int]:
        """Indices of the contact points on the soles, the left foot's first."""
        return [i for i, name in enumerate(self.contact_names) if name.split("_", 1)[1] in FOOT_POINTS]

    @property
    def total_mass(self) -> torch.Tensor:
        """kg, a scalar."""
        return self.mass.sum()

    def positions(self, rotations: torch.Tensor) -> torch.Tensor:
        """Points relative to the pelvis, coordinates first: [..., 3, N] m for global rotations [..., 24, 3, 3]."""
        columns = rotations.transpose(-3, -2)  # [..., xyz, joint, column]
        return columns.reshape(-1, _COLUMNS).matmul(self.matrix).view(*rotations.shape[:-3], 3, -1)

    def soles(self, rotations: torch.Tensor, pelvis: torch.Tensor) -> torch.Tensor:
        """Contact points on the soles [..., 8, 3] m, the left foot's first, for global rotations [..., 24, 3, 3] and
        pelvis [..., 3] m."""
        placed = self.positions(rotations).split(self.sizes, -1)[2]
        return placed[..., self.feet].transpose(-1, -2) + pelvis[..., None, :]


def _mass_places(segments: BodySegments) -> torch.Tensor:
    """[96, 3] m relative to the segments' joints."""
    inertia = segments.inertia / segments.mass[:, None, None]
    identity = torch.eye(3, dtype=inertia.dtype, device=inertia.device)
    trace = inertia.diagonal(dim1=-2, dim2=-1).sum(-1)
    covariance = 0.5 * trace[:, None, None] * identity - inertia
    values, vectors = torch.linalg.eigh(covariance)
    if bool((values < -1e-9).any()):
        raise ModelFileError("a segment's moments of inertia break the triangle inequality; no solid body has them")
    root = vectors * values.clamp_min(0).sqrt()[:, None, :]
    corners = torch.tensor(_TETRAHEDRON, dtype=inertia.dtype, device=inertia.device)
    return (segments.centre[:, None] + corners @ root.transpose(1, 2)).flatten(0, 1)


def _keypoints(body: BodyModel, rest: torch.Tensor, joints: torch.Tensor, betas: torch.Tensor | None) -> torch.Tensor:
    """[25, 24, 3] of the BODY_25 keypoints: joints, midpoints, and points of the skin by their blend weights."""
    places = torch.zeros(NUM_KEYPOINTS, NUM_JOINTS, 3, dtype=torch.float64, device=body.device)
    for k, j in KEYPOINT_FROM_JOINT.items():
        places[k] = joints[j]
    for k, (a, b) in KEYPOINT_FROM_MIDPOINT.items():
        places[k] = 0.5 * (joints[a] + joints[b])
    vertices = body.template.double()
    if betas is not None:
        vertices = vertices + torch.einsum("vck,k->vc", body.shape_dirs.double(), betas[0].double())
    for k, name in KEYPOINT_FROM_VERTEX.items():
        vertex = body.vertex_ids[name]
        blend = body.skin_weights[vertex].double()
        places[k] = (blend[:, None, None] * joints).sum(0) + blend[:, None] * (vertices[vertex] - rest)
    return places
