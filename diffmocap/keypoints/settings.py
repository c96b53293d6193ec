"""How to find keypoints, and how to mend them.

Imports nothing heavy: the command line reads the settings before it loads the detector.
"""

from __future__ import annotations

from dataclasses import dataclass

from diffmocap.settings import check_settings, setting


@dataclass(frozen=True)
class DetectorSettings:
    """Settings of a :class:`diffmocap.keypoints.mediapipe_detector.Detector`."""

    task_file: str = setting(
        "", "Pose landmarker bundle (.task), as `diffmocap models` makes them; empty: the one that ships, full."
    )
    min_detection_confidence: float = setting(0.5, "Score from which a person counts as found.", 0.0, 1.0)
    min_tracking_confidence: float = setting(
        0.5, "Score of the landmarks under which tracking gives up and detection starts again.", 0.0, 1.0
    )
    smooth: bool = setting(True, "Let MediaPipe filter the landmarks over time.")
    search_small: bool = setting(
        True,
        "Where nobody is seen, look at each image a second time through one of a dozen windows, by which people down "
        "to an eighth of its shorter side are found; costs nothing while somebody is followed.",
    )
    min_visibility: float = setting(0.1, "Keypoints less visible than this count as missing.", 0.0, 1.0)
    calibrated: bool = setting(
        True, "Move MediaPipe's landmarks to the body model's keypoints; false: each is the landmark of its name."
    )

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True)
class SideSettings:
    """When keypoints are taken for exchanged.

    A part of the body counts as exchanged where that brings its keypoints nearer to where they were expected by
    ``gain`` and by half. That finds the moments at which the detector changes its mind, not when it is right: it is
    right for most of the time, so what it has said for longer of late is believed, where the past fades by half in
    ``hold_s``. Exchanges of people whom MediaPipe takes for seen from the other side last up to half a second.
    """

    enabled: bool = setting(True, "Undo momentary exchanges of left and right by the detector.")
    gain: float = setting(
        0.15,
        "How much nearer to where they were expected an exchange has to bring the keypoints of a part of the body, in "
        "half-sizes of the person's box.",
        0.01,
        10.0,
    )
    hold_s: float = setting(
        1.0,
        "The detector that insists for this long is believed; sooner where it had said otherwise for less than that.",
        0.0,
        60.0,
        "s",
    )

    def __post_init__(self) -> None:
        check_settings(self)
