"""Ages on a simulated time that comes in steps, and a time that does not come."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from rclpy.clock import ROSClock
from rclpy.time import Time

from diffmocap.nodes.node_clock import STILL_S, NodeClock

MS = 1_000_000
START_NS = 1_700_000_000 * 10**9


class Simulation:
    """A node's clock that /clock sets in steps, and the steady time beside it."""

    def __init__(self) -> None:
        self.ros, self.steady_s = ROSClock(), 100.0
        self.ros._set_ros_time_is_active(True)
        self.clock = NodeClock(SimpleNamespace(get_clock=lambda: self.ros), lambda: self.steady_s)

    def tell(self, time_ns: int) -> None:
        self.ros.set_ros_time_override(Time(nanoseconds=time_ns, clock_type=self.ros.clock_type))


@pytest.mark.parametrize("speed", [1.0, 0.5, 4.0])
def test_between_two_steps_of_a_coarse_clock_the_time_goes_on(speed):
    simulation = Simulation()
    errors_ms = []
    for i in range(400):  # a quarter of a step of 25 ms each
        simulation.steady_s = 100.0 + i * 6.25e-3
        true_ns = START_NS + round(speed * i * 6.25 * MS)
        if i % 4 == 0:
            simulation.tell(true_ns)
        if i > 8:
            errors_ms.append((simulation.clock.now_ns() - true_ns) / MS)
    assert np.abs(errors_ms).max() < 0.01
    assert simulation.clock.period_s == pytest.approx(speed * 0.025)
    assert simulation.clock.age_ms(START_NS) == pytest.approx(speed * 399 * 6.25, abs=0.1)


def test_steps_that_arrive_late_do_not_make_the_time_late():
    """As on a busy machine: every other step comes up to 60 ms late."""
    simulation, rng = Simulation(), np.random.default_rng(0)
    due_s = np.arange(200) * 0.025
    arrivals_s = np.maximum.accumulate(due_s + rng.uniform(0.0, 0.06, 200) * (np.arange(200) % 2))
    errors_ms, known = [], 0
    for now_s in np.arange(0.0, 4.9, 0.011):
        while known < 200 and arrivals_s[known] <= now_s:
            simulation.steady_s = 100.0 + arrivals_s[known]
            simulation.tell(START_NS + round(due_s[known] * 1e9))
            known += 1
        simulation.steady_s = 100.0 + now_s
        errors_ms.append((simulation.clock.now_ns() - START_NS) / MS - 1e3 * now_s)
    assert np.abs(errors_ms[100:]).max() < 5.0


def test_a_paused_clock_goes_on_by_a_few_steps_at_most():
    simulation = Simulation()
    for i in range(10):
        simulation.steady_s = 100.0 + i * 0.025
        simulation.tell(START_NS + i * 25 * MS)
    simulation.steady_s += 3.0
    assert simulation.clock.now_ns() == START_NS + 13 * 25 * MS
    assert simulation.clock.fault() == ""
    simulation.steady_s += STILL_S
    assert "has stood still for 8 s" in simulation.clock.fault()
    for i in range(10):  # it goes on where it was
        simulation.steady_s += 0.025
        simulation.tell(START_NS + (10 + i) * 25 * MS)
    assert simulation.clock.now_ns() == START_NS + 19 * 25 * MS


def test_a_bag_that_starts_over_sets_the_time_back():
    simulation = Simulation()
    for i in range(10):
        simulation.steady_s += 0.025
        simulation.tell(START_NS + i * 25 * MS)
    simulation.tell(START_NS)
    simulation.steady_s += 0.01
    assert simulation.clock.now_ns() == START_NS


def test_a_time_that_never_comes_is_said():
    simulation = Simulation()
    assert simulation.clock.now_ns() == 0 and simulation.clock.fault() == ""
    simulation.steady_s += STILL_S
    assert "no time has come on /clock" in simulation.clock.fault()
    simulation.tell(START_NS)
    assert simulation.clock.fault() == "" and simulation.clock.now_ns() == START_NS


def test_without_simulation_it_is_the_clock_of_the_system():
    ros = ROSClock()
    clock = NodeClock(SimpleNamespace(get_clock=lambda: ros), lambda: 1e9)
    assert clock.fault() == "" and clock.period_s is None
    assert abs(clock.age_ms(ros.now().nanoseconds)) < 1000.0
