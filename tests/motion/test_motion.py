"""A motion refuses what it cannot be, and its frames agree with each other."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from diffmocap.body.model import BodyModel
from diffmocap.body.motion_files import MOTION_FRAMES
from diffmocap.errors import MotionFileError
from diffmocap.motion.dynamics import MotionDynamics
from tests.motion.motions import lively_motion, with_everything

BODY = BodyModel.load()


@pytest.mark.parametrize("change, words", [
    ({"rotations": torch.zeros(20, 23, 3, 3)}, r"rotations is \[20, 23, 3, 3\]; expected \[20, 24, 3, 3\]"),
    ({"rotations": torch.zeros(0, 24, 3, 3)}, r"expected \[T, 24, 3, 3\] with T >= 1"),
    ({"pelvis": torch.zeros(19, 3)}, r"pelvis is \[19, 3\]; expected \[20, 3\]"),
    ({"pelvis": torch.full((20, 3), torch.nan)}, "pelvis holds values that are not finite"),
    ({"betas": torch.zeros(16)}, r"betas is \[16\]; expected \[10\]"),
    ({"keypoints": torch.zeros(20, 25, 2)}, r"keypoints is \[20, 25, 2\]"),
    ({"tracked": torch.zeros(21, dtype=torch.bool)}, r"tracked is \[21\]"),
    ({"contacts": torch.zeros(21, 8, dtype=torch.bool)}, r"contacts is \[21, 8\]"),
    ({"K": torch.eye(4)}, r"K is \[4, 4\]; expected \[3, 3\]"),
    ({"dynamics": MotionDynamics.none(21, 8)}, "20 frames with a simulation of 21"),
    ({"frame": "z_up"}, "'z_up' is unknown; expected one of"),
    ({"fps": 0.0}, "0.0 frames a second"),
])  # fmt: skip
def test_what_is_no_motion_is_refused(change, words) -> None:
    with pytest.raises(MotionFileError, match=words):
        replace(with_everything(lively_motion()), **change)


@pytest.mark.parametrize("frame", MOTION_FRAMES)
def test_joints_turn_with_the_frame_and_come_back_exactly(frame) -> None:
    motion = lively_motion(frame="world")
    other = motion.in_frame(frame)
    turn = torch.tensor(MOTION_FRAMES[frame]).T @ torch.tensor(MOTION_FRAMES["world"])
    torch.testing.assert_close(other.joints(BODY), motion.joints(BODY) @ turn.T, atol=2e-6, rtol=0)
    back = other.in_frame("world")
    assert torch.equal(back.rotations, motion.rotations) and torch.equal(back.pelvis, motion.pelvis)


def test_torques_and_forces_turn_with_the_frame_and_points_stay_on_the_body() -> None:
    motion = with_everything(lively_motion(frame="world"))
    upright, own = motion.in_frame("y_up"), motion.dynamics.simulated
    for name in ("torques", "contact_forces", "contact_points"):
        assert torch.equal(getattr(upright.dynamics, name)[..., 1], getattr(motion.dynamics, name)[..., 2]), name
    away = [(m.dynamics.contact_points - m.pelvis[:, None]).norm(dim=-1)[own] for m in (motion, upright)]
    torch.testing.assert_close(*away)
    lifted = motion.dynamics.moved(torch.eye(3), torch.tensor([0.0, 0.0, 1.0])).contact_points
    assert float(lifted[~own].abs().max()) == 0.0  # what is not simulated stays zero
    torch.testing.assert_close(lifted[own][..., 2], motion.dynamics.contact_points[own][..., 2] + 1.0)


@pytest.mark.parametrize("change, words", [
    ({"torques": torch.zeros(20, 23, 3)}, r"torques is \[20, 23, 3\]; expected \[20, 24, 3\]"),
    ({"contact_points": torch.zeros(20, 7, 3)}, r"contact_points is \[20, 7, 3\]; expected \[20, 8, 3\]"),
    ({"contact_forces": torch.full((20, 8, 3), torch.inf)}, "contact_forces holds values that are not finite"),
])  # fmt: skip
def test_what_is_no_simulation_is_refused(change, words) -> None:
    with pytest.raises(MotionFileError, match=words):
        replace(with_everything(lively_motion()).dynamics, **change)


def test_up_is_where_each_frame_says() -> None:
    motion = lively_motion(frame="world")
    height = motion.pelvis[:, 2]
    assert torch.equal(motion.in_frame("y_up").pelvis[:, 1], height)
    assert torch.equal(motion.in_frame("optical").pelvis[:, 1], -height)


def test_the_duration_is_that_between_the_first_frame_and_the_last() -> None:
    assert lively_motion(31, 30.0).duration_s == pytest.approx(1.0)
