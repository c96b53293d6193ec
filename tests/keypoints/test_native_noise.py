from __future__ import annotations

import os
import sys

import pytest

from diffmocap.keypoints.native_noise import without_native_noise


def test_noise_goes_and_everything_else_stays(capfd):
    with without_native_noise():
        os.write(2, b"W0000 00:00:1795246895.726161    7032 inference_feedback_manager.cc:114] Feedback\n")
        os.write(2, b"INFO: Created TensorFlow Lite XNNPACK delegate for CPU.\n")
        print("a traceback of another thread", file=sys.stderr)
        os.write(2, b"E0000 00:00:1795246895.726161    7032 graph.cc:1] an error\n")
    os.write(2, b"after\n")
    kept = capfd.readouterr().err
    assert "Feedback" not in kept and "XNNPACK" not in kept
    assert "another thread" in kept and "an error" in kept and kept.endswith("after\n")


def test_an_error_passes_through_with_its_lines(capfd):
    with pytest.raises(RuntimeError), without_native_noise():
        os.write(2, b"reason\n")
        raise RuntimeError
    assert capfd.readouterr().err == "reason\n"
