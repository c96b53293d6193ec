"""A device that cannot hold the model is refused; the node that works on another one lives on."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from diffmocap.errors import DeviceError  # noqa: E402
from diffmocap.nodes import pose_node as module  # noqa: E402
from diffmocap.nodes.pose.pose_settings import PARAMETERS  # noqa: E402

VALUES = {setting.name: setting.default for setting in PARAMETERS}


def test_an_error_of_the_driver_is_a_reason_and_no_crash(monkeypatch) -> None:
    def full(*_):
        raise RuntimeError("CUDA out of memory")

    monkeypatch.setattr(module, "resolve_device", lambda name: name)
    monkeypatch.setattr(module, "load_lifter", full)
    node = SimpleNamespace(parameters=VALUES, _pipeline=object(), _next_lifter=None)
    with pytest.raises(DeviceError, match="cannot be loaded on 'cuda': CUDA out of memory"):
        module.PoseNode.validate(node, VALUES | {"device": "cuda"})
    assert node._next_lifter is None
