"""States of a track, its number and its events; which joints are observed; calibrations that are none."""

from __future__ import annotations

import numpy as np
import pytest

from diffmocap.body.skeleton import JOINT_NAMES, KEYPOINT_NAMES
from diffmocap.output.camera_check import absurd_calibration
from diffmocap.output.observed import observed_joints
from diffmocap.output.tracking_state import TrackEvent, TrackingMachine, TrackingState
from diffmocap.types import CameraIntrinsics

S, E = TrackingState, TrackEvent


def test_a_track_from_its_first_pose_to_its_loss():
    machine = TrackingMachine()
    assert machine.nothing(0.1, candidate=False).state is S.SEARCHING
    assert machine.nothing(0.6, candidate=True).state is S.TENTATIVE
    first = machine.pose(0.9, begins=True, restarted=False)
    assert (first.state, first.track_id, first.events, first.confidence) == (S.TRACKED, 1, E.STARTED, 0.9)
    machine.happened(E.SIDES)
    waiting = machine.nothing(0.8, candidate=False)
    assert (waiting.state, waiting.track_id, waiting.events) == (S.TRACKED, 1, E.NONE)
    assert machine.pose(0.9, False, False).events == E.SIDES, "an event is told with the next pose"
    assert machine.pose(0.9, False, False).events == E.NONE, "and once"
    assert (machine.lose().state, machine.lose().state) == (S.LOST, S.SEARCHING), "once"
    machine.happened(E.SWITCHED)
    again = machine.pose(0.9, begins=True, restarted=False)
    assert (again.track_id, again.events) == (2, E.STARTED)
    switched = machine.pose(0.9, begins=True, restarted=True)
    assert (switched.track_id, switched.events) == (3, E.STARTED | E.RESTARTED)


def test_joints_are_observed_where_keypoints_say_where_they_are():
    everything = observed_joints(np.ones(25, np.float32))
    assert everything.all() and everything.shape == (24,)
    assert not observed_joints(np.zeros(25, np.float32)).any()

    def shown(*hidden: str) -> set[str]:
        confidence = np.array([name not in hidden for name in KEYPOINT_NAMES], np.float32)
        return set(JOINT_NAMES) - {JOINT_NAMES[j] for j in np.flatnonzero(observed_joints(confidence))}

    assert shown("RWrist") == {"right_wrist", "right_hand"}
    assert shown("LBigToe") == set() and shown("LBigToe", "LSmallToe") == {"left_foot"}
    assert shown("Neck") == set() and shown("Nose", "REar", "LEar") == {"head"}
    legs = [name for name in KEYPOINT_NAMES if name.endswith(("Hip", "Knee", "Ankle", "Toe", "Heel"))]
    assert {"pelvis", "spine1", "left_knee", "right_foot"} <= shown(*legs)
    assert {"head", "neck", "left_collar", "left_elbow"} & shown(*legs) == set()


@pytest.mark.parametrize(
    "change, said",
    [({}, ""), ({"fx": 90.0, "fy": 90.0}, ""), ({"fx": 20.0, "fy": 20.0}, "field of view"),
     ({"fx": 1e6, "fy": 1e6}, "field of view"), ({"fx": 600.0, "fy": 200.0}, "square"),
     ({"cx": 5000.0}, "cx 5000 of 640"), ({"cy": -400.0}, "cy -400 of 480"),
     ({"distortion": (-0.35, 0.13, 0.0, 0.0)}, ""),
     ({"distortion": (1e6, 0.0, 0.0, 0.0)}, "99 % of the image shows nothing"),
     ({"distortion": (0.02, 0.0, 0.0, 0.0), "fisheye": True, "fx": 166.0, "fy": 166.0}, "")],
)  # fmt: skip
def test_calibrations_that_no_camera_has_are_told(change, said):
    values = {"width": 640, "height": 480, "fx": 500.0, "fy": 500.0, "cx": 320.0, "cy": 240.0}
    text = absurd_calibration(CameraIntrinsics(**values | change))
    assert (said in text) if said else text == ""
