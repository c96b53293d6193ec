"""Frames of clips: what a subset holds, and that a frame keeps its number."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

from diffmocap.body.motion_clip import MotionClip
from diffmocap.errors import MotionFileError
from diffmocap.evaluation.pose_frames import PoseFrames


@pytest.fixture(scope="module")
def test_frames(mocap_dir) -> PoseFrames:
    return PoseFrames.load(mocap_dir / "cmu_smpl30_test.npz", every=5)


def test_frames_are_those_of_the_file(mocap_dir, test_frames):
    data = np.load(mocap_dir / "cmu_smpl30_test.npz")
    where = [start + i for start, n in zip(data["start"], data["length"]) for i in range(0, n, 5)]
    assert test_frames.numbers.tolist() == where and len(test_frames) == 133
    owner = [name for name, n in zip(data["name"], data["length"]) for _ in range(0, n, 5)]
    assert list(test_frames.clip) == owner and test_frames.action[0] == data["action"][0]


def test_stratified_subset_is_seeded_and_fair(test_frames):
    subset = test_frames.stratified(64, seed=0)
    assert len(subset) == 64 and len(set(subset.numbers.tolist())) == 64
    share, whole = Counter(subset.clip), Counter(test_frames.clip)
    assert set(share) == set(whole), "every clip is there"
    for name, count in whole.items():
        assert abs(share[name] - 64 * count / len(test_frames)) < 2.0, name
    assert torch.equal(subset.numbers, test_frames.stratified(64, seed=0).numbers)
    assert not torch.equal(subset.numbers, test_frames.stratified(64, seed=1).numbers)
    lookup = dict(zip(test_frames.numbers.tolist(), test_frames.rotations))
    assert all(torch.equal(lookup[n], r) for n, r in zip(subset.numbers.tolist(), subset.rotations))


@pytest.mark.parametrize("count", [1, 3, 4, 7, 11, 12, 50])
def test_any_size_of_subset_is_met(count):
    clips = [MotionClip(f"c{i}", "s", "", 30.0, torch.eye(3).repeat(n, 24, 1, 1), torch.zeros(n, 3), torch.zeros(24, 3))
             for i, n in enumerate((1, 2, 8, 1))]  # fmt: skip
    frames = PoseFrames.of_clips(clips)
    assert frames.action[:3] == ("c0", "c1", "c1") and frames.numbers.tolist() == list(range(12))
    subset = frames.stratified(count)
    assert len(subset) == min(count, 12) and len(set(subset.numbers.tolist())) == len(subset)
    if count >= 4:
        assert set(subset.clip) == {"c0", "c1", "c2", "c3"}
    assert len(frames.evenly(count)) == min(count, 12)


def test_a_file_without_frames_is_named(tmp_path, mocap_dir):
    data = dict(np.load(mocap_dir / "cmu_smpl30_test.npz"))
    for key in ("start", "length", "name", "subject", "action"):
        data[key] = data[key][:0]
    np.savez(tmp_path / "empty.npz", **data)
    with pytest.raises(MotionFileError, match="no frames"):
        PoseFrames.load(tmp_path / "empty.npz")
