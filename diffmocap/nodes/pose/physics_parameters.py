"""The parameters of pose_node about the physics refinement, and its settings made from them."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache
from typing import Any

from diffmocap.errors import SettingsError
from diffmocap.nodes.parameters import Setting
from diffmocap.optim.optimizer import Optimizer
from diffmocap.optim.weights import load_shipped
from diffmocap.refinement.filter.smoother import SmootherSettings
from diffmocap.refinement.physics_refiner import PhysicsSettings
from diffmocap.refinement.stream.known_ground import KnownGround
from diffmocap.refinement.stream.settings import MOST_BUDGET_MS, MOST_FRAMES, LiveSettings
from diffmocap.refinement.window.weights import UNITS

_PHYSICS = PhysicsSettings()
_LIVE = LiveSettings()
WEIGHT = "physics_weights."
METRIC, OPTIMUS = "metric", "optimus"
AUTO, TF, PARAMETERS, MOTION = GROUND_SOURCES = ("auto", "tf", "parameters", "motion")

PHYSICS_SETTINGS = (
    Setting("physics", _PHYSICS.enabled, "Refine poses by physics: contacts, forces, efforts; false: filter alone."),
    Setting("refinement_iterations", _LIVE.iterations, "Steps of the refinement a frame at most.", 0, 100),
    Setting(
        "refinement_optimizer",
        METRIC,
        "What takes the steps: metric, made for sliding windows; optimus, the learned optimizer, for seconds of time.",
        choices=(METRIC, OPTIMUS),
    ),
    Setting(
        "refinement_budget_ms",
        _LIVE.budget_ms,
        "Time that the refinement may take of a frame [ms], less where budget_ms leaves less; 0: all its iterations.",
        0.0,
        MOST_BUDGET_MS,
    ),
    Setting("refinement_frames", _LIVE.window_frames, "Frames that are refined together.", 1, MOST_FRAMES),
    Setting(
        "refinement_lag",
        _LIVE.lag_frames,
        "Frames that the published pose is late by, below refinement_frames: smoother, with surer contacts.",
        0,
        MOST_FRAMES - 1,
    ),
    *(
        Setting(WEIGHT + term, 1.0, f"Factor on the default weight of the loss's term {term}; 0: none.", 0.0, 100.0)
        for term in UNITS
    ),
    Setting(
        "ground_from",
        AUTO,
        "Where gravity and floor come from; auto: camera_height and camera_pitch where one is not 0, else /tf_static "
        "with ground_height_from_tf, else the motion; tf: the direction at least.",
        choices=GROUND_SOURCES,
    ),
    Setting("camera_height", 0.0, "Height of the camera above the floor [m]; 0: not known.", 0.0, 100.0),
    Setting(
        "camera_pitch",
        0.0,
        "Pitch of the camera [rad]; positive looks down; 0 without a height: not known, or a level camera where "
        "ground_from is parameters.",
        -0.5 * math.pi,
        0.5 * math.pi,
    ),
    Setting(
        "ground_height_from_tf",
        False,
        "ground_frame on /tf_static was measured: its plane z = 0 is the floor; false: at most its direction.",
    ),
)


@lru_cache(maxsize=1)
def _optimus() -> Optimizer:
    """Trained on windows; read once."""
    return load_shipped("optimus_window").requires_grad_(False)


def physics_settings(values: dict[str, Any], smoothing: SmootherSettings, ground: KnownGround) -> PhysicsSettings:
    """The refinement's settings for these parameter values.

    Raises:
        SettingsError: a value outside its range, or a lag that is not below the window's length.
    """
    frames, lag, weights = values["refinement_frames"], values["refinement_lag"], _LIVE.weights
    if lag >= frames:
        raise SettingsError(f"refinement_lag must be below refinement_frames, {frames} now; got {lag}")
    changed = {term: values[WEIGHT + term] * getattr(weights, term) for term in UNITS}
    live = LiveSettings(
        window_frames=frames,
        lag_frames=lag,
        budget_ms=values["refinement_budget_ms"],
        iterations=values["refinement_iterations"],
        optimizer=_optimus() if values["refinement_optimizer"] == OPTIMUS else None,
        weights=replace(weights, **changed),
    )
    return PhysicsSettings(values["physics"], live, smoothing, ground)
