"""Says on `body_pose` what becomes of the track while no pose goes out, so that nobody takes the last one for news."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from rclpy.node import Node

from diffmocap.nodes.health.diagnostics import ERROR, Diagnostics
from diffmocap.nodes.health.input_watch import SILENCE_S
from diffmocap.nodes.node_clock import steady_timer
from diffmocap.output.tracking_state import TrackingState, TrackStatus
from diffmocap.timing.stream_rate import StreamRate

#: How often silence is looked for, and how often a state that lasts is told again [s].
PERIOD_S, REPEAT_S = 0.05, 0.5

#: States that come with a pose.
_WITH_POSE = (TrackingState.TRACKED, TrackingState.PREDICTED)


class TrackWatch:
    """Looks after one node's keypoints by a clock that nobody sets, from any thread; problem ``stale`` (ERROR).

    Keypoints that are refused, or whose stamps do not advance, are as good as none: the track ends without news.

    Args:
        node, diagnostics: where to run and to tell.
        lose: ends the track and says what became of it; None: not now, an image is being worked on.
        publish: a status without a pose: status, and its stamp [ns].
        longest_s: silence that ends a track, and is longer for slow streams.
    """

    #: An image is being worked on, or its pose published: LOST is not told between the two.
    working = False

    def __init__(
        self,
        node: Node,
        diagnostics: Diagnostics,
        lose: Callable[[], TrackStatus | None],
        publish: Callable[[TrackStatus, int], None],
        longest_s: Callable[[], float],
    ) -> None:
        self._node, self._diagnostics = node, diagnostics
        self._lose, self._publish, self._longest_s = lose, publish, longest_s
        self._lock = threading.Lock()
        self._rate = StreamRate()
        self._used_s: float | None = None  # when keypoints could be used the last time
        self._stamp_ns: int | None = None  # of the newest image that was worked on, which came at:
        self._stamped_s = 0.0
        self._status = TrackStatus()
        self._told: tuple[TrackingState, int] | None = None
        self._told_s = 0.0
        self._silent = False
        self._timer = steady_timer(node, PERIOD_S, self.check)

    def close(self) -> None:
        """Ends the watch, and takes back what was said."""
        self._node.destroy_timer(self._timer)
        self._diagnostics.solved("stale")

    def received(self) -> None:
        """Keypoints came."""
        with self._lock:
            self._rate.observe(round(time.monotonic() * 1e9))

    def used(self) -> None:
        """Keypoints were what a pose can be made of, now or later."""
        with self._lock:
            self._used_s, self._silent = time.monotonic(), False
        self._diagnostics.solved("stale")

    def worked(self, track: TrackStatus, with_pose: bool, stamp_ns: int, received_s: float) -> None:
        """An image was worked on, which came at ``received_s`` of the monotonic clock; its pose is out."""
        self.used()
        with self._lock:
            self._stamp_ns, self._stamped_s = stamp_ns, received_s
            self._status = track
            if with_pose:
                self._told, self._told_s = (track.state, track.track_id), time.monotonic()
            elif track.state not in _WITH_POSE:
                self._tell(track, stamp_ns)

    def check(self) -> None:
        """Looks for silence, and tells again what lasts."""
        now_s = time.monotonic()
        with self._lock:
            silent_s = 0.0 if self._used_s is None else now_s - self._used_s
            gap_s = self._rate.gap_s(self._longest_s())
            if self._used_s is not None and silent_s >= gap_s and not self.working:
                self._fall_silent(silent_s, gap_s)
            if self._status.state not in _WITH_POSE and now_s - self._told_s >= REPEAT_S:
                self._tell(self._status, self._now_ns(now_s))

    def _fall_silent(self, silent_s: float, gap_s: float) -> None:
        if not self._silent:
            status = self._lose()
            if status is None:
                return
            self._silent = True
            self._tell(status, self._now_ns(time.monotonic()))
        if silent_s < SILENCE_S:  # from then on the watch over the input, or what refuses it, tells why
            said = (
                f"no pose is published: no keypoints for {silent_s:.1f} s, or none that can be used, and {gap_s:.2g} s "
                "end a track (max_gap)"
            )
            known = self._diagnostics.has_problem("stale")
            self._diagnostics.problem("stale", said, ERROR)
            if not known:  # not a second later
                self._diagnostics.publish()
        else:
            self._diagnostics.solved("stale")

    def _tell(self, status: TrackStatus, stamp_ns: int) -> None:
        """Publishes a status without a pose at once where it is another, and else seldom."""
        now_s = time.monotonic()
        lost = status.state is TrackingState.LOST
        self._status = TrackStatus(TrackingState.SEARCHING, status.track_id) if lost else status
        known = (status.state, status.track_id)
        if known == self._told and now_s - self._told_s < REPEAT_S:
            return
        self._told, self._told_s = known, now_s
        self._publish(status, stamp_ns)

    def _now_ns(self, now_s: float) -> int:
        """Time on the images' clock; the node's before the first image."""
        if self._stamp_ns is None:
            return self._diagnostics.clock.now_ns()
        return self._stamp_ns + round((now_s - self._stamped_s) * 1e9)
