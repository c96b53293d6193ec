"""From a pose to its ROS messages: joint states, body pose, the root's transform."""

from __future__ import annotations

import math
from array import array
from typing import Any

import numpy as np
import torch
from diffmocap_msgs.msg import BodyPose
from geometry_msgs.msg import Point, Pose, Quaternion, Transform, TransformStamped, Twist, Vector3
from sensor_msgs.msg import JointState
from std_msgs.msg import Header

from diffmocap.body.joint_angles import JOINT_ANGLE_NAMES, URDF_FROM_SMPL
from diffmocap.body.rotations import unit_quaternion
from diffmocap.body.skeleton import NUM_JOINTS
from diffmocap.output.tracking_state import TrackingState, TrackStatus
from diffmocap.pipeline.result import PoseResult
from diffmocap.types import BodyState

#: Columns are the URDF's axes (x forward, y left, z up) in the SMPL body frame (x left, y up, z forward).
R_SMPL_URDF = URDF_FROM_SMPL.T
_NO_TWIST, _NO_SHAPE = np.full(6, np.nan), np.full(10, np.nan)
_NO_ROOT_COVARIANCE, _NO_COVARIANCE = np.full(36, np.nan), np.full(9 * NUM_JOINTS, np.nan)


def joint_state_message(result: PoseResult, header: Header) -> JointState:
    """69 joint positions [rad], velocities [rad/s] and efforts [N m]; these are empty where no physics ran."""
    return JointState(
        header=header,
        name=JOINT_ANGLE_NAMES,
        position=array("d", result.joint_angles),
        velocity=array("d", result.joint_velocities),
        effort=array("d", [] if result.efforts is None else result.efforts),
    )


@torch.no_grad()
def body_pose_message(result: PoseResult, header: Header, height_m: float) -> BodyPose:
    """The pose in SMPL's terms, with its uncertainty, contacts and forces, and the track that it belongs to.

    ``height_m``: of the body, which has the mean shape.
    """
    state, points, forces = result.state, [], []
    orientation, *rotations = _quaternions(torch.cat([_root_link(state)[None], state.rotations]))
    if state.physics is not None and state.physics.contact_forces is not None:
        points = [Point(x=x, y=y, z=z) for x, y, z in state.physics.contact_points.tolist()]
        forces = [Vector3(x=x, y=y, z=z) for x, y, z in state.physics.contact_forces.tolist()]
    return BodyPose(
        header=header,
        root_pose=Pose(position=_point(state.pelvis), orientation=orientation),
        root_twist=_twist(result.root_twist),
        root_covariance=_float64(root_covariance(state)),
        rotations=rotations,
        joint_positions=[Point(x=x, y=y, z=z) for x, y, z in state.joint_positions.tolist()],
        rotation_covariance=_float64(state.rotation_covariance),
        observed=[False] * 24 if result.tracked.observed is None else result.tracked.observed.tolist(),
        height=height_m,
        contacts=list(state.contacts),
        contact_points=points,
        contact_forces=forces,
        loss_before=float(state.loss_before),
        loss_after=float(state.loss_after),
        score=float(state.score),
        hypotheses=min(result.tracked.drawn, 255),
        **_track(result.track),
    )


def track_message(track: TrackStatus, header: Header) -> BodyPose:
    """What is known of the track while there is no pose: all that describes one is NaN."""
    nan = math.nan
    point, quaternion = Point(x=nan, y=nan, z=nan), Quaternion(x=nan, y=nan, z=nan, w=nan)
    return BodyPose(
        header=header,
        root_pose=Pose(position=point, orientation=quaternion),
        root_twist=_twist(_NO_TWIST),
        root_covariance=_NO_ROOT_COVARIANCE,
        rotations=[quaternion] * NUM_JOINTS,
        joint_positions=[point] * NUM_JOINTS,
        rotation_covariance=_NO_COVARIANCE,
        height=nan,
        betas=_NO_SHAPE,
        loss_before=nan,
        loss_after=nan,
        score=nan,
        **_track(track),
    )


def _track(track: TrackStatus) -> dict[str, Any]:
    without = track.state not in (TrackingState.TRACKED, TrackingState.PREDICTED)
    return {
        "tracking_state": int(track.state), "events": int(track.events), "track_id": track.track_id,
        "confidence": 0.0 if without else float(track.confidence),
    }  # fmt: skip


def _twist(twist: np.ndarray | None) -> Twist:
    if twist is None:
        return Twist()
    (x, y, z), (a, b, c) = twist[:3].tolist(), twist[3:].tolist()
    return Twist(linear=Vector3(x=x, y=y, z=z), angular=Vector3(x=a, y=b, z=c))


def _root_link(state: BodyState) -> torch.Tensor:
    """[3, 3] the URDF's root link in the optical frame."""
    return state.rotations[0] @ R_SMPL_URDF.to(state.rotations)


def _point(place: torch.Tensor) -> Point:
    x, y, z = place.tolist()
    return Point(x=x, y=y, z=z)


def root_covariance(state: BodyState) -> torch.Tensor:
    """[6, 6] of ``root_pose`` in the optical frame's axes: x, y, z [m^2], turns about them [rad^2]."""
    R = state.rotations[0]
    return torch.block_diag(state.pelvis_covariance, R @ state.rotation_covariance[0] @ R.mT)


def root_transform(pose: Pose, header: Header, child: str) -> TransformStamped:
    """``T_optical_root`` for /tf, with the root's full frame name ``child``."""
    translation = Vector3(x=pose.position.x, y=pose.position.y, z=pose.position.z)
    transform = Transform(translation=translation, rotation=pose.orientation)
    return TransformStamped(header=header, child_frame_id=child, transform=transform)


def _quaternions(rotations: torch.Tensor) -> list[Quaternion]:
    """One message for each of [N, 3, 3]."""
    return [Quaternion(x=x, y=y, z=z, w=w) for x, y, z, w in unit_quaternion(rotations.double()).tolist()]


def _float64(values: torch.Tensor) -> np.ndarray:
    return values.double().flatten().numpy()
