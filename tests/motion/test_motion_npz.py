"""Motion files: what is written comes back, AMASS's readers find the body where it is, and nothing is half-written."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from diffmocap.body.feet import ground_height, sole_points
from diffmocap.body.model import BodyModel
from diffmocap.body.motion_clip import MotionClip
from diffmocap.body.motion_files import MOTION_FRAMES, load_clips
from diffmocap.body.skeleton import PARENTS
from diffmocap.errors import MotionFileError
from diffmocap.motion.motion_npz import read_motion, write_motion
from tests.body.smplx_layer import smplx_layer
from tests.motion.motions import lively_motion, with_everything

BODY = BodyModel.load()


@pytest.mark.parametrize("frame", MOTION_FRAMES)
def test_what_is_written_comes_back(frame, tmp_path) -> None:
    motion = with_everything(lively_motion(frame=frame))
    write_motion(tmp_path / "new" / "a.npz", motion, BODY)
    back = read_motion(tmp_path / "new" / "a.npz", BODY)
    torch.testing.assert_close(back.rotations, motion.rotations, atol=1e-6, rtol=0)
    torch.testing.assert_close(back.pelvis, motion.pelvis, atol=5e-7, rtol=0)
    for name in ("betas", "keypoints", "tracked", "contacts"):
        assert torch.equal(getattr(back, name), getattr(motion, name)), name
    for name in ("simulated", "torques", "contact_points", "contact_forces"):
        assert torch.equal(getattr(back.dynamics, name), getattr(motion.dynamics, name)), name
    assert back.recipe == motion.recipe
    assert (back.K is None) == (frame != "optical") and (back.K is None or torch.equal(back.K, motion.K))
    assert (back.fps, back.frame, back.name, back.subject) == (motion.fps, frame, "turning", "s1")
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["a.npz"], "no partial file stays"


def test_half_turns_come_back(tmp_path) -> None:
    motion = lively_motion(3)
    rotations = motion.rotations.clone()
    rotations[:] = torch.diag(torch.tensor([-1.0, 1.0, -1.0]))
    write_motion(tmp_path / "a.npz", replace(motion, rotations=rotations), BODY)
    torch.testing.assert_close(read_motion(tmp_path / "a.npz", BODY).rotations, rotations, atol=1e-6, rtol=0)


def test_smplx_puts_the_joints_where_the_file_has_them(tmp_path) -> None:
    motion = lively_motion(frame="optical")
    write_motion(tmp_path / "a.npz", motion, BODY)
    with np.load(tmp_path / "a.npz", allow_pickle=False) as data:
        poses, trans, betas = (torch.from_numpy(data[key]) for key in ("poses", "trans", "betas"))
        joints = data["joints"]
        assert data["mocap_framerate"] == 30.0 and str(data["gender"]) == "neutral" and str(data["frame"]) == "optical"
    posed = smplx_layer(BODY, len(poses))(
        global_orient=poses[:, :3], body_pose=poses[:, 3:], transl=trans, betas=betas.expand(len(poses), -1)
    )
    np.testing.assert_allclose(posed.joints[:, :24].detach().numpy(), joints, atol=2e-6)
    np.testing.assert_allclose(joints, motion.joints(BODY).numpy(), atol=1e-6)


def test_the_readers_of_training_take_the_file(tmp_path) -> None:
    motion = lively_motion()
    write_motion(tmp_path / "a.npz", motion, BODY)
    (clip,) = load_clips(tmp_path / "a.npz", None)
    torch.testing.assert_close(clip.pelvis, motion.in_frame("y_up").pelvis, atol=5e-7, rtol=0)


def test_amass_is_put_on_the_body_with_its_feet_on_the_floor(tmp_path) -> None:
    source = lively_motion()
    write_motion(tmp_path / "own.npz", source, BODY)
    with np.load(tmp_path / "own.npz", allow_pickle=False) as data:
        np.savez(tmp_path / "a.npz", poses=np.pad(data["poses"][:, :66], ((0, 0), (0, 90))), betas=np.ones(16),
                 trans=data["trans"] + 3.0, mocap_framerate=120.0, contacts=np.ones(3))  # fmt: skip
    motion = read_motion(tmp_path / "a.npz", BODY)
    assert (motion.frame, motion.fps) == ("world", 120.0)
    torch.testing.assert_close(motion.rotations[:, :22], source.rotations[:, :22], atol=1e-6, rtol=0)
    assert not motion.betas.any(), "AMASS's betas are shapes of SMPL, which the shipped body is not"
    y_up = motion.in_frame("y_up")
    rest = BODY.rest_joints()[0]
    offsets = torch.cat([torch.zeros(1, 3), rest[1:] - rest[list(PARENTS[1:])]])
    worn = MotionClip("", "", "", y_up.fps, y_up.rotations, y_up.pelvis, offsets)
    assert ground_height(worn, sole_points(BODY)) == pytest.approx(0.0, abs=0.01)


def test_a_collection_gives_the_clip_that_is_named(tmp_path) -> None:
    motion = lively_motion(12)
    write_motion(tmp_path / "own.npz", motion, BODY)
    with np.load(tmp_path / "own.npz", allow_pickle=False) as data:
        poses = data["poses"].reshape(-1, 24, 3)
    rest = BODY.rest_joints()[0].numpy()
    np.savez(tmp_path / "all.npz", pose=poses, trans=motion.pelvis.numpy(), offsets=rest, fps=30.0, start=[0, 5],
             length=[5, 7], name=["walk", "run"], subject=["7", "8"], action=["", ""])  # fmt: skip
    with pytest.raises(MotionFileError, match="collection of 2 clips; name one of them: walk, run"):
        read_motion(tmp_path / "all.npz", BODY)
    with pytest.raises(MotionFileError, match="has no clip 'jump'; it has: walk, run"):
        read_motion(tmp_path / "all.npz", BODY, "jump")
    run = read_motion(tmp_path / "all.npz", BODY, "run")
    assert (len(run), run.name, run.subject, run.frame) == (7, "run", "8", "world")


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch) -> None:
    motion = lively_motion()
    write_motion(tmp_path / "a.npz", motion, BODY)
    before = (tmp_path / "a.npz").read_bytes()

    def full(file, **arrays):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", full)
    with pytest.raises(OSError, match="No space"):
        write_motion(tmp_path / "a.npz", lively_motion(5), BODY)
    assert (tmp_path / "a.npz").read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.npz"]


def test_what_cannot_be_read_says_why(tmp_path) -> None:
    with pytest.raises(MotionFileError, match="is a folder; name one motion file"):
        read_motion(tmp_path, BODY)
    with pytest.raises(MotionFileError, match="does not exist"):
        read_motion(tmp_path / "none.npz", BODY)
    with pytest.raises(MotionFileError, match="ends in .npz, got"):
        write_motion(tmp_path / "a.bvh", lively_motion(), BODY)
