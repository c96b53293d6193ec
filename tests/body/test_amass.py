"""AMASS as it is downloaded: DATASET/SUBJECT/clip files of both releases, with their shape files beside them."""

from __future__ import annotations

import logging
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from diffmocap.body.mocap import load_clips, load_split
from diffmocap.body.model import BodyModel
from tests.body.smplx_layer import smplx_layer

FRAMES = 24


def motion(columns: int, seed: int) -> dict[str, np.ndarray]:
    """poses, trans and betas of somebody who walks about, z up; float64, as AMASS stores them."""
    rng = np.random.default_rng(seed)
    t = np.arange(FRAMES)[:, None] / 30.0
    poses = 0.3 * np.sin(t * rng.uniform(1, 3, columns) + rng.uniform(0, 6, columns))
    poses[:, 0] += math.pi / 2  # SMPL's y up is the world's z
    trans = np.array([0.3, -0.2, 0.95]) + 0.1 * np.sin(t * rng.uniform(1, 3, 3))
    return {"poses": poses, "trans": trans, "betas": rng.normal(0, 0.7, 16)}


def write_smplh(folder: Path, name: str, seed: int, rate: float = 120.0) -> dict[str, np.ndarray]:
    """``<clip>_poses.npz`` of the SMPL+H release: 156 columns, dmpls, and a shape file in the same folder."""
    folder.mkdir(parents=True, exist_ok=True)
    arrays = motion(156, seed)
    extra = {"gender": np.array("female"), "mocap_framerate": np.array(rate), "dmpls": np.zeros((FRAMES, 8))}
    np.savez(folder / f"{name}_poses.npz", **arrays, **extra)
    np.savez(folder / "shape.npz", betas=arrays["betas"], gender=np.array("female"))
    return arrays


def write_smplx(folder: Path, name: str, seed: int, rate: float = 30.0) -> dict[str, np.ndarray]:
    """``<clip>_stageii.npz`` of the SMPL-X release: 165 columns, its parts under their own names, pickled entries."""
    folder.mkdir(parents=True, exist_ok=True)
    arrays = motion(165, seed)
    poses = arrays["poses"]
    extra = {
        "gender": np.array("neutral"), "surface_model_type": np.array("smplx"), "mocap_frame_rate": np.array(rate),
        "mocap_time_length": np.array(FRAMES / rate), "num_betas": np.array(16), "root_orient": poses[:, :3],
        "pose_body": poses[:, 3:66], "pose_jaw": poses[:, 66:69], "pose_eye": poses[:, 69:75],
        "pose_hand": poses[:, 75:], "markers_latent": np.zeros((41, 3)),
        "markers_latent_vids": np.array({"LFHD": 12}, dtype=object),
    }  # fmt: skip
    np.savez(folder / f"{name}_stageii.npz", **arrays, **extra)
    np.savez(folder / "neutral_stagei.npz", betas=arrays["betas"], marker_meta=np.array({"a": 1}, dtype=object))
    return arrays


@pytest.fixture
def amass(tmp_path) -> Path:
    """Two datasets that number their subjects alike."""
    write_smplh(tmp_path / "CMU" / "01", "01_01", 1)
    write_smplh(tmp_path / "CMU" / "01", "01_02", 2)
    write_smplx(tmp_path / "KIT" / "01", "walk_01", 3)
    return tmp_path


def test_whole_tree_is_read_and_what_is_left_out_is_said(amass, caplog):
    with caplog.at_level(logging.WARNING):
        clips = load_clips(amass, target_fps=None)
    assert [(c.subject, c.name, c.fps) for c in clips] == [
        ("CMU/01", "01_01_poses", 120.0), ("CMU/01", "01_02_poses", 120.0), ("KIT/01", "walk_01_stageii", 30.0),
    ]  # fmt: skip
    (message,) = [r.getMessage() for r in caplog.records]
    assert "2 of 5 files" in message and "shape.npz" in message and "neutral_stagei.npz" in message
    assert [c.subject for c in load_clips(amass / "CMU")] == ["01", "01"]
    assert load_clips(amass / "KIT" / "01" / "walk_01_stageii.npz")[0].subject == "01"


@pytest.mark.parametrize("write", [write_smplh, write_smplx])
def test_joints_are_those_of_smplx_turned_upright(tmp_path, write):
    """Root, body and place of the file's own parameters, by smplx in the z-up world; hands at rest."""
    arrays = write(tmp_path, "clip", 5)
    body = BodyModel.load()
    (clip,) = load_clips(tmp_path, target_fps=None, body=body)
    poses, trans, betas = (torch.tensor(arrays[k], dtype=torch.float32) for k in ("poses", "trans", "betas"))
    layer = smplx_layer(body, batch_size=FRAMES)
    out = layer(
        betas=betas[None, :10].expand(FRAMES, -1), global_orient=poses[:, :3], transl=trans,
        body_pose=torch.cat([poses[:, 3:66], torch.zeros(FRAMES, 6)], 1),
    )  # fmt: skip
    x, y, z = out.joints[:, :24].unbind(-1)
    joints = body.forward_kinematics(clip.rotations, clip.pelvis, betas[None, :10])[1]
    torch.testing.assert_close(joints, torch.stack([x, z, -y], -1), atol=1e-5, rtol=0)
    assert float(joints[:, 15, 1].min()) > float(joints[:, 0, 1].max()), "the head is above the pelvis: y is up"
    assert torch.equal(clip.rotations[:, 22:], torch.eye(3).expand(FRAMES, 2, 3, 3))


def standing(tilt_deg: float) -> dict[str, np.ndarray]:
    """Somebody who stands upright for two seconds with both feet pitched, z up."""
    poses = np.zeros((60, 156))
    poses[:, 0] = math.pi / 2
    poses[:, [21, 24]] = math.radians(tilt_deg)  # ankles 7 and 8, about x
    return {"poses": poses, "trans": np.tile([0.0, 0.0, 0.95], (60, 1)), "betas": np.zeros(16), "mocap_framerate": 30.0}


def test_namesakes_of_two_datasets_keep_their_own_feet(tmp_path):
    """Feet that are pitched by 10 and by -6 degrees are levelled each by its own angle."""
    for dataset, tilt in (("CMU", 10.0), ("KIT", -6.0)):
        (tmp_path / dataset / "01").mkdir(parents=True)
        np.savez(tmp_path / dataset / "01" / "stand_poses.npz", **standing(tilt))
    for clip in load_split(tmp_path):
        torch.testing.assert_close(clip.rotations[:, 7:9], torch.eye(3).expand(60, 2, 3, 3), atol=1e-4, rtol=0)
