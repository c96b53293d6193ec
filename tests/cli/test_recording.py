"""What is recorded of a run, and the figures that follow."""

from __future__ import annotations

import numpy as np
import pytest

from diffmocap.cli.recording import RecordedPose, Recording, source_indices
from diffmocap.cli.summary import summarise, summary_table, unquoted
from diffmocap.types import CameraIntrinsics, Keypoints2D

MS = 1_000_000
INTRINSICS = CameraIntrinsics.from_fov(640, 480)
NAMES = ("a", "b")


def keypoints(stamp_ns: int) -> Keypoints2D:
    return Keypoints2D(np.zeros((25, 2), np.float32), np.ones(25, np.float32), 640, 480, stamp_ns)


def feed(recording: Recording, frame: int, start_ns: int, *, posed: bool = True, processed: bool = True) -> None:
    """Frame i: stamped on a 30 Hz video, sent at its stamp + 2 ms, keypoints after 20, joint state after 30."""
    stamp_ns = start_ns + round(frame / 30 * 1e9)
    recording.image(stamp_ns, stamp_ns + 2 * MS, INTRINSICS)
    recording.keypoints(keypoints(stamp_ns), stamp_ns + 22 * MS)
    if posed:
        recording.joint_state(stamp_ns, stamp_ns + 32 * MS, NAMES, np.zeros(2))
        recording.body_pose(stamp_ns, stamp_ns + 33 * MS, RecordedPose(root_position_m=np.zeros(3)))
    if processed:
        recording.processed(stamp_ns)


def test_rate_latency_and_losses_of_a_known_run():
    recording = Recording(started_ns=0)
    for frame in range(40):
        # Nobody in view in 0..4 (before the first pose) and in 10..12; 20 and 21 got lost.
        lost = frame in (20, 21)
        feed(recording, frame, 10**9, posed=frame > 4 and frame not in (10, 11, 12) and not lost, processed=not lost)
    summary = summarise(recording, "clip", video_stamps=False)
    assert (summary.frames, summary.poses, summary.refined_frames) == (40, 30, 30)
    assert (summary.dropped, summary.no_person, summary.lost) == (5, 3, 2)
    assert summary.fps == pytest.approx(29 / (34 / 30))  # 30 joint states over 34 frame times
    assert (summary.latency_p50_ms, summary.latency_p99_ms) == pytest.approx((32.0, 32.0))
    assert summary.start_s == pytest.approx(1 + 5 / 30 + 0.032)
    stages = {stage.title: stage.p50_ms for stage in summary.stages}
    assert stages == pytest.approx({"camera": 2.0, "keypoints": 20.0, "pose": 10.0, "total": 32.0})


def test_how_poses_were_made_is_what_pose_node_said():
    recording = Recording()
    assert summarise(recording, "clip", video_stamps=False).as_json()["frames_with_step"] is None
    said = {"optimizer": "metric", "hypotheses": "1", "guidance": "0.0", "refined": "10", "refined_with_step": "4"}
    later = {"optimizer": "optimus", "hypotheses": "4", "guidance": "0.5", "refined_with_step": "8"}
    for more in ({}, later, later):
        recording.diagnostics("pose_node", 0, "", said | more)
    figures = summarise(recording, "clip", video_stamps=False).as_json()
    told = [figures[key] for key in ("optimizer", "hypotheses", "guidance", "frames_with_step")]
    assert told == ["optimus", 4, 0.5, 0.8]


def test_with_stamps_of_the_video_latency_counts_from_the_camera_node():
    recording = Recording()
    for frame in range(5):
        feed(recording, frame, 10**9)
    summary = summarise(recording, "clip", video_stamps=True)
    assert summary.latency_p50_ms == pytest.approx(30.0)
    assert "camera" not in [stage.title for stage in summary.stages]


def test_frames_that_the_camera_left_out_after_the_first_pose_are_lost_too():
    recording = Recording()
    recording.diagnostics("camera_node", 0, "", {"skipped": "2"})
    feed(recording, 0, 10**9)
    recording.diagnostics("camera_node", 0, "", {"skipped": "5"})
    feed(recording, 4, 10**9)
    summary = summarise(recording, "clip", video_stamps=False)
    assert (summary.frames, summary.lost, summary.dropped) == (7, 3, 3)


def test_what_is_under_way_when_a_run_is_stopped_is_not_lost():
    for stopped, lost in ((True, 1), (False, 3)):
        recording = Recording(stopped=stopped)
        for frame in range(10):
            feed(recording, frame, 10**9, posed=frame not in (5, 8, 9), processed=frame not in (5, 8, 9))
        assert recording.tally().lost == lost


def test_a_run_without_anybody_has_no_rates_and_no_losses():
    recording = Recording()
    for frame in range(3):
        feed(recording, frame, 10**9, posed=False)
    summary = summarise(recording, "clip", video_stamps=True)
    assert (summary.frames, summary.poses, summary.dropped, summary.fps) == (3, 0, 0, 0.0)
    assert summary.latency_p50_ms is None and summary.as_json()["start_s"] is None
    assert "nobody was seen" in summary_table(summary)


def test_a_long_run_forgets_frames_and_keeps_the_counts():
    short, endless = Recording(max_frames=10), Recording()
    for frame in range(200):
        for recording in (short, endless):
            feed(recording, frame, 10**9, posed=frame % 3 > 0, processed=frame % 7 > 0)
    assert len(short.frames) == 10 and len(endless.frames) == 200
    assert short.tally() == endless.tally()
    assert (short.fps, short.images, short.poses) == (endless.fps, endless.images, endless.poses)


def test_without_poses_only_times_are_kept():
    recording = Recording(keep_poses=False)
    feed(recording, 0, 10**9)
    (frame,) = recording.frames
    assert frame.keypoints is None and frame.pose is None and frame.joint_state_ns


def test_messages_may_come_in_any_order_and_twice():
    recording = Recording()
    stamp_ns = 5 * 10**9
    recording.body_pose(stamp_ns, stamp_ns + 2, RecordedPose(root_position_m=np.ones(3)))
    recording.joint_state(stamp_ns, stamp_ns + 1, NAMES, np.ones(2))
    recording.joint_state(stamp_ns, stamp_ns + 1, NAMES, np.ones(2))
    assert recording.poses == 1
    pose = recording.frames[0].pose
    assert pose.complete and pose.root_position_m.tolist() == [1, 1, 1] and pose.angles_rad.tolist() == [1, 1]


def test_nodes_own_timings_are_summed_up_over_their_windows():
    recording = Recording()
    feed(recording, 0, 10**9)
    for p50, p99 in (("4", "9"), ("5", "30"), ("6", "8")):
        recording.diagnostics("pose_node", 0, "", {"lift_p50_ms": p50, "lift_p99_ms": p99, "device": "cpu"})
    (lifting,) = [s for s in summarise(recording, "clip", True).stages if s.title.strip() == "lifting"]
    assert (lifting.p50_ms, lifting.p99_ms) == (5.0, 30.0)


def test_a_problem_stands_until_the_node_is_well_again():
    recording = Recording()
    recording.diagnostics("camera_node", 2, "lost the camera", {})
    assert recording.problems == {"camera_node": (2, "lost the camera")}
    recording.diagnostics("camera_node", 0, "running", {})
    assert recording.problems == {}


def test_indices_of_frames_in_their_source():
    at_30_hz = [round(i / 30 * 1e9) for i in (0, 1, 2, 5, 6, 9)]
    assert source_indices(at_30_hz, 30.0, exact_stamps=True, skipped=0) == [0, 1, 2, 5, 6, 9]
    assert source_indices(at_30_hz, 30.0, exact_stamps=False, skipped=3) == [0, 1, 2, 5, 6, 9]
    # Nothing was skipped: whatever the clock said, they are consecutive.
    jitter = [0, 60 * MS, 67 * MS, 130 * MS]
    assert source_indices(jitter, 30.0, exact_stamps=False, skipped=0) == [0, 1, 2, 3]
    # Two frames never share an index.
    assert source_indices([0, 1 * MS, 2 * MS], 30.0, exact_stamps=False, skipped=1) == [0, 1, 2]
    assert source_indices([], 30.0, exact_stamps=True, skipped=0) == []


@pytest.mark.parametrize(
    "label, heading",
    [
        ("'clip.mp4'", "clip.mp4"),
        ("'imgs' (90 images)", "imgs (90 images)"),
        ("'Bob's.mp4'", "Bob's.mp4"),
        ("camera 0",) * 2,
    ],
)
def test_the_heading_of_a_summary_has_no_quotes(label, heading):
    assert unquoted(label) == heading
