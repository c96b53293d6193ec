"""The clip that ships: whole, beside its truth, and of a kind that browsers play."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from diffmocap.resources import share_path


def test_every_frame_has_its_truth():
    video = cv2.VideoCapture(str(share_path("media", "demo.mp4")))
    with np.load(share_path("media", "demo.npz")) as truth:
        frames = len(truth["joints"])
        assert (video.get(cv2.CAP_PROP_FRAME_WIDTH), video.get(cv2.CAP_PROP_FRAME_HEIGHT)) == (
            truth["width"],
            truth["height"],
        )
        assert video.get(cv2.CAP_PROP_FPS) == pytest.approx(float(truth["mocap_framerate"]))
    read, times_ms = 0, []
    while video.grab():
        times_ms.append(video.get(cv2.CAP_PROP_POS_MSEC))
        read += 1
    assert read == frames == 726
    np.testing.assert_allclose(np.diff(times_ms), 1e3 / 30, atol=0.01)


def test_browsers_play_it():
    """H.264 of 8 bits with subsampled colours in MP4, its index before its data, so that it starts while it loads."""
    path = share_path("media", "demo.mp4")
    data = path.read_bytes()
    assert data[4:8] == b"ftyp" and data.index(b"moov") < data.index(b"mdat")
    at = data.index(b"avcC")
    profile = data[at + 5]
    assert profile in (66, 77, 100), "baseline, main or high, which decoders in hardware know"
    assert path.stat().st_size < 1.5e6
