"""The thresholds before publishing. Imports no torch: the command line reads the settings before it loads any model."""

from __future__ import annotations

from dataclasses import dataclass

from diffmocap.errors import SettingsError
from diffmocap.settings import check_settings, setting


@dataclass(frozen=True)
class GateSettings:
    """When a pose is published as a person's, and as this person's.

    The probabilities are those of :mod:`~diffmocap.output.person_evidence`, after the evidence of the last images. On
    the indoor video (a table's foot is found as a person in 174 images, six people come and go) the table's never
    exceeds 0.63, and a person's passes ``confirm`` in the first image of every other video, where all of them is seen,
    and here in 0.1 to 1 s after the shoulders come into view. The limits of motion are far above what people do: they
    find keypoints of something else, not fast people.
    """

    enabled: bool = setting(
        True, "Withhold poses that are no person's, or not the followed person's; false: publish whatever is lifted."
    )
    confirm: float = setting(
        0.88,
        "Probability of a person from which on a track begins and is published; higher: later, and surer.",
        0.5,
        0.999,
    )
    lose: float = setting(0.05, "Probability of a person below which a track is lost; below gate_confirm.", 0.001, 0.9)
    patience_s: float = setting(
        0.2,
        "How long keypoints that do not continue the followed person have to agree with each other until they are "
        "followed as another person, or as a corrected pose.",
        0.0,
        5.0,
        "s",
    )
    worst_fit: float = setting(
        0.4,
        "Mean reprojection error of a lifted pose, over half the person's size in the image, above which the pose is "
        "withheld.",
        0.02,
        100.0,
    )
    least_size: float = setting(
        0.03,
        "Size of the person's seen keypoints over the image's shorter side below which the pose is withheld.",
        0.0,
        1.0,
    )
    nearest_m: float = setting(0.25, "Distance of the pelvis below which a pose is withheld.", 0.0, 10.0, "m")
    farthest_m: float = setting(25.0, "Distance of the pelvis above which a pose is withheld.", 1.0, 1000.0, "m")
    pelvis_speed: float = setting(
        6.0,
        "Speed of the pelvis above which a pose does not continue the track; half a metre more is allowed for errors.",
        0.1,
        1000.0,
        "m/s",
    )
    limb_speed: float = setting(
        20.0,
        "Speed of a joint about the pelvis above which a pose does not continue the track; half a metre more is "
        "allowed for errors.",
        0.1,
        1000.0,
        "m/s",
    )
    root_turn_deg: float = setting(
        600.0,
        "Turn of the pelvis in a second above which a pose does not continue the track; 60 degrees more are allowed "
        "for errors.",
        10.0,
        100_000.0,
        "degrees/s",
    )

    def __post_init__(self) -> None:
        check_settings(self)
        if self.lose >= self.confirm:
            raise SettingsError(
                f"gate_lose must be below gate_confirm, got {self.lose:g} and {self.confirm:g}: a track would be lost "
                "as soon as it began"
            )
        if self.nearest_m >= self.farthest_m:
            raise SettingsError(
                f"gate_nearest must be below gate_farthest, got {self.nearest_m:g} and {self.farthest_m:g} m"
            )
