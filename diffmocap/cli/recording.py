"""The messages of a run of the graph, frame by frame, and the figures computed from them. No ROS here.

A frame is one image of the source, identified by its stamp in every message. Times at which messages were sent or
received are on the system clock, as DDS records them.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from diffmocap.types import CameraIntrinsics, Keypoints2D

#: Values of /diagnostics that are stored for one key: an hour at one a second.
MAX_SERIES = 3600


@dataclass(slots=True)
class RecordedPose:
    """One pose as published.

    Attributes:
        angles_rad: [69] in the order of the recording's ``joint_names``.
        root_position_m, root_xyzw: the URDF's root link in the optical frame, [3] and quaternion [4].
        rotations_xyzw: [24, 4] SMPL's local rotations, entry 0 in the optical frame.
        joint_positions_m: [24, 3] in the optical frame.
    """

    angles_rad: np.ndarray | None = None
    root_position_m: np.ndarray | None = None
    root_xyzw: np.ndarray | None = None
    rotations_xyzw: np.ndarray | None = None
    joint_positions_m: np.ndarray | None = None

    @property
    def complete(self) -> bool:
        """Both messages about it have come."""
        return self.angles_rad is not None and self.root_position_m is not None


@dataclass(slots=True)
class RecordedFrame:
    """The messages about one image; times in ns on the system clock, 0 where nothing came.

    ``processed`` without a pose means that too few keypoints were visible.
    """

    stamp_ns: int
    image_ns: int = 0
    keypoints_ns: int = 0
    joint_state_ns: int = 0
    body_pose_ns: int = 0
    processed: bool = False
    keypoints: Keypoints2D | None = None
    pose: RecordedPose | None = None


class Sink(Protocol):
    """Keeps what a run brings; :class:`diffmocap.reconstruct.session.SessionWriter` does."""

    def camera(self, intrinsics: CameraIntrinsics) -> None: ...

    def keypoints(self, keypoints: Keypoints2D) -> None: ...

    def pose(self, stamp_ns: int, rotations_xyzw: np.ndarray, pelvis_m: np.ndarray) -> None: ...


@dataclass
class Tally:
    """Counts over the frames after the first pose: see :meth:`Recording.tally`."""

    posed: int = 0
    no_person: int = 0
    lost: int = 0


@dataclass
class Recording:
    """Collects messages from the thread that receives them; everybody else reads.

    Attributes:
        max_frames: number of frames that are stored; the oldest go. Counts are of all frames.
        keep_poses: whether keypoints and poses are stored, or times alone.
        sink: gets camera, keypoints and poses as they come, where there is one.
        intrinsics: of the latest camera_info, None until one was received.
        joint_names: of the joint states, empty before the first.
        images, poses, refined: how many images, joint states and body poses there were.
        by_physics: body poses among them that the physics made better.
        first_pose_ns, last_pose_ns, started_ns: system clock, 0 until it happened.
        problems: node -> (level, message) of its diagnostics, where it has one.
        skipped_before_first_pose: images that the camera node had left out by then.
        peak_rss_bytes: most memory that the nodes had together.
        stopped: the run ended before its source did.
    """

    max_frames: int = 100_000
    keep_poses: bool = True
    sink: Sink | None = None
    intrinsics: CameraIntrinsics | None = None
    joint_names: tuple[str, ...] = ()
    started_ns: int = 0
    first_pose_ns: int = 0
    last_pose_ns: int = 0
    images: int = 0
    poses: int = 0
    refined: int = 0
    by_physics: int = 0
    skipped_before_first_pose: int = 0
    problems: dict[str, tuple[int, str]] = field(default_factory=dict)
    peak_rss_bytes: int = 0
    stopped: bool = False

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._frames: OrderedDict[int, RecordedFrame] = OrderedDict()
        self._forgotten = Tally()
        self._recent: deque[tuple[int, int]] = deque(maxlen=200)  # of joint states: when, and how long they took
        self._series: dict[tuple[str, str], deque[float]] = {}
        self._texts: dict[tuple[str, str], str] = {}

    # --- messages ------------------------------------------------------------------------------------------------

    def image(self, stamp_ns: int, time_ns: int, intrinsics: CameraIntrinsics) -> None:
        """An image left the camera."""
        if self.sink is not None and intrinsics is not None:
            self.sink.camera(intrinsics)
        with self._lock:
            self.intrinsics = intrinsics
            frame = self._frame(stamp_ns)
            if not frame.image_ns:
                self.images += 1
            frame.image_ns = time_ns

    def keypoints(self, keypoints: Keypoints2D, time_ns: int) -> None:
        """Keypoints were found, or nobody."""
        if self.sink is not None:
            self.sink.keypoints(keypoints)
        with self._lock:
            frame = self._frame(keypoints.stamp_ns)
            frame.keypoints_ns = time_ns
            if self.keep_poses:
                frame.keypoints = keypoints

    def processed(self, stamp_ns: int) -> None:
        """pose_node has finished a frame, with or without a pose."""
        with self._lock:
            self._frame(stamp_ns).processed = True

    def joint_state(self, stamp_ns: int, time_ns: int, names: tuple[str, ...], angles_rad: np.ndarray) -> None:
        """A joint state was received."""
        with self._lock:
            frame = self._frame(stamp_ns)
            if not frame.joint_state_ns:
                self.poses += 1
            frame.joint_state_ns = time_ns
            if not self.first_pose_ns:
                self.first_pose_ns = time_ns
                skipped = self._series.get(("camera_node", "skipped"))
                self.skipped_before_first_pose = int(skipped[-1]) if skipped else 0
            self._recent.append((time_ns, time_ns - (frame.image_ns or stamp_ns)))
            self.last_pose_ns = max(self.last_pose_ns, time_ns)
            self.joint_names = names
            if self.keep_poses:
                frame.pose = frame.pose or RecordedPose()
                frame.pose.angles_rad = angles_rad

    def body_pose(self, stamp_ns: int, time_ns: int, pose: RecordedPose, by_physics: bool = False) -> None:
        """A body pose was received; ``pose`` has everything but the angles."""
        if self.sink is not None:
            self.sink.pose(stamp_ns, pose.rotations_xyzw, pose.root_position_m)
        with self._lock:
            frame = self._frame(stamp_ns)
            if not frame.body_pose_ns:
                self.refined += 1
                self.by_physics += by_physics
            frame.body_pose_ns = time_ns
            if self.keep_poses:
                if frame.pose is not None:
                    pose.angles_rad = frame.pose.angles_rad
                frame.pose = pose

    def diagnostics(self, node: str, level: int, message: str, values: Mapping[str, str]) -> None:
        """A node's diagnostics were received."""
        with self._lock:
            self.problems.pop(node, None)
            if level:
                self.problems[node] = (level, message)
            for key, value in values.items():
                try:
                    number = float(value)
                except ValueError:
                    self._texts[node, key] = value
                    continue
                self._series.setdefault((node, key), deque(maxlen=MAX_SERIES)).append(number)

    # --- figures -------------------------------------------------------------------------------------------------

    @property
    def frames(self) -> list[RecordedFrame]:
        """The stored frames in the order of their stamps."""
        with self._lock:
            return [self._frames[stamp] for stamp in sorted(self._frames)]

    def tally(self) -> Tally:
        """Frames since the first pose: with a pose, with nobody in view, and lost on the way.

        Where the run was stopped, what was under way at its end is not lost.
        """
        with self._lock:
            total = Tally(self._forgotten.posed, self._forgotten.no_person, self._forgotten.lost)
            frames = [self._frames[stamp] for stamp in sorted(self._frames)]
            while self.stopped and frames and not frames[-1].joint_state_ns and not frames[-1].processed:
                frames.pop()
            started = total.posed > 0
            for frame in frames:
                started = started or bool(frame.joint_state_ns)
                if started:
                    self._count(total, frame)
        return total

    def values_over_time(self, node: str, key: str) -> list[float]:
        """Values of one key of a node's diagnostics, oldest first."""
        with self._lock:
            return list(self._series.get((node, key), ()))

    def text(self, node: str, key: str) -> str:
        """Latest value of a key whose values are text; empty where the node never published it."""
        with self._lock:
            return self._texts.get((node, key), "")

    def value(self, node: str, key: str) -> int:
        """Latest value of a counter in a node's diagnostics; 0 where the node never published it."""
        values = self.values_over_time(node, key)
        return int(values[-1]) if values else 0

    @property
    def skipped(self) -> int:
        """Images that the camera node was too late to read."""
        return self.value("camera_node", "skipped")

    def lately(self) -> tuple[float, float]:
        """Joint states a second and their median latency [ms] over the last second; zeros without any."""
        now_ns = time.time_ns()
        with self._lock:
            recent = [(when, took) for when, took in self._recent if now_ns - when < 1e9]
        if len(recent) < 2:
            return 0.0, 0.0
        span_ns = recent[-1][0] - recent[0][0]
        return (len(recent) - 1) / max(span_ns * 1e-9, 1e-3), float(np.median([took for _, took in recent])) * 1e-6

    @property
    def fps(self) -> float:
        """Joint states a second from the first to the last; 0 with fewer than two."""
        span_ns = self.last_pose_ns - self.first_pose_ns
        return (self.poses - 1) / (span_ns * 1e-9) if self.poses > 1 and span_ns > 0 else 0.0

    def _frame(self, stamp_ns: int) -> RecordedFrame:
        frame = self._frames.get(stamp_ns)
        if frame is None:
            frame = self._frames[stamp_ns] = RecordedFrame(stamp_ns)
            while len(self._frames) > self.max_frames:
                _, oldest = self._frames.popitem(last=False)
                if oldest.joint_state_ns or self._forgotten.posed:
                    self._count(self._forgotten, oldest)
        return frame

    @staticmethod
    def _count(tally: Tally, frame: RecordedFrame) -> None:
        if frame.joint_state_ns:
            tally.posed += 1
        elif frame.processed:
            tally.no_person += 1
        else:
            tally.lost += 1


def source_indices(
    stamps_ns: list[int], fps: float, exact_stamps: bool, skipped: int, times_s: np.ndarray | None = None
) -> list[int]:
    """Index in the source of each published image.

    Args:
        stamps_ns: of the images in order; the first one is the source's first frame.
        fps: of the source.
        exact_stamps: the stamps are times of the video rather than of a clock.
        skipped: images that the camera left out because it was late; their places show in the stamps only.
        times_s: [N] when each image of the source is shown, from the first one on; without any, a constant rate.
    """
    if not stamps_ns:
        return []
    if not exact_stamps and not skipped:
        return list(range(len(stamps_ns)))
    since_first_s = (np.array(stamps_ns, np.int64) - stamps_ns[0]) * 1e-9
    positions = since_first_s * fps
    if times_s is not None and len(times_s) > 1:
        positions = np.interp(since_first_s, times_s, np.arange(len(times_s)))
    indices = [0]
    for position in positions[1:]:
        indices.append(max(round(float(position)), indices[-1] + 1))
    return indices


def percentiles_ms(durations_ns: list[int]) -> tuple[float, float] | None:
    """p50 and p99 [ms], None without durations."""
    if not durations_ns:
        return None
    p50, p99 = np.percentile(np.asarray(durations_ns, float) * 1e-6, [50, 99])
    return float(p50), float(p99)
