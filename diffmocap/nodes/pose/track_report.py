"""What is said of images without a pose: nobody in view, what was withheld and why, stamps that do not advance."""

from __future__ import annotations

import time
from collections.abc import Callable

from diffmocap.nodes.health.diagnostics import ERROR, OK, WARN, Diagnostics
from diffmocap.nodes.health.input_watch import REMIND_S, WINDOW_S, Share
from diffmocap.output.camera_check import absurd_calibration
from diffmocap.output.gate import REASONS
from diffmocap.pipeline.result import Outcome, PoseResult
from diffmocap.types import CameraIntrinsics

#: What to count where keypoints brought no pose to publish.
_WITHOUT_POSE = {
    Outcome.STALE: "stale", Outcome.DELAYED: "delayed", Outcome.TENTATIVE: "withheld", Outcome.REFUSED: "withheld",
}  # fmt: skip
#: Nobody seen for so long is worth a word [s].
UNSEEN_S = 2.0
#: So many images that are no newer than earlier ones, and this share of the last ones, are no accident of a network.
STALE_COUNT, STALE_SHARE = 3, 0.2
#: Why a pose was withheld, in words.
_WORDS = {
    "evidence": "what is seen does not look like a person",
    "fit": "no body explains the keypoints (gate_fit)",
    "size": "what is seen is too small (gate_size)",
    "distance": "too near or too far (gate_nearest, gate_farthest)",
    "elsewhere": "suddenly somewhere else; another person?",
    "speed": "the pelvis moved too fast (gate_pelvis_speed)",
    "limb": "a limb moved too fast (gate_limb_speed)",
    "turn": "the body turned too fast (gate_root_turn)",
}


class TrackReport:
    """Problems ``view``, ``gate``, ``stamps``; values ``tracking_state``, ``track_id``, ``confidence``; and counters.

    Args:
        diagnostics: where to tell.
        warn: gets what is worth a line in the log.
    """

    def __init__(self, diagnostics: Diagnostics, warn: Callable[[str], None]) -> None:
        self._diagnostics, self._warn = diagnostics, warn
        self._unseen_since_s: float | None = None
        self._stale = Share()
        self._stale_told_s: float | None = None
        for counter in ("without_person", "delayed", "stale", "withheld", *(f"withheld_{r}" for r in REASONS)):
            diagnostics.count(counter, 0)

    def tell(self, result: PoseResult, intrinsics: CameraIntrinsics) -> None:
        """One image."""
        d = self._diagnostics
        if result.outcome is not Outcome.STALE:
            d.set("tracking_state", result.tracking_state.name)
            d.set("track_id", result.track_id)
            d.set("confidence", round(result.track.confidence, 3))
        if result.state is None:
            d.count(_WITHOUT_POSE.get(result.outcome, "without_person"))
        if result.refused:
            self._tell_withheld(result.refused, intrinsics)
        elif result.state is not None:
            d.solved("gate")
        self._tell_view(result.outcome)
        self._tell_stamps(result.outcome is Outcome.STALE)

    def _tell_withheld(self, reason: str, intrinsics: CameraIntrinsics) -> None:
        """Nobody to publish is no fault; a calibration that is none is."""
        self._diagnostics.count(f"withheld_{reason}")
        if reason == "calibration":
            text = (
                f"poses are withheld: the calibration has {absurd_calibration(intrinsics)}; correct K, D and the image "
                "size of camera_info, or leave camera_info out to use vertical_fov_deg"
            )
            self._diagnostics.problem("gate", text, ERROR)
        else:
            self._diagnostics.problem("gate", f"poses are withheld: {_WORDS[reason]}", OK)

    def _tell_view(self, outcome: Outcome) -> None:
        """Nobody in view is no fault, but a reason for silence."""
        now_s = time.monotonic()
        if outcome is not Outcome.UNSEEN:
            if outcome is not Outcome.STALE:
                self._unseen_since_s = None
                self._diagnostics.solved("view")
            return
        self._unseen_since_s = self._unseen_since_s or now_s
        if (unseen_s := now_s - self._unseen_since_s) >= UNSEEN_S:
            self._diagnostics.problem("view", f"nobody in view for {unseen_s:.0f} s", OK)

    def _tell_stamps(self, stale: bool) -> None:
        """Single repeated or late images are no fault; a driver whose stamps stand still or take turns is one."""
        now_s = time.monotonic()
        self._stale.received(now_s)
        self._stale.dropped(now_s, int(stale))
        share = self._stale.of_all(now_s)
        if share <= STALE_SHARE or self._stale.count < STALE_COUNT:
            self._diagnostics.solved("stamps")
            return
        text = (
            f"{100.0 * share:.0f} % of the images of the last {WINDOW_S:g} s are left out, since their stamps are not "
            "newer than earlier ones: let the driver stamp each image when it is taken, or leave the stamps zero; end "
            "one of two sources whose clocks differ"
        )
        self._diagnostics.problem("stamps", text, WARN)
        if self._stale_told_s is None or now_s - self._stale_told_s > REMIND_S:
            self._stale_told_s = now_s
            self._warn(text)
