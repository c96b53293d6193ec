"""Another node's parameters on the page, without a graph: answers that come late, never, or with an old value."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from rcl_interfaces.msg import ParameterDescriptor, ParameterEvent, ParameterType, SetParametersResult  # noqa: E402
from rcl_interfaces.srv import DescribeParameters, GetParameters, ListParameters, SetParameters  # noqa: E402
from rclpy.parameter import Parameter  # noqa: E402

from diffmocap.nodes.viewer import remote_parameters  # noqa: E402
from diffmocap.nodes.viewer.remote_parameters import RemoteParameters  # noqa: E402


class Answer:
    """A request that is answered when the test says so."""

    def __init__(self) -> None:
        self.value, self.error, self.cancelled = None, None, False

    def done(self) -> bool:
        return self.value is not None or self.error is not None

    def result(self):
        return self.value

    def exception(self):
        return self.error

    def cancel(self) -> None:
        self.cancelled = True


class FakeNode:
    """Hands out clients whose last request is :attr:`request`, and its answer :attr:`answer`."""

    def __init__(self) -> None:
        self.request, self.answer = None, None

    def resolve_service_name(self, name: str) -> str:
        return f"/{name}"

    def create_client(self, kind, name):
        return SimpleNamespace(service_is_ready=lambda: True, call_async=self._call)

    def create_subscription(self, *arguments):
        return None

    def _call(self, request) -> Answer:
        self.request, self.answer = request, Answer()
        return self.answer


@pytest.fixture
def remote(monkeypatch):
    """The parameters of a node with one, ``steps``, at 1; and what the page has heard."""
    node, heard = FakeNode(), []
    page = RemoteParameters(
        node, "pose_node", lambda controls: heard.append("found"), lambda values: heard.append(values),
        lambda name, why: heard.append(f"{name}: {why}"),
    )  # fmt: skip
    listed = ListParameters.Response()
    listed.result.names = ["steps"]
    described = DescribeParameters.Response(
        descriptors=[ParameterDescriptor(name="steps", type=ParameterType.PARAMETER_INTEGER)]
    )
    got = GetParameters.Response(values=[Parameter("steps", value=1).to_parameter_msg().value])
    monkeypatch.setattr(remote_parameters, "is_live", lambda found: True)
    page.advance()
    for value in (listed, described, got):
        node.answer.value = value
        page.advance()
    assert heard == ["found"]
    heard.clear()
    return page, node, heard


def event(value: int) -> ParameterEvent:
    return ParameterEvent(node="/pose_node", changed_parameters=[Parameter("steps", value=value).to_parameter_msg()])


def test_an_old_value_does_not_take_the_place_of_a_newer_one_that_was_asked_for(remote) -> None:
    """The event of the value before arrives when the next one has been chosen, and when it is on its way."""
    page, node, heard = remote
    page.set("steps", 50)
    page._event(event(7))
    page.advance()
    assert node.request.parameters[0].value.integer_value == 50
    page._event(event(7))
    assert not any(heard), "nothing that would set the slider back"
    node.answer.value = SetParameters.Response(results=[SetParametersResult(successful=False, reason="at most 40")])
    page.advance()
    assert heard[-2:] == ["steps: at most 40", {"steps": 7}]
    page._event(event(9))
    assert heard[-1] == {"steps": 9}


@pytest.mark.parametrize("ends", ["late", "badly"])
def test_a_value_that_nobody_answers_is_said(remote, monkeypatch, ends) -> None:
    page, node, heard = remote
    page.set("steps", 50)
    page.advance()
    if ends == "late":
        monkeypatch.setattr(remote_parameters, "PATIENCE_S", -1.0)
    else:
        node.answer.error = RuntimeError("gone")
    page.advance()
    assert heard == ["steps: /pose_node does not answer"] and node.answer.cancelled == (ends == "late")
    page._event(event(7))
    assert heard[-1] == {"steps": 7}, "it is not waited for any longer"


def test_values_are_set_as_the_nodes_own_type(remote) -> None:
    page, node, heard = remote
    page.set("steps", 7.0)
    page.advance()
    assert node.request.parameters[0].value.type == ParameterType.PARAMETER_INTEGER
    node.answer.value = SetParameters.Response(results=[SetParametersResult(successful=True)])
    page.advance()
    assert heard == [{"steps": 7}]
