"""A robot driven by torques keeps up with commands inside its limits; without strength it falls, and that is said."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest


@pytest.fixture(scope="module")
def commands(small, frames):
    """Two seconds of waving."""
    from diffmocap.robots.retargeting import Retargeter

    retargeter = Retargeter(small)
    return [retargeter.follow(frame, 1 / 30) for frame in frames[280:340]]


def test_joints_keep_up_with_their_commands(small, commands) -> None:
    from diffmocap.robots.simulation import drive

    before = small.model.opt.timestep, small.model.dof_armature.copy()
    driven = list(drive(small, commands, 30.0))
    assert len(driven) == len(commands) and not driven[-1].fallen
    assert np.percentile(np.abs([frame.error for frame in driven]), 95) < 0.1
    assert np.ptp([frame.configuration[7:] for frame in driven], axis=0).max() > 0.5, "it moved"
    assert small.model.opt.timestep == before[0], "the model of the retargeter stays as it was"
    np.testing.assert_array_equal(small.model.dof_armature, before[1])


def test_links_weigh_what_their_shapes_do(small) -> None:
    assert small.model.body_mass.sum() > 30.0 and small.model.body("pelvis").mass == pytest.approx(6.0)


def test_the_support_holds_the_pelvis_against_what_the_limbs_do(small, commands) -> None:
    from scipy.spatial.transform import Rotation

    from diffmocap.robots.simulation import drive

    driven = list(drive(small, commands, 30.0))
    held = Rotation.from_quat([np.roll(frame.configuration[3:7], -1) for frame in driven])
    wanted = Rotation.from_quat([command.base_rotation for command in commands])
    assert (held * wanted.inv()).magnitude().max() < 0.25
    off = [frame.configuration[:3] - command.base_position for frame, command in zip(driven, commands, strict=True)]
    assert np.linalg.norm(off, axis=1).max() < 0.1


def test_motors_without_strength_do_not_keep_up(small, commands) -> None:
    from diffmocap.robots.simulation import drive

    weak = replace(small, effort=np.full(len(small.joint_names), 0.01))
    driven = list(drive(weak, commands, 30.0))
    assert np.percentile(np.abs([frame.error for frame in driven]), 95) > 0.2
    assert driven[-1].saturated.any()
