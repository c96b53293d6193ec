"""The body as 24 rigid segments: what moves with each joint, how heavy it is and where.

Axes of a segment are SMPL's body axes in the rest pose (x to the subject's left, y up, z forward), origin at its joint,
as in :mod:`diffmocap.body.inertia`. So a segment's pose is the joint's global rotation and position, and the same
numbers serve any inertial frame: y-up motion capture, a z-up world after REP-103, or the camera's optical frame.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass, replace

import numpy as np
import torch

from diffmocap.body.inertia import segment_inertias
from diffmocap.body.joint_angles import JOINT_AXES, URDF_FROM_SMPL
from diffmocap.body.kinematics import bone_offsets
from diffmocap.body.model import BodyModel
from diffmocap.body.skeleton import JOINT_NAMES, NUM_JOINTS
from diffmocap.body.urdf import read_urdf
from diffmocap.errors import ModelFileError, SettingsError

#: Eight times fewer samples than `segment_inertias` takes for the URDF. Against those, masses differ by 60 g at most,
#: centres by 2 mm, and toes and hands, the smallest segments, by 9 %.
COARSE_SPACING = 0.012
#: Bones that differ by less are those of one body [m].
SAME_BODY_M = 2e-3


@dataclass(frozen=True)
class BodySegments:
    """Mass properties of one body, in SMPL's joint order.

    Attributes:
        mass: [24] kg.
        centre: [24, 3] centre of mass relative to the segment's joint, segment axes [m].
        inertia: [24, 3, 3] about the centre of mass, segment axes [kg m^2].
        offsets: [24, 3] rest position of each joint relative to its parent's [m]; row 0 is zero.
    """

    mass: torch.Tensor
    centre: torch.Tensor
    inertia: torch.Tensor
    offsets: torch.Tensor

    def __post_init__(self) -> None:
        shapes = tuple(tuple(x.shape) for x in (self.mass, self.centre, self.inertia, self.offsets))
        expected = ((NUM_JOINTS,), (NUM_JOINTS, 3), (NUM_JOINTS, 3, 3), (NUM_JOINTS, 3))
        if shapes != expected:
            raise SettingsError(f"mass, centre, inertia and offsets must have the shapes {expected}, got {shapes}")

    @classmethod
    def from_body(
        cls,
        body: BodyModel,
        betas: torch.Tensor | None = None,
        mass: float | None = None,
        spacing: float = COARSE_SPACING,
    ) -> BodySegments:
        """Segments of a body, by integration over the inside of its skin; takes seconds, float32.

        Args:
            body: any body whose skin is closed.
            betas: [1, 10] shape; None is the mean shape.
            mass: of the whole person [kg]; None keeps what the volume weighs.
            spacing: of the samples inside the skin [m].
        """
        inertias = segment_inertias(body, betas, spacing=spacing)
        offsets = bone_offsets(body.rest_joints(betas)[0].detach().cpu())
        segments = cls(
            torch.tensor([s.mass for s in inertias]),
            torch.tensor(np.stack([s.centre for s in inertias]), dtype=torch.float32),
            torch.tensor(np.stack([s.inertia for s in inertias]), dtype=torch.float32),
            offsets,
        )
        segments = segments if mass is None else segments.weighing(mass)
        return segments.to(body.device)

    @classmethod
    def of(cls, body: BodyModel, betas: torch.Tensor | None = None) -> BodySegments:
        """Segments of a body of a shape [10]: those of the shipped URDF at once where it is that body, else by
        integration, which takes seconds.

        Raises:
            ModelFileError: a body without closed skin.
        """
        shape = None if betas is None or not bool(betas.any()) else betas[None]
        shipped = cls.from_urdf(read_urdf())
        same = torch.allclose(bone_offsets(body.rest_joints(shape)[0]), shipped.offsets, atol=SAME_BODY_M)
        return shipped if same else cls.from_body(body, shape)

    @classmethod
    def from_urdf(cls, text: str, mass: float | None = None) -> BodySegments:
        """Segments as a URDF of :mod:`diffmocap.body.urdf` states them: milliseconds instead of an integration.

        The links between the three axes of a joint are left out; together they weigh 46 g.

        Raises:
            ModelFileError: a link or joint of ours is missing, or its origin is turned.
        """
        robot = ET.fromstring(text)
        links = {link.get("name"): link.find("inertial") for link in robot.iter("link")}
        origins = {joint.get("name"): joint.find("origin") for joint in robot.iter("joint")}
        m = URDF_FROM_SMPL.double()
        numbers = torch.zeros(NUM_JOINTS, 16, dtype=torch.float64)
        for j, name in enumerate(JOINT_NAMES):
            inertial, first = links.get(name), f"{name}_{JOINT_AXES[j - 1][0]}" if j else None
            if inertial is None or (first is not None and origins.get(first) is None):
                raise ModelFileError(f"the URDF lacks the link {name} or its joints; diffmocap.body.urdf writes one")
            entries = {k: float(v) for k, v in inertial.find("inertia").items()}
            ij = [[entries["i" + "".join(sorted(a + b))] for b in "xyz"] for a in "xyz"]
            numbers[j, 0] = float(inertial.find("mass").get("value"))
            numbers[j, 1:4] = m.T @ _vector(inertial.find("origin"))
            numbers[j, 4:13] = (m.T @ torch.tensor(ij, dtype=torch.float64) @ m).flatten()
            if first is not None:
                numbers[j, 13:] = m.T @ _vector(origins[first])
        numbers = numbers.float()
        segments = cls(numbers[:, 0], numbers[:, 1:4], numbers[:, 4:13].unflatten(1, (3, 3)), numbers[:, 13:])
        return segments if mass is None else segments.weighing(mass)

    @property
    def total_mass(self) -> torch.Tensor:
        """Mass of the whole body [kg], a scalar."""
        return self.mass.sum()

    def weighing(self, mass: float) -> BodySegments:
        """The same body of another density, ``mass`` kg in all."""
        if not mass > 0:
            raise SettingsError(f"the mass of the body must be positive, got {mass} kg")
        scale = mass / self.total_mass
        return replace(self, mass=self.mass * scale, inertia=self.inertia * scale)

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> BodySegments:
        """The same on another device or in another floating-point type."""
        moved = (x.to(device=device, dtype=dtype) for x in (self.mass, self.centre, self.inertia, self.offsets))
        return BodySegments(*moved)


def _vector(origin: ET.Element) -> torch.Tensor:
    if any(float(angle) != 0.0 for angle in origin.get("rpy", "0 0 0").split()):
        raise ModelFileError("a link of the URDF is turned at zero pose; ours have x forward, y left, z up")
    return torch.tensor([float(x) for x in origin.get("xyz", "0 0 0").split()], dtype=torch.float64)
