from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from diffmocap.nodes.health.diagnostics import Latency, Rate


def test_the_rate_of_regular_events():
    rate = Rate(window_s=5.0)
    for i in range(100):
        rate.tick(i / 30)
    assert rate.hz(99 / 30) == pytest.approx(30.0)


def test_the_rate_forgets_and_fades():
    rate = Rate(window_s=5.0)
    assert rate.hz(0.0) == 0.0
    for i in range(60):
        rate.tick(i / 30)
    last = 59 / 30
    assert rate.hz(last + 0.01) == pytest.approx(30.0)
    assert rate.hz(last + 2.0) < 20.0
    assert rate.hz(last + 6.0) == 0.0
    for i in range(11):
        rate.tick(100 + i / 10)
    assert rate.hz(101.0) == pytest.approx(10.0)


def test_percentiles_of_latencies_in_the_window():
    latency = Latency(window_s=5.0)
    assert latency.percentiles_ms(0.0) is None
    latency.add(0.0, 1e6)
    values = np.random.default_rng(0).exponential(10.0, 500)
    for i, value in enumerate(values):
        latency.add(6.0 + i / 500, value)
    assert latency.percentiles_ms(7.0) == pytest.approx(np.percentile(values, [50, 99]))
