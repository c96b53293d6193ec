"""A body that can lie down: contact points where a person falls on, too."""

from __future__ import annotations

import torch

from diffmocap.body.model import BodyModel
from diffmocap.body.skeleton import JOINT_NAMES
from diffmocap.physics.contact_points import ContactPoints

#: What a person falls on, beside hands and knees.
FALL_JOINTS = ("pelvis", "spine3", "head", "left_elbow", "right_elbow")


def with_fall_points(points: ContactPoints, body: BodyModel) -> ContactPoints:
    """The points, and balls about the joints that a person falls on, as thick as the skin is near there."""
    vertices, rest, owner = body.template, body.rest_joints()[0], body.skin_weights.argmax(1)
    joints = [JOINT_NAMES.index(name) for name in FALL_JOINTS]
    radius = torch.stack([(vertices[owner == joint] - rest[joint]).norm(dim=1).min() for joint in joints])
    return ContactPoints(
        points.names + FALL_JOINTS,
        torch.cat([points.segment, torch.tensor(joints, device=points.segment.device)]),
        torch.cat([points.offset, points.offset.new_zeros(len(joints), 3)]),
        torch.cat([points.radius, radius.to(points.radius)]),
    )
