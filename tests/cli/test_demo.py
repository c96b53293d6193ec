"""The commands over real DDS: nodes in processes of their own, joint states out, nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import psutil
import pytest

from diffmocap.lifting.settings import LiftingSettings
from diffmocap.refinement.stream.settings import LiveSettings
from tests.demo_frames import EXCERPT_FRAMES

pytestmark = pytest.mark.timeout(240)


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "diffmocap.cli.main", *map(str, arguments)]


def nodes_of(domain_id: str) -> list[psutil.Process]:
    """Processes that still run in that ROS domain."""
    found = []
    for process in psutil.process_iter():
        try:
            is_node = any("diffmocap.nodes." in part for part in process.cmdline())
            if is_node and process.environ().get("ROS_DOMAIN_ID") == domain_id:
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def test_demo_goes_from_images_to_joint_states_and_pictures(ros_env, excerpt, tmp_path):
    domain_id = ros_env["ROS_DOMAIN_ID"]
    done = subprocess.run(
        command("demo", "--source", excerpt, "--out", tmp_path, "--domain-id", domain_id, "--json", "--physics"),
        env=ros_env, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1, "one line of JSON, all else on stderr"
    told = json.loads(done.stdout)
    assert told["frames"] == EXCERPT_FRAMES
    assert told["poses"] == told["refined_frames"] == EXCERPT_FRAMES
    assert 0 < told["physics_frames"] < EXCERPT_FRAMES, "a track's first frames are too few for a window"
    assert (told["optimizer"], told["guidance"]) == (LiveSettings().optimizer, LiftingSettings().guidance)
    assert told["hypotheses"] in (1, LiftingSettings().hypotheses), "a busy machine gives samples up"
    assert told["frames_with_step"] == 1.0, "without a limit of time every frame has its steps"
    assert (told["dropped"], told["no_person"], told["lost"]) == (0, 0, 0)
    assert told["fps"] > 1
    assert 0 < told["latency_p50_ms"] <= told["latency_p99_ms"] < 60_000
    assert 100 < told["rss_mb"] < 2048
    assert told["start_s"] > 0
    assert {"keypoints", "detection", "pose", "lifting", "refinement", "total"} <= told["stages"].keys()
    assert not {"mpjpe_mm", "pixel_error"} & told.keys(), "there is no truth beside this clip"

    video = cv2.VideoCapture(told["video"])
    assert int(video.get(cv2.CAP_PROP_FRAME_COUNT)) == EXCERPT_FRAMES
    assert cv2.imread(told["picture"]) is not None
    assert "joint states a second" in done.stderr
    for node in ("camera_node", "keypoint_node", "pose_node"):
        assert (tmp_path / "walk-logs" / f"{node}.log").is_file()
    assert nodes_of(domain_id) == []


def test_live_ends_with_ctrl_c_and_a_summary(ros_env, demo_clip, tmp_path):
    source = tmp_path / "long.mp4"  # lasts longer than this test, and has no calibration beside it
    source.write_bytes(demo_clip.read_bytes())
    parameters = tmp_path / "own.yaml"
    parameters.write_text("/**/pose_node:\n  ros__parameters:\n    steps: 2\n")
    process = subprocess.Popen(
        command("live", "--source", source, "--params-file", parameters, "--namespace", "me", "--verbose", "--json"),
        env=ros_env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a job in the background has it ignored
    )  # fmt: skip
    try:
        err = wait_for_text(process, "not calibrated")  # pose_node says so at the first image
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        out, rest = process.communicate(timeout=60)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    assert process.returncode == 0, err + rest
    told = json.loads(out)
    assert told["frames"] > 0 and told["lost"] == told["dropped"] - told["no_person"]
    assert "pose_node: [INFO]" in err, "--verbose shows what the nodes log"
    assert nodes_of(ros_env["ROS_DOMAIN_ID"]) == []


def wait_for_text(process: subprocess.Popen, text: str) -> str:
    """Reads stderr until the text appears; returns what was read."""
    seen = ""
    while text not in seen:
        character = process.stderr.read(1)
        assert character, f"it ended before '{text}':\n{seen}"
        seen += character
    return seen
