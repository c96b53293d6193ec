"""Which tests start a ROS 2 graph, and so are left out by ``pytest -m "not ros"``, and which stay in one process."""

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


def test_single_nodes_run_beside_whole_graphs_and_neither_beside_its_own_kind(request):
    tests = [lambda graph: None, lambda by_another: None, lambda tmp_path: None]
    items = [
        pytest.Function.from_parent(request.node.parent, name=f"{test.__name__}{i}", callobj=test)
        for i, test in enumerate(tests)
    ]
    items[0].fixturenames += ["graph", "ros_env"]
    pytest_collection_modifyitems(request.config, items)
    groups = [item.get_closest_marker("xdist_group").args[0] for item in items]
    assert groups == ["nodes", "graphs", "tests/test_markers.py"]


def test_tests_of_a_file_stay_in_one_process(request):
    """pytest-xdist reads the group off the identifier, which a new pytest may keep elsewhere."""
    if not request.config.getoption("loadgroup", False):
        pytest.skip("tests run in one process, or are not grouped")
    assert request.node.nodeid.endswith("@tests/test_markers.py")
