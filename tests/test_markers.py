"""Which tests start a ROS 2 graph, and so are left out by ``pytest -m "not ros"``."""

from __future__ import annotations

import pytest

from tests.conftest import pytest_collection_modifyitems


@pytest.fixture
def by_another(ros_env):
    return ros_env


def test_the_marker_ros_follows_from_the_fixture(request):
    with_graph, without = [
        pytest.Function.from_parent(request.node.parent, name=test.__name__, callobj=test)
        for test in (lambda by_another: None, lambda tmp_path: None)
    ]
    pytest_collection_modifyitems(request.config, [with_graph, without])
    assert with_graph.get_closest_marker("ros") and not without.get_closest_marker("ros")
