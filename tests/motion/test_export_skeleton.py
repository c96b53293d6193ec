"""What exporters share: names, options, presets, the motion on the floor, and the skeleton in the file's axes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from diffmocap.body.model import BodyModel
from diffmocap.body.skeleton import JOINT_MIRROR, PARENTS
from diffmocap.errors import SettingsError
from diffmocap.motion.export.animated_skeleton import animated_skeleton, file_axes, skin_of
from diffmocap.motion.export.formats import FORMATS, options_for
from diffmocap.motion.export.joint_names import SKELETONS, joint_names
from diffmocap.motion.export.options import PRESETS, UNITS, ExportOptions
from diffmocap.motion.export.prepare import prepared
from tests.motion.motions import lively_motion, with_everything

BODY = BodyModel.load()


@pytest.mark.parametrize("skeleton", SKELETONS)
def test_names_are_one_a_joint_and_the_same_on_both_sides(skeleton) -> None:
    names = joint_names(skeleton)
    assert len(set(names)) == 24
    for joint, other in enumerate(JOINT_MIRROR):
        if joint != other:
            left, right = names[min(joint, other)], names[max(joint, other)]
            swapped = left.replace("left", "right").replace("Left", "Right")
            assert right in (swapped, left.removesuffix("_l") + "_r") and left != right


def test_options_that_a_format_cannot_have_are_refused_and_presets_give_way() -> None:
    with pytest.raises(SettingsError, match="glb always has up y, and not z"):
        options_for("glb", None, {"up": "z"})
    unreal = PRESETS["unreal"]
    assert options_for("glb", unreal, {}) == replace(unreal, up="y", unit="m")
    assert options_for("fbx", unreal, {"skeleton": "smpl"}) == replace(unreal, skeleton="smpl")
    assert options_for("trc", None, {}).unit == "mm" and options_for("fbx", None, {}).unit == "cm"
    for change in ({"up": "x"}, {"unit": "inch"}, {"skeleton": "dog"}, {"root_motion": "feet"}, {"fps": 0.0}):
        with pytest.raises(SettingsError, match=next(iter(change))):
            ExportOptions(**change)
    assert set(FORMATS) == {"bvh", "glb", "csv", "trc", "mot", "grf", "fbx", "usd"}


@pytest.mark.parametrize("options", [
    *PRESETS.values(), ExportOptions(up="z", unit="mm"), ExportOptions(root_motion="bone"),
], ids=str)  # fmt: skip
def test_the_chain_of_the_file_puts_the_joints_where_the_body_has_them(options) -> None:
    motion = lively_motion(frame="y_up")
    skeleton = animated_skeleton(motion, BODY, options)
    joints = skeleton.joints()[:, skeleton.smpl_first :] * UNITS[options.unit]
    truth = motion.joints(BODY).double().numpy()
    height = joints[..., "xyz".index(options.up)]
    np.testing.assert_allclose(height, truth[..., 1], atol=2e-6)
    np.testing.assert_allclose(joints @ file_axes(options.up), truth, atol=2e-6)


def test_a_root_bone_stays_on_the_floor_below_the_pelvis_and_does_not_turn() -> None:
    motion = lively_motion(frame="y_up")
    skeleton = animated_skeleton(motion, BODY, ExportOptions(up="z", root_motion="bone"))
    joints = skeleton.joints()
    assert skeleton.names[:2] == ("root", "pelvis") and skeleton.parents[:3] == (-1, 0, 1)
    assert not joints[:, 0, 2].any()
    np.testing.assert_allclose(joints[:, 0, :2], joints[:, 1, :2], atol=1e-9)
    assert np.ptp(joints[:, 0, 0]) > 0.1
    assert np.array_equal(skeleton.rotations[:, 0], np.broadcast_to(np.eye(3), (len(motion), 3, 3)))


def test_the_rest_pose_stands_on_the_floor_and_the_skin_with_it() -> None:
    motion = lively_motion(frame="y_up")
    skeleton = animated_skeleton(motion, BODY, ExportOptions(up="z", unit="cm"))
    skin = skin_of(skeleton, motion, BODY)
    assert skin.vertices[:, 2].min() == pytest.approx(0.0, abs=1e-4) and 120 < skin.vertices[:, 2].max() < 230
    np.testing.assert_allclose(skin.weights.sum(1), 1.0, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(skin.normals, axis=1), 1.0, atol=1e-5)
    outwards = skin.normals[BODY.vertex_ids["nose"]]
    assert outwards[1] < -0.5, "with z up the rest pose looks along -y"


def test_a_motion_of_the_camera_is_put_on_the_floor_at_the_origin() -> None:
    world = lively_motion(60)
    still = torch.eye(3).expand(60, 24, 3, 3).clone()
    standing = replace(world, rotations=still, pelvis=torch.zeros(60, 3), frame="y_up").in_frame("optical")
    shifted = replace(standing, pelvis=standing.pelvis + torch.tensor([0.4, -0.3, 3.0]))
    ready = prepared(shifted, BODY)
    vertices = BODY.vertices(ready.rotations[:1], ready.pelvis[:1], ready.betas[None])[0]
    assert ready.frame == "y_up" and float(vertices[:, 1].min()) == pytest.approx(0.0, abs=0.01)
    assert torch.equal(ready.pelvis[0, [0, 2]], torch.zeros(2))
    unmoved = prepared(world, BODY)
    assert torch.equal(unmoved.pelvis, world.in_frame("y_up").pelvis), "a motion of the world stays where it is"


def test_the_rate_changes_and_in_place_keeps_the_height() -> None:
    motion = with_everything(lively_motion(31, 30.0))
    ready = prepared(motion, BODY, 60.0)
    assert len(ready) == 61 and ready.fps == 60.0
    torch.testing.assert_close(ready.pelvis[::2], motion.in_frame("y_up").pelvis, atol=1e-6, rtol=0)
    assert torch.equal(ready.tracked[::2], motion.tracked) and torch.equal(ready.contacts[1::2], motion.contacts[:-1])
    placed = prepared(motion, BODY, in_place=True)
    assert not placed.pelvis[:, [0, 2]].any()
    assert torch.equal(placed.pelvis[:, 1], motion.in_frame("y_up").pelvis[:, 1])
    assert torch.equal(placed.rotations, motion.in_frame("y_up").rotations)


def test_parents_come_before_children_as_every_format_wants() -> None:
    assert all(parent < joint for joint, parent in enumerate(PARENTS))
