"""What the diagnostics say of images that brought no pose: nobody in view, or what was withheld and why."""

from __future__ import annotations

import time

from diffmocap.nodes.health.diagnostics import ERROR, OK, Diagnostics
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
    """Problems ``view`` and ``gate``, values ``tracking_state``, ``track_id`` and ``confidence``, and counters."""

    def __init__(self, diagnostics: Diagnostics) -> None:
        self._diagnostics = diagnostics
        self._unseen_since_s: float | None = None
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

    def _tell_withheld(self, reason: str, intrinsics: CameraIntrinsics) -> None:
        """Nobody to publish is no fault; a calibration that is none is."""
        self._diagnostics.count(f"withheld_{reason}")
        if reason == "calibration":
            text = (
                f"poses are withheld: the calibration has {absurd_calibration(intrinsics)}; correct K and the image "
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
