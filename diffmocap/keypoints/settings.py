"""How to find keypoints. Imports nothing heavy: the command line reads the settings before it loads the detector."""

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
