"""What the graph knows of gravity and floor, from parameters and from static transforms."""

from __future__ import annotations

import math

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")
from geometry_msgs.msg import Quaternion, Transform, TransformStamped, Vector3
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage

from diffmocap.graph import description
from diffmocap.nodes.pose.ground_frame import GroundFrame, StaticFrames
from diffmocap.refinement.stream.known_ground import KnownGround

VALUES = {
    "ground_from": "auto", "camera_height": 0.0, "camera_pitch": 0.0, "camera_roll": 0.0,
    "ground_frame": "map", "ground_height_from_tf": False,
}  # fmt: skip
OPTICAL = "camera_optical_frame"


def launched(height: float, pitch: float, roll: float = 0.0) -> list[TFMessage]:
    """The static transforms of our launch files, one message for each, as their publishers send them."""
    graph = description.webcam().resolve({"camera_height": height, "camera_pitch": pitch, "camera_roll": roll})
    return [
        TFMessage(transforms=[
            TransformStamped(
                header=Header(frame_id=t.parent), child_frame_id=t.child,
                transform=Transform(
                    translation=Vector3(**dict(zip("xyz", map(float, t.xyz)))),
                    rotation=Quaternion(**dict(zip("xyzw", t.quaternion()))),
                ),
            )
        ])
        for t in graph.static_transforms
    ]  # fmt: skip


@pytest.fixture
def ground() -> GroundFrame:
    made = GroundFrame()
    for message in launched(1.4, 0.3):
        made.frames.receive(message)
    return made


@pytest.mark.parametrize("roll", [0.0, 0.4, -0.4, math.pi / 2, -2.0, math.pi])
def test_transforms_say_what_height_and_angles_say(roll):
    """Those that the launch files publish, as a listener of /tf_static puts them together."""
    ground, expected = GroundFrame(), KnownGround.from_camera(1.4, 0.3, roll)
    for message in launched(1.4, 0.3, roll):
        ground.frames.receive(message)
    known = ground.known(VALUES | {"ground_height_from_tf": True}, OPTICAL)
    assert np.allclose(known.up, expected.up, atol=1e-9) and known.height_m == pytest.approx(-1.4)
    assert known.source == "map on /tf_static"


def test_a_height_on_tf_is_believed_only_where_told_so(ground):
    """Launch files publish a height that nobody may have measured."""
    known = ground.known(VALUES | {"ground_from": "tf"}, OPTICAL)
    assert known.height_m is None and known.up == pytest.approx((0.0, -math.cos(0.3), -math.sin(0.3)))


def test_a_direction_on_tf_is_a_guess_unless_said_otherwise(ground):
    """A level camera of a launch file that is really pitched by ten degrees bent the body."""
    assert ground.known(VALUES, OPTICAL) == KnownGround()


def test_parameters_that_are_given_come_first(ground):
    assert ground.known(VALUES | {"camera_height": 2.0}, OPTICAL) == KnownGround.from_camera(2.0, 0.0)
    assert ground.known(VALUES | {"camera_pitch": 0.1}, OPTICAL) == KnownGround.from_camera(None, 0.1)
    assert ground.known(VALUES | {"camera_roll": -1.5}, OPTICAL) == KnownGround.from_camera(None, 0.0, -1.5)
    rolled = VALUES | {"camera_height": 2.0, "camera_pitch": 0.1, "camera_roll": 0.2}
    assert ground.known(rolled, OPTICAL) == KnownGround.from_camera(2.0, 0.1, 0.2)
    assert ground.known(rolled | {"camera_roll": 0.3}, OPTICAL) == KnownGround.from_camera(2.0, 0.1, 0.3), "at once"
    assert ground.known(VALUES | {"ground_from": "parameters"}, OPTICAL) == KnownGround.from_camera(None, 0.0)
    given = VALUES | {"camera_height": 2.0}
    assert ground.known(given | {"ground_from": "tf"}, OPTICAL).source == "map on /tf_static"
    assert ground.known(given | {"ground_from": "motion"}, OPTICAL) == KnownGround()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"camera_pitch": "0"}, KnownGround.from_camera(None, 0.0)),
        ({"camera_pitch": 0.0}, KnownGround.from_camera(None, 0.0)),
        ({"camera_pitch": "-0.2"}, KnownGround.from_camera(None, -0.2)),
        ({"camera_pitch": ""}, KnownGround()),
        ({"camera_roll": "0"}, KnownGround.from_camera(None, 0.0)),
        ({"camera_roll": "0.2"}, KnownGround.from_camera(None, 0.0, 0.2)),
        ({"camera_pitch": "0", "camera_roll": "-0.2"}, KnownGround.from_camera(None, 0.0, -0.2)),
        ({"camera_roll": ""}, KnownGround()),
        ({}, KnownGround()),
    ],
)
def test_an_angle_as_an_argument_is_one_even_if_it_is_0(given, expected):
    """Without a height nothing else tells a level camera from one that nobody described."""
    (node,) = (n for n in description.webcam().resolve(given).nodes if n.name == "pose_node")
    values = VALUES | {name: value for name, value in node.parameters.items() if name in VALUES}
    assert GroundFrame().known(values, OPTICAL) == expected


def test_what_is_not_on_tf_is_told_where_it_was_asked_for(ground):
    assert ground.known(VALUES, "elsewhere") == KnownGround() and ground.missing == ""
    assert ground.known(VALUES | {"ground_from": "tf"}, "elsewhere") == KnownGround()
    assert "'map' -> 'elsewhere'" in ground.missing
    ground.known(VALUES | {"ground_from": "tf"}, OPTICAL)
    assert ground.missing == ""


def test_a_transform_that_comes_later_is_taken_over():
    ground = GroundFrame()
    assert ground.known(VALUES | {"ground_from": "tf"}, OPTICAL) == KnownGround()
    for message in launched(1.0, 0.2):
        ground.frames.receive(message)
    assert ground.known(VALUES | {"ground_from": "tf"}, OPTICAL).up == pytest.approx(
        (0.0, -math.cos(0.2), -math.sin(0.2))
    )


def test_frames_that_are_no_tree_hang_nobody():
    frames = StaticFrames()
    loop = TFMessage(transforms=[
        TransformStamped(header=Header(frame_id=a), child_frame_id=b) for a, b in (("a", "b"), ("b", "a"))
    ])  # fmt: skip
    broken = TFMessage(transforms=[TransformStamped(header=Header(frame_id="a"), child_frame_id="c")])
    broken.transforms[0].transform.rotation.w = 0.0
    for message in (loop, broken):
        frames.receive(message)
    assert frames.transform("a", "c") is None
    assert np.allclose(frames.transform("a", "a"), np.eye(4))
