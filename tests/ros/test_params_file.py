"""A parameter file read before any node runs says what rcl will tell the node."""

from __future__ import annotations

import pytest

from diffmocap.graph.params_file import parameter_in_file

FILES = {
    "every node": "/**: {ros__parameters: {ground_from: tf}}",
    "any namespace": "/**/pose_node: {ros__parameters: {ground_from: tf}}",
    "by name": "pose_node: {ros__parameters: {ground_from: tf}}",
    "by full name": "/robot/pose_node: {ros__parameters: {ground_from: tf}}",
    "namespace as a level": "robot: {pose_node: {ros__parameters: {ground_from: tf}}}",
    "one part": "/*/pose_node: {ros__parameters: {ground_from: tf}}",
    "another node": "/**/keypoint_node: {ros__parameters: {ground_from: tf}}",
    "a part of the name": "/**/node: {ros__parameters: {ground_from: tf}}",
    "full name last": (
        "/**/pose_node: {ros__parameters: {ground_from: tf}}\n"
        "/robot/pose_node: {ros__parameters: {ground_from: motion}}\n"
    ),
    "full name first": (
        "/robot/pose_node: {ros__parameters: {ground_from: motion}}\n"
        "/**/pose_node: {ros__parameters: {ground_from: tf}}\n"
    ),
    "two wildcards": (
        "/**/pose_node: {ros__parameters: {ground_from: motion}}\n/**: {ros__parameters: {ground_from: tf}}\n"
    ),
    "the second is silent": (
        "/**: {ros__parameters: {ground_from: tf}}\n/**/pose_node: {ros__parameters: {steps: 2}}\n"
    ),
    "silent": "/**/pose_node: {ros__parameters: {steps: 2}}",
}


@pytest.mark.parametrize("text", FILES.values(), ids=FILES)
@pytest.mark.parametrize("namespace", ["", "/robot", "/lab/robot"])
def test_it_is_read_as_rcl_reads_it(ros_env, tmp_path, text, namespace) -> None:
    import rclpy

    path = tmp_path / "own.yaml"
    path.write_text(text)
    context = rclpy.Context()
    rclpy.init(context=context)
    try:
        node = rclpy.create_node(
            "pose_node",
            namespace=namespace,
            context=context,
            cli_args=["--ros-args", "--params-file", str(path)],
            automatically_declare_parameters_from_overrides=True,
            start_parameter_services=False,
        )
        told = node.get_parameter_or("ground_from", None)
        node.destroy_node()
    finally:
        rclpy.shutdown(context=context)
    assert parameter_in_file(path, f"{namespace}/pose_node", "ground_from") == (told and told.value)
