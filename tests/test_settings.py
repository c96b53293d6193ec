"""A setting's range stands once, and holds wherever the setting is made."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field

import pytest

from diffmocap.errors import SettingsError
from diffmocap.pipeline.settings import PipelineSettings
from diffmocap.refinement.settings import PhysicsSettings
from diffmocap.settings import (
    Setting,
    check_settings,
    setting,
    settings_of,
    value_at,
    with_values,
)


@dataclass(frozen=True)
class Wheel:
    radius_m: float = setting(0.3, "Radius.", 0.1, 0.5, "m")
    spokes: int = setting(36, "Number of spokes.", 0, 48)
    tyre: str = setting("road", "Tyre.", choices=("road", "gravel"))
    load_n: float = setting(100.0, "Load.", 0.0, unit="N")
    shape: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        check_settings(self)
        if self.spokes and self.radius_m < 0.2:
            raise SettingsError("a small wheel has no spokes")


@dataclass(frozen=True)
class Bicycle:
    front: Wheel = field(default_factory=Wheel)
    rear: Wheel = field(default_factory=lambda: Wheel(load_n=500.0))
    bell: bool = setting(True, "A bell.")


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"radius_m": 0.6}, r"radius_m must lie in \[0.1, 0.5\] m, got 0.6"),
        ({"radius_m": math.nan}, r"radius_m must lie in \[0.1, 0.5\] m, got nan"),
        ({"spokes": -1}, r"spokes must lie in \[0, 48\], got -1"),
        ({"tyre": "slick"}, "tyre: expected one of road, gravel, got 'slick'"),
        ({"load_n": -1.0}, "load_n must be a finite number of at least 0 N, got -1"),
        ({"load_n": math.inf}, "load_n must be a finite number"),
    ],
)
def test_what_is_outside_its_range_is_refused_with_the_range(values, says):
    with pytest.raises(SettingsError, match=says):
        Wheel(**values)


def test_the_bounds_belong_to_the_range():
    assert Wheel(radius_m=0.5, spokes=0).radius_m == 0.5 and Wheel(radius_m=0.1, spokes=0).spokes == 0


def test_a_range_in_words():
    words = {name: found.range for name, found in settings_of(Wheel).items()}
    assert words == {"radius_m": "0.1 to 0.5", "spokes": "0 to 48", "tyre": "road, gravel", "load_n": "at least 0"}
    assert Setting("", 1e-6, 1e6).range == "0.000001 to 1000000" and Setting("").range == ""
    with pytest.raises(SettingsError, match="a lower one"):
        Setting("Speed.", high=1.0)


def test_a_field_found_by_its_path():
    assert value_at(Bicycle(), "rear.load_n") == (500.0, settings_of(Wheel)["load_n"])
    assert settings_of(Bicycle) == {"bell": Setting("A bell.")} and Bicycle().bell


def test_values_at_paths_make_a_copy_that_is_checked_once_it_is_complete():
    made = with_values(Bicycle(), {"rear.spokes": 0, "rear.radius_m": 0.15, "bell": False})
    assert made == Bicycle(rear=Wheel(radius_m=0.15, spokes=0, load_n=500.0), bell=False)
    assert with_values(Bicycle(), {}) == Bicycle()
    with pytest.raises(SettingsError, match="a small wheel"):
        with_values(Bicycle(), {"rear.radius_m": 0.15})
    with pytest.raises(SettingsError, match="radius_m"):
        with_values(Bicycle(), {"front.radius_m": 0.05, "front.spokes": 0})


def _reached(settings, path: str = ""):
    """(path, settings object) of the pipeline's settings and all below."""
    yield path, settings
    for part in dataclasses.fields(settings):
        value = getattr(settings, part.name)
        if dataclasses.is_dataclass(value):
            yield from _reached(value, f"{path}{part.name}.")


def test_every_number_text_and_switch_of_the_pipeline_says_what_it_is_and_checks_it():
    found = 0
    for path, part in _reached(PipelineSettings(refinement=PhysicsSettings())):
        if path == "refinement.ground.":
            continue  # what is known of a place, no setting
        for name in (f.name for f in dataclasses.fields(part) if isinstance(getattr(part, f.name), (int, float, str))):
            said = settings_of(type(part))[name]
            assert said.description.endswith("."), f"{path}{name}"
            if said.low is not None:
                found += 1
                with pytest.raises(SettingsError, match=name):
                    dataclasses.replace(part, **{name: said.low - 1.0})
    assert found > 50
