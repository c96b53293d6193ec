"""Pictures of lifted and refined motion show the poses that were found, and arrows where forces are."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks.refinement.refinement_pictures import FORCE_BGR, UNEXPLAINED_BGR, Strip, motions_of, posed_body
from diffmocap.body.joint_angles import angle_trajectory
from diffmocap.body.mocap import load_split, retarget
from diffmocap.cli.drawing.render import BodyRenderer
from diffmocap.physics.ground import STANDARD_GRAVITY
from training.motions.lifted_windows import MotionLifter


@pytest.fixture(scope="module")
def pair(mocap_dir):
    lifter = MotionLifter(hypotheses=1, steps=1)
    clip = next(c for c in load_split(mocap_dir / "cmu_smpl30_val.npz") if c.name == "39_01")
    return motions_of(retarget(clip, lifter.body).frames(0, 12), 1.2, lifter, rounds=(8,)), lifter


def test_both_motions_are_drawn_with_the_ground_s_forces(pair) -> None:
    (lifted, refined, height), lifter = pair
    assert refined.motion.dynamics.contacts.residual.force.norm() < 0.5 * (
        lifted.motion.dynamics.contacts.residual.force.norm()
    )
    with BodyRenderer() as renderer:
        strip = Strip(renderer, height, float(lifter.points.total_mass) * STANDARD_GRAVITY)
        rows = [strip.row(drawn, [3, 8]) for drawn in (lifted, refined)]
        angles = angle_trajectory(refined.motion.rotations[0].double()).numpy()
        renderer.pose(posed_body(refined.motion, angles[8], 8))
        np.testing.assert_allclose(renderer.joint_positions_m(), refined.joints[8], atol=5e-3)
    assert rows[0].shape == rows[1].shape and rows[0].dtype == np.uint8
    pushed, missing = ((rows[1] == colour).all(-1).sum() for colour in (FORCE_BGR, UNEXPLAINED_BGR))
    unexplained = (rows[0] == UNEXPLAINED_BGR).all(-1).sum()
    assert pushed > 50 and missing < unexplained, (pushed, missing, unexplained)
    assert torch.isfinite(refined.motion.rotations).all()
