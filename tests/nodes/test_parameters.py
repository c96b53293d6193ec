from __future__ import annotations

from dataclasses import dataclass

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")
import rclpy
from rclpy.parameter import Parameter
from rclpy.signals import SignalHandlerOptions

from diffmocap.errors import SettingsError
from diffmocap.nodes.parameters import NodeParameter, Parameters, from_settings, own
from diffmocap.settings import Setting, setting

DECLARED = (
    own("source", "0", "What to read.", live=False),
    own("weight", 0.5, "Guidance weight.", 0.0, 10.0),
    own("steps", 3, "Steps.", 1, 5),
    own("mode", "a", "Mode.", choices=("a", "b")),
    own("draw", False, "Draw."),
)


@pytest.fixture()
def node_with(ros_env):
    """Makes nodes with parameters given on their command line."""
    context = rclpy.Context()
    rclpy.init(context=context, signal_handler_options=SignalHandlerOptions.NO)
    made = []

    def make(*assignments):
        arguments = ["--ros-args", *(part for a in assignments for part in ("-p", a))]
        made.append(rclpy.create_node("tested", context=context, cli_args=arguments))
        return made[-1]

    yield make
    for node in made:
        node.destroy_node()
    rclpy.shutdown(context=context)


def try_to_set(node, **values):
    return node.set_parameters_atomically([Parameter(name, value=value) for name, value in values.items()])


def test_defaults_descriptors_and_overrides(node_with):
    node = node_with("weight:=2", "source:=0", "mode:=b")
    parameters = Parameters(node, DECLARED)
    assert parameters.values() == {"source": "0", "weight": 2.0, "steps": 3, "mode": "b", "draw": False}
    assert type(parameters["weight"]) is float and node.get_parameter("weight").value == 2.0
    weight = node.describe_parameter("weight")
    assert (weight.floating_point_range[0].from_value, weight.floating_point_range[0].to_value) == (0.0, 10.0)
    assert weight.description == "Guidance weight."
    assert node.describe_parameter("steps").integer_range[0].to_value == 5
    assert "a, b" in node.describe_parameter("mode").additional_constraints
    assert "configure" in node.describe_parameter("source").additional_constraints


@pytest.mark.parametrize(
    "assignment, why",
    [
        ("weight:=11.0", "weight.*10"),
        ("weight:=11", "weight.*10"),
        ("weight:=much", "'weight': expected float, got str"),
        ("weight:=.nan", "weight"),
        ("weight:=true", "expected float, got bool"),
        ("steps:=2.5", "'steps': expected int"),
        ("mode:=c", "'mode': expected one of a, b, got 'c'"),
    ],
)
def test_a_bad_start_value_is_an_error(node_with, assignment, why):
    with pytest.raises(SettingsError, match=why):
        Parameters(node_with(assignment), DECLARED)


def test_words_that_yaml_takes_for_a_bool(node_with):
    """``rectified: true`` in a parameter file is a bool; quoted it is a text."""
    declared = (own("rectified", "auto", "Rectified.", choices=("auto", "true", "false")), *DECLARED)
    node = node_with("rectified:=true")
    parameters = Parameters(node, declared)
    assert parameters["rectified"] == "true" and node.get_parameter("rectified").value == "true"
    assert try_to_set(node, rectified=False).successful and parameters["rectified"] == "false"
    assert try_to_set(node, rectified="auto").successful and parameters["rectified"] == "auto"
    assert not try_to_set(node, mode=True).successful


def test_live_changes_are_checked_taken_and_told(node_with):
    told = []
    node = node_with()
    parameters = Parameters(node, DECLARED, changed=told.append)
    assert try_to_set(node, weight=3, steps=5).successful
    assert (parameters["weight"], parameters["steps"], told) == (3.0, 5, [{"weight", "steps"}])
    for values, why in (
        ({"weight": 99.0}, "weight"),
        ({"weight": "x"}, "expected float"),
        ({"steps": 0}, "steps"),
        ({"mode": "z"}, "one of a, b"),
        ({"draw": 1}, "expected bool"),
    ):
        result = try_to_set(node, **values)
        assert not result.successful and why in result.reason
    assert (parameters["weight"], parameters["mode"], len(told)) == (3.0, "a", 1)


def test_one_bad_value_keeps_the_others_out(node_with):
    node = node_with()
    parameters = Parameters(node, DECLARED)
    assert not try_to_set(node, weight=1.0, mode="z").successful
    assert parameters["weight"] == 0.5 and node.get_parameter("weight").value == 0.5


def test_what_takes_effect_at_configure_is_refused_while_configured(node_with):
    locked = [False]
    node = node_with()
    parameters = Parameters(node, DECLARED, locked=lambda: locked[0])
    assert try_to_set(node, source="1").successful
    locked[0] = True
    result = try_to_set(node, source="2")
    assert not result.successful and "clean up the node" in result.reason
    assert try_to_set(node, source="1").successful  # no change at all
    assert parameters["source"] == "1"


def test_combinations_can_be_refused(node_with):
    def validate(values):
        if values["draw"] and values["mode"] == "b":
            raise SettingsError("nothing to draw in mode b")

    node = node_with()
    Parameters(node, DECLARED, validate=validate)
    assert try_to_set(node, draw=True).successful
    result = try_to_set(node, mode="b")
    assert not result.successful and result.reason == "nothing to draw in mode b"
    assert try_to_set(node, draw=False, mode="b").successful


def test_parameters_of_rclpy_itself_stay_usable(node_with):
    node = node_with()
    Parameters(node, DECLARED)
    assert try_to_set(node, use_sim_time=True).successful


def test_half_a_range_is_a_mistake():
    with pytest.raises(SettingsError, match="both bounds"):
        NodeParameter("x", 1, Setting("", low=0))


@dataclass(frozen=True)
class Gains:
    weight: float = setting(0.5, "Weight of a foot.", 0.0, 10.0, "kg")
    kind: str = setting("a", "Kind.", choices=("a", "b"))


@dataclass(frozen=True)
class Robot:
    gains: Gains = Gains(weight=2.0)


def test_a_parameter_is_described_by_the_field_that_it_sets(node_with):
    weight = from_settings(Robot(), "gains.weight", "foot_weight", live=False)
    kind = from_settings(Robot(), "gains.kind")
    assert (weight.name, weight.default, weight.live, weight.path) == ("foot_weight", 2.0, False, "gains.weight")
    node = node_with("foot_weight:=3", "kind:=b")
    assert Parameters(node, (weight, kind)).values() == {"foot_weight": 3.0, "kind": "b"}
    described = node.describe_parameter("foot_weight")
    assert described.description == "Weight of a foot. [kg]"
    assert (described.floating_point_range[0].from_value, described.floating_point_range[0].to_value) == (0.0, 10.0)
    with pytest.raises(SettingsError, match=r"'foot_weight' must lie in \[0, 10\] kg, got 11"):
        weight.check(11.0)


def test_a_parameter_may_tell_which_use_of_a_setting_it_is():
    left = from_settings(Robot(), "gains.weight", "left", description="Weight of the left foot.", unit="g")
    assert (left.setting.description, left.setting.unit, left.setting.high) == ("Weight of the left foot.", "g", 10.0)
