"""The refinement's settings from parameters."""

from __future__ import annotations

from dataclasses import asdict

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from diffmocap.errors import SettingsError
from diffmocap.nodes.pose.physics_parameters import WEIGHT
from diffmocap.nodes.pose.pose_settings import PARAMETERS, pipeline_settings
from diffmocap.refinement.settings import PhysicsSettings
from diffmocap.refinement.stream.known_ground import KnownGround
from diffmocap.refinement.stream.settings import LiveSettings
from diffmocap.refinement.window.weights import UNITS

DEFAULTS = {parameter.name: parameter.default for parameter in PARAMETERS}


def test_defaults_are_those_of_the_refinement():
    assert pipeline_settings(DEFAULTS).refinement == PhysicsSettings()


def test_parameters_reach_the_refinement():
    changed = DEFAULTS | {
        "physics": False, "refinement_iterations": 7, "refinement_budget_ms": 3.0, "refinement_frames": 30,
        "refinement_lag": 5, WEIGHT + "slip": 2.0, WEIGHT + "jerk": 0.0, "smoothing": False,
    }  # fmt: skip
    ground = KnownGround.from_camera(1.0, 0.1)
    made, weights = pipeline_settings(changed, ground).refinement, LiveSettings().weights
    assert not made.enabled and made.ground == ground and not made.smoothing.enabled
    live = made.live
    assert (live.iterations, live.budget_ms, live.window_frames, live.lag_frames) == (7, 3.0, 30, 5)
    expected = asdict(weights) | {"slip": 2 * weights.slip, "jerk": 0.0}
    assert asdict(live.weights) == pytest.approx(expected)


def test_every_term_has_its_factor():
    assert {name for name in DEFAULTS if name.startswith(WEIGHT)} == {WEIGHT + term for term in UNITS}


def test_a_lag_beyond_the_window_is_refused():
    with pytest.raises(SettingsError, match="refinement_lag must be below refinement_frames, 8 now; got 8"):
        pipeline_settings(DEFAULTS | {"refinement_frames": 8, "refinement_lag": 8})


def test_a_lag_fits_the_window_that_is_asked_for():
    live = pipeline_settings(DEFAULTS | {"refinement_frames": 48, "refinement_lag": 30}).refinement.live
    assert (live.window_frames, live.lag_frames) == (48, 30)


def test_what_takes_the_steps_is_chosen_by_name():
    assert pipeline_settings(DEFAULTS).refinement.live.optimizer == LiveSettings().optimizer
    for name in ("metric", "optimus"):
        assert pipeline_settings(DEFAULTS | {"refinement_optimizer": name}).refinement.live.optimizer == name
