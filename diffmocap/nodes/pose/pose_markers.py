"""What RViz shows of a pose beside the robot model: skeleton, other hypotheses, contact forces, ground."""

from __future__ import annotations

import roma
import torch
from builtin_interfaces.msg import Duration
from geometry_msgs.msg import Point, Quaternion, Vector3
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from diffmocap.body.skeleton import JOINT_NAMES, PARENTS
from diffmocap.types import BodyPhysics, BodyState

#: A person who left disappears after this time.
LIFETIME = Duration(sec=0, nanosec=500_000_000)
LEFT, RIGHT, MIDDLE = (
    ColorRGBA(r=0.2, g=0.6, b=1.0, a=1.0),
    ColorRGBA(r=1.0, g=0.5, b=0.2, a=1.0),
    ColorRGBA(r=0.9, g=0.9, b=0.9, a=1.0),
)
GHOST = ColorRGBA(r=0.7, g=0.7, b=0.9, a=1.0)
#: Opacity of the likeliest hypothesis, and of one that is ruled out.
GHOST_OPACITY = (0.4, 0.08)
GROUND = ColorRGBA(r=0.35, g=0.38, b=0.4, a=0.6)
GROUND_SIZE_M = 6.0
FORCE = ColorRGBA(r=0.95, g=0.25, b=0.3, a=1.0)
#: Length of a force's arrow [m/N]: a person's weight is most of a metre.
FORCE_LENGTH = 1e-3
#: Arrows that may stand from before: one for each contact point of the body.
MOST_FORCES = 12

_BONES = [(joint, parent) for joint, parent in enumerate(PARENTS) if parent >= 0]


def pose_markers(
    state: BodyState, ghosts: torch.Tensor, weights: torch.Tensor, header: Header, ground_frame: str
) -> MarkerArray:
    """All markers of one pose.

    Args:
        state: in ``header.frame_id``.
        ghosts: [K, 24, 3] m joints of the hypotheses; drawn where there are several.
        weights: [K] of the hypotheses; the likelier, the less transparent.
        ground_frame: gravity-aligned frame whose plane z = 0 is drawn as the floor until the physics knows where it
            is; empty draws none.
    """
    joints, physics = state.joint_positions, state.physics
    markers = [_skeleton(joints, header), _joints(joints, header), _ghosts(ghosts, weights, header)]
    markers += _forces(physics, header)
    if ground_frame:
        known = physics is not None and physics.ground_up is not None
        markers.append(_found_ground(physics, header) if known else _ground(ground_frame))
    return MarkerArray(markers=markers)


def _skeleton(joints: torch.Tensor, header: Header) -> Marker:
    points = _points(joints)
    marker = _marker(header, "skeleton", Marker.LINE_LIST, Vector3(x=0.025))
    marker.points = [points[j] for bone in _BONES for j in bone]
    marker.colors = [_side(joint) for joint, _ in _BONES for _ in range(2)]
    return marker


def _joints(joints: torch.Tensor, header: Header) -> Marker:
    marker = _marker(header, "joints", Marker.SPHERE_LIST, Vector3(x=0.05, y=0.05, z=0.05))
    marker.points = _points(joints)
    marker.colors = [_side(joint) for joint in range(len(JOINT_NAMES))]
    return marker


def _ghosts(ghosts: torch.Tensor, weights: torch.Tensor, header: Header) -> Marker:
    marker = _marker(header, "hypotheses", Marker.LINE_LIST, Vector3(x=0.012))
    if len(ghosts) < 2:
        marker.action = Marker.DELETE
        return marker
    likely, unlikely = GHOST_OPACITY
    opacity = unlikely + (likely - unlikely) * weights / weights.max()
    for joints, a in zip(ghosts, opacity.tolist()):
        points = _points(joints)
        marker.points += [points[j] for bone in _BONES for j in bone]
        marker.colors += [ColorRGBA(r=GHOST.r, g=GHOST.g, b=GHOST.b, a=a)] * (2 * len(_BONES))
    return marker


def _forces(physics: BodyPhysics | None, header: Header) -> list[Marker]:
    """An arrow for each contact, from where the ground pushes, as long as the force is strong."""
    markers = [_marker(header, "contact_forces", Marker.ARROW, Vector3(x=0.02, y=0.04)) for _ in range(MOST_FORCES)]
    known = physics is not None and physics.contact_forces is not None
    ends = []
    if known:
        ends = zip(physics.contact_points, physics.contact_points + FORCE_LENGTH * physics.contact_forces)
    for marker, end in zip(markers, ends):
        marker.points, marker.color = _points(torch.stack(end)), FORCE
    for i, marker in enumerate(markers):
        marker.id = i
        marker.action = Marker.ADD if marker.points else Marker.DELETE
    return markers


def _ground(frame: str) -> Marker:
    # Stamp zero is "the latest transform": the floor does not move with the camera's clock.
    marker = _floor(Header(frame_id=frame))
    marker.pose.position.x = 0.5 * GROUND_SIZE_M  # before the camera
    marker.pose.position.z = -0.5 * marker.scale.z
    return marker


def _found_ground(physics: BodyPhysics, header: Header) -> Marker:
    """Where the physics has it, in the optical frame."""
    marker = _floor(header)
    up = physics.ground_up.double()
    # Ahead is where the camera looks or, where that is straight down, where its upper side points.
    view = torch.tensor([[0.0, 0.0, 1.0], [0.0, -1.0, 0.0]], dtype=torch.float64)
    level = view - (view @ up)[:, None] * up
    ahead = torch.nn.functional.normalize(level[level.norm(dim=1).argmax()], dim=0)
    axes = torch.stack([ahead, torch.linalg.cross(up, ahead), up], 1)
    position = (physics.ground_height - 0.5 * marker.scale.z) * up + 0.5 * GROUND_SIZE_M * ahead
    marker.pose.position = _points(position[None])[0]
    x, y, z, w = roma.rotmat_to_unitquat(axes).tolist()
    marker.pose.orientation = Quaternion(x=x, y=y, z=z, w=w)
    return marker


def _floor(header: Header) -> Marker:
    marker = _marker(header, "ground", Marker.CUBE, Vector3(x=GROUND_SIZE_M, y=GROUND_SIZE_M, z=0.01))
    marker.color = GROUND
    marker.lifetime = Duration()
    return marker


def _marker(header: Header, namespace: str, kind: int, scale: Vector3) -> Marker:
    marker = Marker(header=header, ns=namespace, id=0, type=kind, action=Marker.ADD, scale=scale, lifetime=LIFETIME)
    marker.pose.orientation.w = 1.0
    return marker


def _side(joint: int) -> ColorRGBA:
    name = JOINT_NAMES[joint]
    return LEFT if name.startswith("left_") else RIGHT if name.startswith("right_") else MIDDLE


def _points(joints: torch.Tensor) -> list[Point]:
    return [Point(x=x, y=y, z=z) for x, y, z in joints.tolist()]
