"""Motion files in, bodies on the floor out."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import roma
import torch

from diffmocap.body.feet import (
    contact_frames,
    foot_corrections,
    leg_kinematics,
    leg_length,
    sole_points,
    sole_positions,
)
from diffmocap.body.mocap import MotionClip, load_clips, load_split, read_names, remove_foot_offset, resample, retarget
from diffmocap.body.model import BodyModel
from diffmocap.body.skeleton import PARENTS
from diffmocap.errors import MotionFileError

NAN = float("nan")


@pytest.fixture(scope="module")
def body():
    return BodyModel.load()


@pytest.fixture(scope="module")
def test_clips(mocap_dir):
    return load_clips(mocap_dir / "cmu_smpl30_test.npz")


def named(clips, name) -> MotionClip:
    return next(clip for clip in clips if clip.name == name)


# ------------------------------------------------------------------------------------------------ files


def write_amass(path, frames=40, fps=120.0, columns=156, seed=0, **changes):
    """An AMASS file of a slow random motion; returns its arrays."""
    rng = np.random.default_rng(seed)
    t = np.arange(frames)[:, None] / fps
    poses = 0.4 * np.sin(t * rng.uniform(1, 3, columns) + rng.uniform(0, 6, columns))
    trans = np.array([0.0, 0.0, 0.9]) + 0.1 * np.sin(t * rng.uniform(1, 3, 3))
    arrays = dict(poses=poses, trans=trans, betas=rng.normal(size=16), mocap_framerate=fps, gender="neutral") | changes
    np.savez(path, **{k: v for k, v in arrays.items() if v is not None})
    return arrays


def test_collection_holds_what_its_arrays_say(mocap_dir, test_clips):
    data = np.load(mocap_dir / "cmu_smpl30_test.npz")
    assert len(test_clips) == 8 and sum(map(len, test_clips)) == len(data["pose"]) == 660
    clip = test_clips[5]
    part = slice(data["start"][5], data["start"][5] + data["length"][5])
    assert clip.name == data["name"][5] and clip.subject == data["subject"][5] and clip.fps == 30
    expected = roma.rotvec_to_rotmat(torch.from_numpy(data["pose"][part].astype(np.float32)))
    torch.testing.assert_close(clip.rotations, expected)
    torch.testing.assert_close(clip.pelvis, torch.from_numpy(data["trans"][part]))


def test_amass_joints_are_smpls_joints_turned_upright(tmp_path, body):
    """smplx with the file's own parameters in the z-up world, turned, against our kinematics in the y-up one."""
    from tests.body.smplx_layer import smplx_layer

    arrays = write_amass(tmp_path / "walk_poses.npz", fps=30.0)
    (clip,) = load_clips(tmp_path / "walk_poses.npz", body=body)
    assert len(clip) == 40 and clip.name == "walk_poses"
    layer = smplx_layer(body, batch_size=40)
    poses, trans, betas = (torch.tensor(arrays[k], dtype=torch.float32) for k in ("poses", "trans", "betas"))
    out = layer(betas=betas[None, :10].expand(40, -1), global_orient=poses[:, :3], transl=trans,
                body_pose=torch.cat([poses[:, 3:66], torch.zeros(40, 6)], 1))  # fmt: skip
    x, y, z = out.joints[:, :24].unbind(-1)
    rest = body.rest_joints(betas[None, :10])
    from diffmocap.body.kinematics import forward_kinematics

    joints = forward_kinematics(clip.rotations, clip.pelvis, rest)[1]
    torch.testing.assert_close(joints, torch.stack([x, z, -y], -1), atol=1e-5, rtol=0)
    torch.testing.assert_close(clip.offsets[4], rest[0, 4] - rest[0, 1])


def test_amass_is_decimated_or_interpolated(tmp_path):
    write_amass(tmp_path / "a.npz", frames=241, fps=120.0)
    whole = load_clips(tmp_path / "a.npz", target_fps=None)[0]
    assert whole.fps == 120 and len(whole) == 241
    decimated = load_clips(tmp_path / "a.npz")[0]
    assert decimated.fps == 30 and len(decimated) == 61
    torch.testing.assert_close(decimated.rotations, whole.rotations[::4])
    torch.testing.assert_close(decimated.pelvis, whole.pelvis[::4])
    odd = resample(whole, 50.0)
    assert len(odd) == 101
    back = resample(odd, 120.0)
    error = roma.rotmat_geodesic_distance(back.rotations, whole.rotations[: len(back)])
    assert error.max() < 0.002, "slerp of a smooth motion loses little"
    torch.testing.assert_close(
        odd.rotations @ odd.rotations.transpose(-1, -2), torch.eye(3).expand_as(odd.rotations), atol=1e-5, rtol=0
    )


def test_folder_is_walked_and_shape_files_left_out(tmp_path):
    (tmp_path / "sub01").mkdir()
    write_amass(tmp_path / "sub01" / "a_poses.npz")
    write_amass(tmp_path / "sub01" / "b_poses.npz", columns=66, seed=1)
    np.savez(tmp_path / "sub01" / "shape.npz", betas=np.zeros(16))
    clips = load_clips(tmp_path)
    assert [c.name for c in clips] == ["a_poses", "b_poses"] and clips[0].subject == "sub01"
    (tmp_path / "empty").mkdir()
    with pytest.raises(MotionFileError, match="no motion file"):
        load_clips(tmp_path / "empty")


def test_own_file_in_the_optical_frame_stands_upright(tmp_path, body, test_clips):
    """A clip written as our exports write it, seen by a level camera, comes back as it was up to the camera's place."""
    clip = retarget(named(test_clips, "27_01"), body)
    optical_from_y_up = torch.diag(torch.tensor([1.0, -1.0, -1.0]))
    rotations = clip.rotations.clone()
    rotations[:, 0] = optical_from_y_up @ rotations[:, 0]
    pelvis = clip.pelvis @ optical_from_y_up.T + torch.tensor([0.0, 1.2, 4.0])
    joints = body.forward_kinematics(rotations, pelvis)[1]
    trans = pelvis - body.rest_joints()[0, 0]
    arrays = dict(poses=roma.rotmat_to_rotvec(rotations).flatten(1), trans=trans, betas=np.zeros(10), joints=joints)
    np.savez(tmp_path / "own.npz", **arrays, mocap_framerate=30.0, frame="optical")
    for reader_body in (None, body):
        (back,) = load_clips(tmp_path / "own.npz", body=reader_body)
        torch.testing.assert_close(back.rotations, clip.rotations, atol=2e-5, rtol=0)
        shift = back.pelvis - clip.pelvis
        torch.testing.assert_close(shift, shift[:1].expand_as(shift), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"poses": None}, "keys"),
        ({"trans": None}, "lacks the key 'trans'"),
        ({"mocap_framerate": None}, "mocap_framerate"),
        ({"mocap_framerate": 0.0}, "rate"),
        ({"poses": np.zeros((40, 63))}, "40 x 63"),
        ({"poses": np.zeros((0, 156)), "trans": np.zeros((0, 3))}, "at least one frame"),
        ({"trans": np.zeros((39, 3))}, r"\[39, 3\]"),
        ({"poses": np.full((40, 156), NAN)}, "not finite"),
        ({"poses": np.array([{"a": 1}] * 40, dtype=object)}, "cannot be read"),
        ({"poses": np.full((40, 156), "x")}, "expected numbers"),
        ({"frame": "moon"}, "'moon' is unknown"),
    ],
)
def test_bad_motion_files_are_named(tmp_path, changes, message):
    write_amass(tmp_path / "bad.npz", **changes)
    with pytest.raises(MotionFileError, match=message):
        load_clips(tmp_path / "bad.npz")


def test_files_that_are_no_archives(tmp_path):
    with pytest.raises(MotionFileError, match="does not exist"):
        load_clips(tmp_path / "nothing.npz")
    (tmp_path / "text.npz").write_text("no archive")
    with pytest.raises(MotionFileError, match="no readable"):
        load_clips(tmp_path / "text.npz")
    write_amass(tmp_path / "cut.npz")
    whole = (tmp_path / "cut.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(MotionFileError):
        load_clips(tmp_path / "cut.npz")
    np.save(tmp_path / "single.npy", np.zeros(3))
    with pytest.raises(MotionFileError, match="single array"):
        load_clips(tmp_path / "single.npy")


def test_bad_collection(tmp_path, mocap_dir):
    data = dict(np.load(mocap_dir / "cmu_smpl30_test.npz"))
    for key, value, message in (
        ("start", data["start"] + 1, "outside"),
        ("offsets", data["offsets"][:20], "offsets"),
        ("name", data["name"][:3], "name"),
        ("pose", data["pose"][..., :2], "pose"),
    ):
        np.savez(tmp_path / "bad.npz", **{**data, key: value})
        with pytest.raises(MotionFileError, match=message):
            load_clips(tmp_path / "bad.npz")


def test_held_out_clips_are_left_out(mocap_dir, tmp_path):
    path = mocap_dir / "cmu_smpl30_test.npz"
    listed = tmp_path / "names.txt"
    listed.write_text("# comment\n27_01\n\n38_01  # why\n")
    assert read_names(listed) == {"27_01", "38_01"}
    names = {clip.name for clip in load_split(path, listed)}
    assert len(names) == 6 and not names & {"27_01", "38_01"}
    with pytest.raises(MotionFileError, match="list of clip names"):
        load_split(path, tmp_path / "none.txt")


# ----------------------------------------------------------------------------------------------- bodies


def turned(clip: MotionClip, yaw: float, shift=(0.0, 0.0, 0.0)) -> MotionClip:
    turn = roma.rotvec_to_rotmat(torch.tensor([0.0, yaw, 0.0]))
    rotations = clip.rotations.clone()
    rotations[:, 0] = turn @ rotations[:, 0]
    return replace(clip, rotations=rotations, pelvis=clip.pelvis @ turn.T + torch.tensor(shift))


@pytest.mark.parametrize("name", ["27_01", "127_25", "94_08"])
def test_heading_and_place_change_nothing_else(test_clips, body, name):
    clip = named(test_clips, name)
    plain, moved = retarget(clip, body), retarget(turned(clip, 1.1, (0.7, 0.0, -2.0)), body)
    scale = leg_length(plain.offsets) / leg_length(clip.offsets)
    torch.testing.assert_close(
        turned(plain, 1.1, (0.7 * scale, 0.0, -2.0 * scale)).pelvis, moved.pelvis, atol=1e-4, rtol=0
    )
    torch.testing.assert_close(foot_corrections([clip]), foot_corrections([turned(clip, 1.1)]), atol=1e-4, rtol=0)


def test_a_lifted_floor_is_found_again(test_clips, body):
    """Adding a height to every frame is undone; the clip's own ups and downs are kept."""
    for clip in test_clips[::10]:
        lifted = retarget(turned(clip, 0.0, (0.0, 0.4, 0.0)), body)
        torch.testing.assert_close(lifted.pelvis, retarget(clip, body).pelvis, atol=1e-4, rtol=0)


def test_jumps_stay_jumps(test_clips, body):
    clip = named(test_clips, "127_25")  # runs and jumps over something
    soles = sole_points(body)
    clearance = sole_positions(retarget(clip, body), soles)[..., 1].amin(dim=(1, 2))
    assert clearance.max() > 0.15
    scale = leg_length(retarget(clip, body).offsets) / leg_length(clip.offsets)
    rise = torch.diff(retarget(clip, body).pelvis[:, 1])
    torch.testing.assert_close(rise, torch.diff(clip.pelvis[:, 1]) * scale, atol=1e-5, rtol=0)


def test_feet_stand_on_the_floor(test_clips, body):
    """Soles in contact frames over takes of six subjects; before retargeting they hang 2 cm off."""
    soles = sole_points(body)
    heights = []
    for clip in remove_foot_offset(test_clips):
        placed = retarget(clip, body)
        points = sole_positions(placed, soles)
        lowest = points[..., 1].amin(dim=-1)[contact_frames(points, placed.fps)]
        heights.append(lowest)
        if len(lowest) >= 5:
            assert abs(float(lowest.median())) < 1e-3, clip.name
    heights = torch.cat(heights)
    assert len(heights) > 700
    low, high = torch.quantile(heights, torch.tensor([0.05, 0.95])).tolist()
    assert abs(float(heights.median())) < 2e-3 and low > -0.03 and high < 0.03


def standing_tilt(clips: list[MotionClip]) -> torch.Tensor:
    """Angle [rad] between the sole's up direction and the vertical, foot at rest under an upright shank."""
    tilts = []
    for clip in clips:
        rotations, joints = leg_kinematics(clip)
        for ankle in (7, 8):
            speed = torch.gradient(joints[:, ankle + 3], dim=0)[0].norm(dim=-1) * clip.fps
            shank = torch.nn.functional.normalize(joints[:, ankle - 3] - joints[:, ankle], dim=-1)
            low = joints[:, ankle, 1] < joints[:, ankle, 1].quantile(0.1) + 0.02
            at_rest = (speed < 0.12) & (shank[:, 1] > 0.94) & low
            tilts.append(torch.acos(rotations[at_rest, ankle, 1, 1].clamp(-1, 1)))
    return torch.cat(tilts)


def test_standing_feet_are_level_after_correction(test_clips):
    """Subjects that stand and walk: the tilt of the standing foot falls to that of single frames."""
    subjects = {"27", "38", "127"}
    before = [clip for clip in test_clips if clip.subject in subjects]
    after = [clip for clip in remove_foot_offset(test_clips) if clip.subject in subjects]
    tilt_before, tilt_after = standing_tilt(before).median(), standing_tilt(after).median()
    assert tilt_after < 0.75 * tilt_before and tilt_after < math.radians(4.0)


def test_a_known_tilt_is_taken_out_and_heading_is_left(test_clips):
    """Pitch and roll put into the ankles come out again; a turn about the foot's own up axis stays."""
    clean = [clip for clip in remove_foot_offset(test_clips) if clip.subject == "27"]
    tilt = roma.rotvec_to_rotmat(torch.tensor([0.2, 0.0, -0.1]))
    yaw = roma.rotvec_to_rotmat(torch.tensor([0.0, 0.3, 0.0]))
    tilted, yawed = [], []
    for clip in clean:
        for turn, out in ((tilt, tilted), (yaw, yawed)):
            rotations = clip.rotations.clone()
            rotations[:, [7, 8]] = rotations[:, [7, 8]] @ turn
            out.append(replace(clip, rotations=rotations))
    found = foot_corrections(tilted)
    distance = roma.rotmat_geodesic_distance
    assert distance(found, tilt.T.expand(2, 3, 3)).max() < math.radians(1.0)
    assert distance(foot_corrections(yawed), torch.eye(3).expand(2, 3, 3)).max() < math.radians(1.0)
    assert torch.equal(remove_foot_offset(tilted)[0].rotations[:, :7], tilted[0].rotations[:, :7])


def test_no_standing_frames_no_correction(test_clips):
    boxing = named(test_clips, "127_06").frames(0, 5)
    assert torch.equal(foot_corrections([boxing]), torch.eye(3).expand(2, 3, 3))


def test_short_clips_are_retargeted(test_clips, body):
    for frames in (1, 2, 3):
        placed = retarget(test_clips[0].frames(0, frames), body)
        assert placed.pelvis.shape == (frames, 3) and torch.isfinite(placed.pelvis).all()


def test_scale_is_the_ratio_of_leg_lengths(test_clips, body):
    placed = retarget(test_clips[0], body)
    rest = body.rest_joints()[0]
    bones = [(rest[child] - rest[joint]).norm() for joint, child in ((1, 4), (4, 7), (2, 5), (5, 8))]
    assert leg_length(placed.offsets) == pytest.approx(float(sum(bones) / 2), abs=1e-5)
    across = torch.diff(placed.pelvis[:, [0, 2]], dim=0) / torch.diff(test_clips[0].pelvis[:, [0, 2]], dim=0)
    expected = leg_length(placed.offsets) / leg_length(test_clips[0].offsets)
    assert float(across.median()) == pytest.approx(expected, abs=1e-4)
    torch.testing.assert_close(placed.offsets[1:], rest[1:] - rest[list(PARENTS[1:])])
