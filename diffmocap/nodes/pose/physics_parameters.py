"""The parameters of pose_node about the physics refinement and the floor."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from diffmocap.errors import ModelFileError, SettingsError
from diffmocap.graph.frames import MAP_FRAME
from diffmocap.nodes.parameters import NodeParameter, from_settings, own
from diffmocap.pipeline.settings import PipelineSettings
from diffmocap.refinement.settings import PhysicsSettings
from diffmocap.refinement.stream.known_ground import CameraPlacement
from diffmocap.refinement.stream.optimus.weights import shipped_stream_optimus
from diffmocap.refinement.stream.settings import METRIC, OPTIMUS, LiveSettings
from diffmocap.refinement.window.weights import TERMS
from diffmocap.settings import settings_of

#: The settings that the paths of pose_node's parameters lead through.
DEFAULTS = PipelineSettings(refinement=PhysicsSettings())
WEIGHT = "physics_weights."
AUTO, TF, PARAMETERS, MOTION = GROUND_SOURCES = ("auto", "tf", "parameters", "motion")
_LIVE, _USUAL = "refinement.live.", DEFAULTS.refinement.live.weights


def _of_camera(path: str, name: str, more: str = "") -> NodeParameter:
    """Of where the camera stands, which is no part of the pipeline's settings but leads to its known ground."""
    made = from_settings(CameraPlacement(), path, name)
    return replace(made, path="", setting=replace(made.setting, description=made.setting.description + more))


PHYSICS = (
    from_settings(DEFAULTS, "refinement.enabled", "physics"),
    from_settings(DEFAULTS, _LIVE + "iterations", "refinement_iterations"),
    own(
        "refinement_optimizer",
        DEFAULTS.refinement.live.optimizer,
        settings_of(LiveSettings)["optimizer"].description,
        choices=(METRIC, OPTIMUS),
    ),
    from_settings(
        DEFAULTS,
        _LIVE + "budget_ms",
        "refinement_budget_ms",
        description="Time per frame that the refinement may take, less if budget_ms leaves less; 0: all its "
        "iterations.",
    ),
    from_settings(DEFAULTS, _LIVE + "window_frames", "refinement_frames"),
    from_settings(DEFAULTS, _LIVE + "lag_frames", "refinement_lag"),
    from_settings(DEFAULTS, _LIVE + "still_feet", "hold_feet"),
    *(
        own(
            WEIGHT + name,
            1.0,
            f"Factor on the weight of a term of the loss: {term.description}, of which "
            f"{getattr(_USUAL, name) ** -0.5:.3g} [{term.unit}] costs 1; 0 leaves the term out.",
            0.0,
            100.0,
        )
        for name, term in TERMS.items()
    ),
)

GROUND = (
    own(
        "ground_from",
        AUTO,
        "Where gravity and floor come from; auto: camera_height, camera_pitch and camera_roll where one is not 0, else "
        "/tf_static with ground_height_from_tf, else the motion; tf: the direction at least from /tf_static; "
        "parameters: from camera_height, camera_pitch and camera_roll, 0 too; motion: from where feet are seen to "
        "rest.",
        choices=GROUND_SOURCES,
    ),
    _of_camera("height_m", "camera_height"),
    _of_camera(
        "pitch_rad",
        "camera_pitch",
        " 0 without a height or a roll: not known, or a level camera where ground_from is parameters.",
    ),
    _of_camera(
        "roll_rad",
        "camera_roll",
        " 0 without a height or a pitch: not known, or a camera without roll where ground_from is parameters.",
    ),
    own(
        "ground_height_from_tf",
        False,
        "ground_frame on /tf_static was measured: its plane z = 0 is the floor; false: at most its direction.",
    ),
    own(
        "ground_frame",
        MAP_FRAME,
        "Frame with z up; its plane z = 0 is drawn until the floor is found; empty: none.",
    ),
)


def physics_changes(values: dict[str, Any]) -> dict[str, Any]:
    """Values by their path in the pipeline's settings that are not those of a parameter as they are.

    Raises:
        SettingsError: a lag that is not below the window's length, or an optimizer whose weights cannot be read.
    """
    frames, lag = values["refinement_frames"], values["refinement_lag"]
    if lag >= frames:
        raise SettingsError(f"refinement_lag must be below refinement_frames, {frames} now; got {lag}")
    changes: dict[str, Any] = {
        f"{_LIVE}weights.{term}": values[WEIGHT + term] * getattr(_USUAL, term) for term in TERMS
    }
    changes[_LIVE + "optimizer"] = values["refinement_optimizer"]
    if values["refinement_optimizer"] == OPTIMUS:
        try:
            shipped_stream_optimus()
        except ModelFileError as error:  # here, and not in every frame
            raise SettingsError(f"refinement_optimizer: {error}; choose {METRIC}") from error
    return changes
