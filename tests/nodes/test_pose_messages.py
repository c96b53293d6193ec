"""Poses with forces as messages and markers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

pytest.importorskip("rclpy", reason="needs ROS 2")
from std_msgs.msg import Header
from visualization_msgs.msg import Marker

from diffmocap.lifting.tracking.track import TrackedPoses
from diffmocap.nodes.pose.pose_markers import FORCE_LENGTH, pose_markers
from diffmocap.nodes.pose.pose_messages import body_pose_message, joint_state_message
from diffmocap.pipeline.result import Outcome, PoseResult
from diffmocap.types import BodyPhysics, BodyState, PoseHypotheses

HEADER = Header(frame_id="camera_optical_frame")
UP = torch.tensor([0.0, -0.8, -0.6])


def pose(physics: BodyPhysics | None = None, **fields) -> BodyState:
    return BodyState(
        torch.eye(3).repeat(24, 1, 1), torch.tensor([0.0, 0.0, 3.0]), torch.eye(3).repeat(24, 1, 1), torch.eye(3),
        torch.zeros(24, 3), physics=physics, **fields,
    )  # fmt: skip


def result(state: BodyState, efforts: np.ndarray | None = None) -> PoseResult:
    tracked = TrackedPoses(
        PoseHypotheses(state.rotations[None], state.pelvis[None], torch.zeros(1)), torch.ones(1), followed=0
    )
    zeros = np.zeros(69)
    return PoseResult(Outcome.TRACKED, 0, {}, state, tracked, zeros, zeros, efforts)


@pytest.fixture
def standing() -> BodyState:
    physics = BodyPhysics(
        torch.zeros(69), torch.zeros(24, 3), torch.zeros(3), torch.zeros(69),
        contact_points=torch.tensor([[0.1, 1.0, 3.0], [-0.1, 1.0, 3.0]]),
        contact_forces=torch.stack([300 * UP, 400 * UP]), ground_up=UP, ground_height=-1.2, ground_source="given",
        iterations=2,
    )  # fmt: skip
    return pose(physics, contacts=("left_heel", "right_toe"), loss_before=9.0, loss_after=3.0)


def test_efforts_and_forces_are_told(standing):
    efforts = np.linspace(-5, 5, 69)
    assert np.allclose(joint_state_message(result(standing, efforts), HEADER).effort, efforts)
    message = body_pose_message(result(standing, efforts), HEADER, 1.7)
    assert message.contacts == ["left_heel", "right_toe"] and (message.loss_before, message.loss_after) == (9.0, 3.0)
    forces = np.array([[f.x, f.y, f.z] for f in message.contact_forces])
    points = np.array([[p.x, p.y, p.z] for p in message.contact_points])
    assert np.allclose(forces, standing.physics.contact_forces, atol=1e-4)
    assert np.allclose(points, standing.physics.contact_points)


def test_without_physics_there_are_none():
    state = pose()
    assert len(joint_state_message(result(state), HEADER).effort) == 0
    message = body_pose_message(result(state), HEADER, 1.7)
    assert not message.contacts and not message.contact_points and not message.contact_forces
    assert np.isnan(message.loss_before) and np.isnan(message.loss_after)


def test_arrows_stand_where_the_ground_pushes(standing):
    def arrows(state):
        markers = pose_markers(state, torch.zeros(1, 24, 3), torch.ones(1), HEADER, "map").markers
        return [m for m in markers if m.ns == "contact_forces"]

    drawn = [m for m in arrows(standing) if m.action == Marker.ADD]
    assert len(drawn) == 2 and drawn[0].header.frame_id == "camera_optical_frame"
    start, end = (np.array([p.x, p.y, p.z]) for p in drawn[1].points)
    assert np.allclose(start, [-0.1, 1.0, 3.0]) and np.allclose(end - start, 400 * FORCE_LENGTH * UP, atol=1e-6)
    gone = arrows(pose())
    assert {m.id for m in gone} == {m.id for m in arrows(standing)} and all(m.action == Marker.DELETE for m in gone)


def test_the_floor_is_drawn_where_it_was_found(standing):
    def floor(state):
        markers = pose_markers(state, torch.zeros(1, 24, 3), torch.ones(1), HEADER, "map").markers
        return next(m for m in markers if m.ns == "ground")

    assert floor(pose()).header.frame_id == "map"
    marker = floor(standing)
    assert marker.header.frame_id == "camera_optical_frame"
    q, p = marker.pose.orientation, marker.pose.position
    z = np.array([2 * (q.x * q.z + q.y * q.w), 2 * (q.y * q.z - q.x * q.w), 1 - 2 * (q.x**2 + q.y**2)])
    assert np.allclose(z, UP, atol=1e-6), "its upper side shows against gravity"
    top = np.array([p.x, p.y, p.z]) + 0.5 * marker.scale.z * z
    assert top @ UP.double().numpy() == pytest.approx(-1.2) and p.z > 1.0, "before the camera"
