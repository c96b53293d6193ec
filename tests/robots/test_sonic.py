"""A person's poses for SONIC: what is in the messages, at what rate they go on, and when they go out."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from diffmocap.body.skeleton import JOINT_MIRROR, JOINT_NAMES
from diffmocap.output.tracking_state import TrackEvent, TrackingState
from diffmocap.robots.frames import HumanFrame
from diffmocap.robots.live.engagement_settings import EngagementSettings
from diffmocap.robots.live.person_watch import Sighting
from diffmocap.robots.sonic.messages import HEADER_BYTES, pose_message
from diffmocap.robots.sonic.pose import WRIST_RANGE, SonicPose, between, heading_of, sonic_pose
from diffmocap.robots.sonic.session import SonicSession, State, StreamSettings
from diffmocap.robots.sonic.stream import GAP_S, RATE, FrameStream
from tests.robots.standing_person import Person

#: Bytes that SONIC's own reader took; tests/data/README.md says of which commit, and what it read.
TAKEN = Path(__file__).parents[1] / "data/sonic_pose.bin"
PERSON = Person()
FPS = 30.0
TURNS = {
    "left_elbow": (0.3, -0.9, 0.1), "right_elbow": (0.2, 0.7, -0.2), "left_wrist": (0.1, 0.3, -0.2),
    "right_wrist": (-0.2, 0.4, 0.1), "left_hip": (-0.4, 0.1, 0.0), "left_knee": (0.6, 0.0, 0.0),
}  # fmt: skip


def swaying(t: float) -> HumanFrame:
    """Somebody who sways, turns, and moves arms and legs."""
    turns = {name: tuple(np.sin(2.0 * t + i) * x for x in turn) for i, (name, turn) in enumerate(TURNS.items())}
    return PERSON.frame(turns, yaw=0.4 * np.sin(t))


def messages() -> list[bytes]:
    """Those of a quarter of a second from a camera with 30 images a second."""
    stream, made = FrameStream(5, 1.0), []
    for n in range(9):
        chunk = stream.add(n / FPS, sonic_pose(swaying(n / FPS), 1.66), n / FPS)
        if chunk is not None:
            made.append(pose_message("pose", chunk.first, chunk.poses, 100.0 + n / FPS))
    return made


def read(message: bytes, topic: str = "pose") -> dict[str, np.ndarray]:
    """Arrays of a message, by its header alone."""
    header = json.loads(message[len(topic) :][:HEADER_BYTES].rstrip(b"\0"))
    assert message.startswith(topic.encode()) and (header["v"], header["endian"]) == (3, "le")
    types, at, found = {"f32": "<f4", "f64": "<f8", "i64": "<i8"}, len(topic) + HEADER_BYTES, {}
    for field in header["fields"]:
        count = int(np.prod(field["shape"]))
        found[field["name"]] = np.frombuffer(message, types[field["dtype"]], count, at).reshape(field["shape"])
        at += found[field["name"]].nbytes
    assert at == len(message)
    return found


def test_the_bytes_that_sonic_took_are_still_made() -> None:
    taken, made = TAKEN.read_bytes(), messages()
    for message in made:
        assert taken[: 4 + HEADER_BYTES] == message[: 4 + HEADER_BYTES], "topic and header to the byte"
        stored, taken = read(taken[: len(message)]), taken[len(message) :]
        now = read(message)
        assert list(now) == list(stored)
        for name, value in now.items():
            assert value.dtype == stored[name].dtype
            np.testing.assert_allclose(value, stored[name], atol=1e-6, err_msg=name)
    assert taken == b""


def test_somebody_who_stands_ahead_is_turned_by_nothing() -> None:
    pose = sonic_pose(PERSON.frame(), 0.0)
    np.testing.assert_allclose(pose.root, (1.0, 0.0, 0.0, 0.0), atol=1e-9)
    of = dict(zip(JOINT_NAMES, pose.joints, strict=True))
    assert (pose.joints[0] == 0.0).all()
    assert of["left_hip"][1] > 0.05 > -0.05 > of["right_hip"][1], "y is left"
    assert of["head"][2] > 0.4 and of["left_ankle"][2] < -0.7, "z is up"
    assert of["left_foot"][0] > of["left_ankle"][0] + 0.05, "x is forward"


def test_joints_are_those_of_the_person_seen_from_the_root() -> None:
    frame = swaying(1.3)
    frame = replace(frame, positions=frame.positions + [3.0, -2.0, 0.5])
    pose = sonic_pose(frame, 0.0)
    turned = Rotation.from_quat(np.roll(pose.root, -1)).apply(pose.joints)
    np.testing.assert_allclose(turned, frame.positions - frame.positions[0], atol=1e-9)
    assert heading_of(pose) == pytest.approx(0.4 * np.sin(1.3), abs=1e-9)
    local = {name: Rotation.from_rotvec(vector) for name, vector in zip(JOINT_NAMES[1:22], pose.pose, strict=True)}
    expected = PERSON.local({name: tuple(np.sin(2.6 + i) * x for x in t) for i, (name, t) in enumerate(TURNS.items())})
    for name, rotation in local.items():
        np.testing.assert_allclose(rotation.as_matrix(), expected[JOINT_NAMES.index(name)], atol=1e-9, err_msg=name)


def test_a_skeleton_is_scaled_and_a_heading_is_added() -> None:
    own, scaled = sonic_pose(swaying(0.4), 0.0), sonic_pose(swaying(0.4), 2.0 * PERSON.height, heading=0.7)
    np.testing.assert_allclose(scaled.joints, 2.0 * own.joints, atol=1e-12)
    assert heading_of(scaled) - heading_of(own) == pytest.approx(0.7)


@pytest.mark.parametrize(
    ("elbow", "wrist", "expected"),
    [
        ((0.0, -1.2, 0.0), (0.0, 0.0, 0.0), (0.0, 0.0, 0.0)),  # a bend is the elbow's alone
        ((0.4, 0.0, 0.0), (0.3, 0.0, 0.0), (0.7, 0.0, 0.0)),
        ((0.0, -1.0, 0.0), (0.0, 0.5, 0.0), (0.0, 0.5, 0.0)),
        ((0.0, 0.0, 0.0), (0.0, 0.0, -0.6), (0.0, 0.0, -0.6)),
        ((2.0, 0.0, 0.0), (1.0, 0.0, 0.0), (WRIST_RANGE[0], 0.0, 0.0)),
    ],
)
def test_wrists_are_the_g1s_and_both_sides_are_alike(elbow, wrist, expected) -> None:
    left = sonic_pose(PERSON.frame({"left_elbow": elbow, "left_wrist": wrist}), 0.0).wrists
    np.testing.assert_allclose(left[0], expected, atol=1e-9)
    mirror = np.array([1.0, -1.0, -1.0])
    right = sonic_pose(PERSON.frame({"right_elbow": mirror * elbow, "right_wrist": mirror * wrist}), 0.0)
    # The G1's roll and yaw turn against its mirror image; its pitch turns with it.
    np.testing.assert_allclose(right.wrists[1], np.multiply(expected, (-1.0, 1.0, -1.0)), atol=1e-9)
    mirrored = sonic_pose(PERSON.frame({"left_elbow": elbow, "left_wrist": wrist}), 0.0).joints[list(JOINT_MIRROR)]
    np.testing.assert_allclose(right.joints, mirrored * [1.0, -1.0, 1.0], atol=0.02)


def test_on_the_way_from_one_pose_to_another() -> None:
    a, b = (sonic_pose(swaying(t), 0.0) for t in (0.2, 1.9))
    for share, end in ((0.0, a), (1.0, b)):
        made = between(a, b, share)
        for name in ("joints", "pose", "wrists"):
            np.testing.assert_allclose(getattr(made, name), getattr(end, name), atol=1e-9)
        assert abs(made.root @ end.root) == pytest.approx(1.0)
    assert heading_of(between(a, b, 0.5)) == pytest.approx(0.5 * (heading_of(a) + heading_of(b)), abs=1e-6)


def upright(x: float) -> SonicPose:
    """A pose with a number in it."""
    return replace(sonic_pose(PERSON.frame(), 0.0), wrists=np.full((2, 3), x))


def played(chunks) -> dict[int, float]:
    """The numbers by frame; what two chunks say of one frame is the same."""
    frames: dict[int, float] = {}
    for chunk in chunks:
        for n, pose in enumerate(chunk.poses):
            assert frames.setdefault(chunk.first + n, pose.wrists[0, 0]) == pose.wrists[0, 0]
    return frames


def test_frames_come_at_the_rate_of_the_controller_whatever_the_cameras() -> None:
    for fps in (12.0, 30.0, 60.0, 120.0):
        stream = FrameStream(5, 1.0)
        chunks = [stream.add(n / fps, upright(n / fps), n / fps) for n in range(int(2 * fps) + 1)]
        frames = played([chunk for chunk in chunks if chunk is not None])
        assert list(frames) == list(range(101)), fps
        np.testing.assert_allclose(list(frames.values()), np.arange(101) / RATE, atol=1e-9)
        first = next(n for n, chunk in enumerate(chunks) if chunk is not None)
        assert first / fps >= 4 / RATE - 1e-9, "a whole message is gathered first"
        assert all(len(chunk.poses) >= 5 for chunk in chunks if chunk is not None)


def test_after_a_gap_frames_go_on_where_they_ended_and_blend() -> None:
    stream = FrameStream(5, blend_s=1.0)
    chunks = [stream.add(n / FPS, upright(0.0), n / FPS) for n in range(30)]
    ended = stream.last
    chunks += [stream.add(3.0 + n / FPS, upright(1.0), 3.0 + n / FPS) for n in range(60)]
    frames = played([chunk for chunk in chunks if chunk is not None])
    assert list(frames) == list(range(len(frames))), "no frame is missing: SONIC would start anew"
    steps = np.diff(list(frames.values()))
    assert ended.wrists[0, 0] == 0.0 and frames[len(frames) - 1] == 1.0
    assert 0.0 <= steps.min() and steps.max() <= 1.6 / RATE, "twice as fast as the way takes on average at most"
    assert len(frames) < 30 / FPS * RATE + 60 / FPS * RATE + 2, "the gap is no time"


def test_frames_that_were_never_sent_leave_no_hole() -> None:
    stream, chunks = FrameStream(5, 0.5), []
    for begin in (0.0, 2.0, 4.0):
        for n in range(2 if begin == 2.0 else 20):  # at 2 s too few for a message
            chunks.append(stream.add(begin + n / FPS, upright(begin), begin + n / FPS))
        stream.pause()
    frames = played([chunk for chunk in chunks if chunk is not None])
    assert list(frames) == list(range(len(frames)))
    steps = np.diff(list(frames.values()))
    assert 0.0 <= steps.min() and steps.max() < 4.0 * 2.0 / (0.5 * RATE), "from the pose that was kept, and not back"


def test_a_stall_of_this_computer_is_caught_up() -> None:
    stream, played_to, sent, late = FrameStream(5, 1.0), 0.0, 0, []
    began_s = None
    for n in range(900):
        time_s = n / FPS
        now_s = time_s + (0.6 if 90 <= n < 108 else 0.0)  # poses wait, and then come at once
        now_s = max(now_s, 3.6) if 90 <= n < 108 else now_s
        chunk = stream.add(time_s, upright(time_s), now_s)
        if chunk is None:
            continue
        # The controller: a frame every 20 ms, and the last one where there is none.
        began_s = now_s if began_s is None else began_s
        played_to = min(played_to + RATE * (now_s - began_s), float(sent))
        began_s = now_s
        sent = chunk.first + len(chunk.poses)
        late.append(sent - played_to)
    assert max(late) > 15 and late[-1] <= 11.0


def test_times_that_do_not_grow_are_left_out() -> None:
    stream = FrameStream(1, 1.0)
    assert stream.add(1.0, upright(0.0), 0.0) is not None
    assert stream.add(1.0, upright(9.0), 0.1) is None and stream.add(0.5, upright(9.0), 0.1) is None
    chunk = stream.add(1.0 + 1 / RATE, upright(1.0), 0.2)
    assert chunk.first == 1 and chunk.poses[0].wrists[0, 0] == 1.0
    assert GAP_S > 1 / 12, "slow cameras are no gaps"


class Room:
    """A session, and somebody before a camera that is calibrated."""

    def __init__(self, by_itself: bool = False, **settings) -> None:
        quick = EngagementSettings(stand_time=0.5, blend_time=0.5, **settings)
        self.session = SonicSession(quick, StreamSettings(5, 1.66, by_itself))
        self.now_s, self.chunks = 10.0, []

    def see(self, seconds: float, state=TrackingState.TRACKED, track_id: int = 1, yaw: float = 0.0, events=0) -> int:
        """Poses for a while; how many messages went out."""
        sent = len(self.chunks)
        for _ in range(round(seconds * FPS)):
            self.now_s += 1 / FPS
            with_pose = state in (TrackingState.TRACKED, TrackingState.PREDICTED)
            frame = PERSON.frame(yaw=yaw) if with_pose else None
            sighting = Sighting(state, track_id, TrackEvent(events), frame, 0.0)
            chunk = self.session.sight(sighting, self.now_s, self.now_s)
            self.chunks += [] if chunk is None else [chunk]
            events = 0
        return len(self.chunks) - sent

    def wait(self, seconds: float) -> None:
        self.now_s += seconds
        self.session.look(self.now_s)

    def numbers(self) -> list[int]:
        return sorted({chunk.first + n for chunk in self.chunks for n in range(len(chunk.poses))})


def test_nothing_goes_out_before_the_stand_and_before_it_is_asked_for() -> None:
    room = Room()
    assert "no body_pose" in room.session.engage(room.now_s).text
    assert room.see(0.3) == 0 and "stand upright" in room.session.engage(room.now_s).text
    assert room.see(1.0) == 0 and room.session.state is State.WAITING
    assert room.session.engage(room.now_s).granted
    assert room.see(1.0) > 20 and room.session.state is State.STREAMING


def test_an_assumed_field_of_view_is_refused_unless_it_is_allowed() -> None:
    room = Room()
    room.session.camera_fault = "the camera is not calibrated"
    room.see(1.0)
    assert "allow_assumed_fov" in room.session.engage(room.now_s).text
    room.session.take(replace(room.session.settings, allow_assumed_fov=True), StreamSettings(5, 1.66, False))
    assert room.session.engage(room.now_s).granted


@pytest.mark.parametrize(
    "loss",
    [
        lambda room: room.see(0.2, TrackingState.LOST),
        lambda room: room.see(0.2, TrackingState.SEARCHING),
        lambda room: room.see(0.6, TrackingState.PREDICTED),
        lambda room: room.wait(0.6),
        lambda room: room.session.hold("released"),
        lambda room: room.session.forget_person(),
    ],
)
def test_after_a_loss_nothing_goes_out_until_it_is_asked_for_again(loss) -> None:
    room = Room()
    room.see(1.0)
    room.session.engage(room.now_s)
    before = room.see(1.0)
    assert before and loss(room) in (0, None)
    assert room.session.state is State.HOLDING and room.session.reason
    assert room.see(2.0) == 0, "whoever is back is not followed unasked"
    assert room.session.engage(room.now_s).granted and room.see(1.0)
    assert room.numbers() == list(range(len(room.numbers())))


def test_only_tracked_poses_go_out_and_a_moment_without_one_ends_nothing() -> None:
    room = Room()
    room.see(1.0)
    room.session.engage(room.now_s)
    assert room.see(1.0)
    assert room.see(0.2, TrackingState.PREDICTED) == 0 and room.session.state is State.STREAMING
    assert not room.session.refusal(room.now_s)
    assert room.see(0.5) and room.session.state is State.STREAMING


def test_another_person_stands_first_and_the_robot_keeps_its_heading() -> None:
    room = Room()
    room.see(1.0)
    room.session.engage(room.now_s)
    room.see(1.0)
    room.see(1.0, yaw=0.8)
    turned = heading_of(room.chunks[-1].poses[-1])
    assert turned == pytest.approx(0.8, abs=0.01)
    assert room.see(0.2, track_id=2, yaw=-1.0, events=TrackEvent.STARTED) == 0
    assert not room.session.engage(room.now_s).granted
    room.see(1.0, track_id=2, yaw=-1.0)
    assert room.session.engage(room.now_s).granted
    room.see(2.0, track_id=2, yaw=-1.0)
    assert heading_of(room.chunks[-1].poses[-1]) == pytest.approx(turned, abs=0.01)


def test_a_stream_that_may_begins_and_goes_on_by_itself() -> None:
    room = Room(by_itself=True)
    assert room.see(2.0) and room.session.state is State.STREAMING
    assert room.see(0.3, TrackingState.LOST) == 0 and room.session.state is State.HOLDING
    assert room.see(1.0) and room.session.state is State.STREAMING


def test_another_explanation_of_the_images_is_blended_into() -> None:
    room = Room()
    room.see(1.0)
    room.session.engage(room.now_s)
    room.see(1.0)
    room.see(1.0, yaw=1.0, events=TrackEvent.SWITCHED)
    frames = {c.first + n: heading_of(p) for c in room.chunks for n, p in enumerate(c.poses)}
    assert max(np.diff([frames[n] for n in sorted(frames)])) < 0.1
