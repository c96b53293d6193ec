"""Parameter files that would be taken without effect are refused, with the name that was probably meant."""

from __future__ import annotations

import pytest

from diffmocap.errors import SettingsError

NODES = ["/human/camera_node", "/human/keypoint_node", "/human/pose_node"]


def check(tmp_path, text: str) -> list[str]:
    """The warnings for a parameter file of this text."""
    from diffmocap.nodes.launch.parameter_names import check_parameter_file

    path, warnings = tmp_path / "own.yaml", []
    path.write_text(text)
    check_parameter_file(path, NODES, warnings.append)
    return warnings


@pytest.mark.parametrize(
    "text",
    [
        "/**/pose_node: {ros__parameters: {steps: 2}}",
        "/human/pose_node: {ros__parameters: {steps: 2}}",
        "/**: {ros__parameters: {steps: 2}}",
        "/human/*: {ros__parameters: {steps: 2}}",
        "human: {pose_node: {ros__parameters: {steps: 2}}}",
        # Two people's graphs with one file.
        "/human/pose_node: {ros__parameters: {steps: 2}}\n/other/pose_node: {ros__parameters: {steps: 3}}",
        "",
    ],
)
def test_files_that_reach_their_nodes_are_taken_without_a_word(ros_env, tmp_path, text):
    assert check(tmp_path, text) == []


@pytest.mark.parametrize(
    "text, reason",
    [
        ("/**/pose_nod: {ros__parameters: {steps: 2}}", r"there is no node '/\*\*/pose_nod'; did you mean 'pose_node'"),
        ("keypoints_node: {ros__parameters: {a: 2}}", "did you mean 'keypoint_node'"),
        ("pose_node: {ros__parameters: {steps: 2}}", r"'/pose_node' reaches no node, .* is /human/pose_node"),
        ("a: [", "cannot be read: .*line 1"),
        ("pose_node: {steps: 2}", "cannot be read: Cannot have a value before ros__parameters at line 1"),
    ],
)
def test_files_that_reach_nobody_are_refused(ros_env, tmp_path, text, reason):
    with pytest.raises(SettingsError, match=reason):
        check(tmp_path, text)


def test_a_missing_file_is_named_and_other_robots_parts_are_warned_of(ros_env, tmp_path):
    from diffmocap.nodes.launch.parameter_names import check_parameter_file

    with pytest.raises(SettingsError, match="there is no file '.*nowhere.yaml'; .*diffmocap.yaml"):
        check_parameter_file(tmp_path / "nowhere.yaml", NODES, print)
    (warning,) = check(tmp_path, "/arm/controller: {ros__parameters: {gain: 2}}")
    assert "'/arm/controller' names no node of this graph" in warning


@pytest.mark.parametrize(
    "text, argument, reason",
    [
        ("/**/camera_node: {ros__parameters: {width: 64}}", None, None),
        ("/**: {ros__parameters: {width: 64, use_sim_time: true}}", None, None),
        ("/**: {ros__parameters: {guidance: 1.0, physics_weights: {slip: 1.0}}}", None, None),  # pose_node's
        ("/**: {ros__parameters: {qos_overrides: {/clock: {subscription: {depth: 1}}}}}", None, None),
        ("/**/camera_node: {ros__parameters: {sorce: a}}", None, r"no parameter 'sorce' in .*own.yaml.*mean 'source'"),
        ("/**/camera_node: {ros__parameters: {guidance: 1.0}}", None, "camera_node has no parameter 'guidance'"),
        ("/**: {ros__parameters: {sorce: a}}", None, r"'sorce' in .*own.yaml, section '/\*\*'"),
        ("", "heigth:=480", "no parameter 'heigth'; did you mean 'height'"),
        ("/**/camera_node: {ros__parameters: {source: {a: 1}}}", None, "no parameter 'source.a'"),
    ],
)
def test_a_node_refuses_what_it_does_not_have(ros_env, tmp_path, text, argument, reason):
    import rclpy

    from diffmocap.nodes.camera_node import PARAMETERS
    from diffmocap.nodes.launch.parameter_names import refuse_unknown_parameters
    from diffmocap.nodes.parameters import Parameters

    path = tmp_path / "own.yaml"
    path.write_text(text)
    arguments = ["--ros-args", "--params-file", str(path)] + (["-p", argument] if argument else [])
    context = rclpy.Context()
    rclpy.init(context=context)
    node = rclpy.create_node("camera_node", context=context, cli_args=arguments, start_parameter_services=False)
    try:
        Parameters(node, PARAMETERS)
        if reason is None:
            refuse_unknown_parameters(node, arguments)
        else:
            with pytest.raises(SettingsError, match=reason):
                refuse_unknown_parameters(node, arguments)
    finally:
        node.destroy_node()
        rclpy.shutdown(context=context)
