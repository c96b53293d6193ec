"""What retarget_node makes of messages, and of commands: without a graph."""

from __future__ import annotations

import math

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2: run `make test`, or source a ROS 2 install")

from builtin_interfaces.msg import Time  # noqa: E402
from diffmocap_msgs.msg import BodyPose  # noqa: E402
from geometry_msgs.msg import Point, Quaternion, TransformStamped  # noqa: E402
from scipy.interpolate import CubicHermiteSpline  # noqa: E402
from scipy.spatial.transform import Rotation  # noqa: E402
from sensor_msgs.msg import Joy  # noqa: E402
from tf2_msgs.msg import TFMessage  # noqa: E402

from diffmocap.errors import RobotError  # noqa: E402
from diffmocap.nodes.retarget import command_messages  # noqa: E402
from diffmocap.nodes.retarget.command_messages import SteadyStamps, base_pose, joint_trajectory  # noqa: E402
from diffmocap.nodes.retarget.joystick import Joystick  # noqa: E402
from diffmocap.nodes.retarget.person_reading import PersonReader  # noqa: E402
from diffmocap.output.tracking_state import TrackEvent, TrackingState  # noqa: E402
from diffmocap.robots.frames import RobotCommand  # noqa: E402
from tests.robots.standing_person import Person  # noqa: E402

PERSON = Person()
OPTICAL_FROM_LEVEL = np.array([[0.0, -1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]])


def message(optical_from_world: np.ndarray = OPTICAL_FROM_LEVEL, **fields) -> BodyPose:
    """Somebody who stands, as `body_pose` of a camera."""
    local, frame = PERSON.local({}), PERSON.frame({}, yaw=math.pi)
    local[0] = optical_from_world @ frame.rotations[0]
    joints = frame.positions @ optical_from_world.T + [0.0, 1.0, 3.0]
    made = BodyPose(
        tracking_state=BodyPose.TRACKED, track_id=4, height=PERSON.height, contacts=["left_heel", "left_toe"],
        rotations=[Quaternion(x=x, y=y, z=z, w=w) for x, y, z, w in Rotation.from_matrix(local).as_quat().tolist()],
        joint_positions=[Point(x=x, y=y, z=z) for x, y, z in joints.tolist()],
    )  # fmt: skip
    made.header.frame_id = "camera_optical_frame"
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def placed(rotation: np.ndarray, height: float) -> TFMessage:
    """map -> camera_optical_frame."""
    transform = TransformStamped(child_frame_id="camera_optical_frame")
    transform.header.frame_id = "map"
    q, r = transform.transform.rotation, Rotation.from_matrix(rotation).as_quat().tolist()
    q.x, q.y, q.z, q.w = r
    transform.transform.translation.z = height
    return TFMessage(transforms=[transform])


def up(sighting) -> np.ndarray:
    """The pelvis' upward axis."""
    return sighting.frame.rotations[0][:, 1]


def test_a_camera_that_nothing_places_is_level() -> None:
    reader = PersonReader("map")
    sighting = reader.sighting(message(events=BodyPose.EVENT_SWITCHED), 0.1)
    assert not reader.placed and not reader.moved
    assert np.allclose(up(sighting), [0, 0, 1], atol=1e-6)
    assert sighting.state is TrackingState.TRACKED and sighting.track_id == 4 and sighting.age_s == 0.1
    assert sighting.events is TrackEvent.SWITCHED
    assert sighting.frame.contacts.tolist() == [True, False]
    assert np.allclose(sighting.frame.positions[0], [3.0, 0.0, PERSON.pelvis_m - 1.0], atol=1e-6)


def test_static_frames_stand_the_person_up_and_a_camera_that_was_moved_is_told() -> None:
    pitched = Rotation.from_euler("y", 0.4).as_matrix() @ OPTICAL_FROM_LEVEL.T  # looks down
    reader = PersonReader("map")
    assert not np.allclose(up(reader.sighting(message(pitched.T), 0.0)), [0, 0, 1], atol=0.1)
    reader.frames.receive(placed(pitched, 1.5))
    sighting = reader.sighting(message(pitched.T), 0.0)
    assert reader.placed and reader.moved and np.allclose(up(sighting), [0, 0, 1], atol=1e-6)
    reader.sighting(message(pitched.T), 0.0)
    assert not reader.moved, "told once"
    reader.frames.receive(placed(pitched, 1.5))
    reader.sighting(message(pitched.T), 0.0)
    assert not reader.moved, "the same again"


@pytest.mark.parametrize(
    "fields, words",
    [
        ({"tracking_state": 9}, "tracking state 9"),
        ({"rotations": [Quaternion(w=0.3)] * 24}, "length 1"),
        ({"rotations": [Quaternion(w=math.nan)] * 24}, "length 1"),
        ({"joint_positions": [Point(x=math.inf)] * 24}, "not finite"),
        ({"height": math.nan}, "person of nan m"),
    ],
)
def test_what_is_no_pose_is_named(fields, words) -> None:
    with pytest.raises(RobotError, match=words):
        PersonReader("map").sighting(message(**fields), 0.0)


def test_a_state_without_a_pose_has_none() -> None:
    nothing = message(tracking_state=BodyPose.LOST, rotations=[Quaternion(w=math.nan)] * 24)
    assert PersonReader("map").sighting(nothing, 0.0).frame is None


class Told:
    """Diagnostics that remember."""

    def __init__(self) -> None:
        self.problems: dict[str, str] = {}

    def problem(self, name: str, text: str, level: int) -> None:
        self.problems[name] = text


def test_the_joysticks_buttons() -> None:
    told, held, stops = Told(), [], []
    joystick = Joystick(told, held.append, lambda: stops.append(1))
    for buttons in ([0, 0, 0, 0, 0], [0, 0, 0, 0, 1], [0, 1, 0, 0, 1], [0, 1, 0, 0, 0], [0, 0, 0, 0, 0]):
        joystick.receive(Joy(buttons=buttons), 4, 1)
    assert held == [False, True, True, False, False] and len(stops) == 1 and not told.problems
    joystick.receive(Joy(buttons=[1, 1]), 4, 1)
    assert held[-1] is False and len(stops) == 2 and "has 2 buttons and none 4" in told.problems["joystick"]
    joystick.receive(Joy(buttons=[1, 1]), -1, -1)
    assert len(held) == 6 and len(stops) == 2


def command(velocity: float) -> RobotCommand:
    still = np.zeros(2)
    return RobotCommand(("a", "b"), np.array([0.5, -0.5]), np.array([velocity, 0.0]), still, np.ones(3), np.eye(4)[3])


def test_a_trajectory_ends_at_rest() -> None:
    limits = np.array([10.0, 10.0]), np.array([-1.0, -1.0]), np.array([1.0, 1.0])
    moving = joint_trajectory(command(2.0), 0.01, *limits)
    assert not moving.header.stamp.sec and [p.velocities[0] for p in moving.points] == [2.0, 0.0]
    times = [p.time_from_start.sec + 1e-9 * p.time_from_start.nanosec for p in moving.points]
    assert times == pytest.approx([0.015, 0.215]) and moving.points[-1].positions[0] == pytest.approx(0.7)
    resting = joint_trajectory(command(1e-7), 0.01, *limits)
    assert len(resting.points) == 1 and not any(resting.points[0].velocities)
    pose = base_pose(command(0.0), Time(sec=3), "stage")
    assert pose.header.frame_id == "stage" and pose.pose.orientation.w == 1.0


def command_times(g: np.random.Generator, poses: int) -> np.ndarray:
    """Of 30 poses a second, each of them answered at once, and 100 commands a second after it, up to 3 ms late."""
    times = []
    for pose in range(poses):
        now_s = pose / 30 + g.uniform(0.0, 0.003)
        while now_s < (pose + 1) / 30:
            times.append(now_s)
            now_s += 0.01 + g.uniform(0.0, 0.003)
    return np.array(times)


def test_a_controller_that_plays_the_trajectories_moves_as_the_commands_do() -> None:
    """Each trajectory replaces the one before, from where that has led: cubic pieces, as joint_trajectory_controller
    plays them. The robot is late by the same time always, and as fast as it was told."""
    times = command_times(np.random.default_rng(0), poses=15)
    way, speed, still = (lambda t: 1.2 * np.sin(4.0 * t)), (lambda t: 4.8 * np.cos(4.0 * t)), np.zeros(1)
    velocities = np.concatenate([[speed(0.0)], np.diff(way(times)) / np.diff(times)])
    state, played = (way(times[0]), 0.0), []
    for now_s, next_s, velocity in zip(times[:-1], times[1:], velocities[:-1], strict=True):
        made = RobotCommand(("a",), np.array([way(now_s)]), np.array([velocity]), still, np.ones(3), np.eye(4)[3])
        points = joint_trajectory(made, 0.01, np.array([80.0]), np.array([-2.0]), np.array([2.0])).points
        reached = [0.0, *(p.time_from_start.sec + 1e-9 * p.time_from_start.nanosec for p in points)]
        piece = CubicHermiteSpline(
            reached, [state[0], *(p.positions[0] for p in points)], [state[1], *(p.velocities[0] for p in points)]
        )
        after = next_s - now_s
        state = float(piece(after)), float(piece(after, 1))
        played += [(now_s + t, float(piece(t)), float(piece(t, 1))) for t in np.arange(0.0, after, 1e-3)]
    t, place, rate = np.array(played)[100:].T
    late_s = reached[1]
    np.testing.assert_allclose(place, way(t - late_s), atol=2e-3)
    np.testing.assert_allclose(rate, speed(t - late_s), atol=0.15)


def test_stamps_go_by_the_clock_of_the_commands(monkeypatch) -> None:
    steady_s, ahead_ns = 50.0, 10**18
    monkeypatch.setattr(command_messages.time, "monotonic_ns", lambda: round(steady_s * 1e9))
    stamps = SteadyStamps(lambda: round(steady_s * 1e9) + ahead_ns)

    def at(seconds: float) -> int:
        stamp = stamps.at(seconds)
        return stamp.sec * 10**9 + stamp.nanosec - 10**18 - round(seconds * 1e9)

    assert at(50.0) == 0
    ahead_ns += 4_000_000  # the two clocks are read a moment apart
    assert at(50.01) == 0
    ahead_ns += 10**9
    assert [at(50.0 + 0.01 * n) for n in range(2, 6)] == [0, 0, 1_004_000_000, 1_004_000_000]
