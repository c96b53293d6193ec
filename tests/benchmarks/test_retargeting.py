"""The benchmark of retargeting on a small robot and a second of motion: its figures and its page."""

from __future__ import annotations

import pytest

from diffmocap.body.model import BodyModel
from diffmocap.motion.motion_npz import read_motion
from diffmocap.resources import share_path
from tests.robots.conftest import robot_of


def test_figures_and_page(monkeypatch) -> None:
    pytest.importorskip("mink", reason="mink is not installed; pip install 'diffmocap[robots]'")
    from benchmarks.retargeting import __main__ as benchmark
    from benchmarks.retargeting import adversarial
    from diffmocap.robots.human_frames import human_frames

    monkeypatch.setattr(adversarial, "FRAMES", 8)
    body = BodyModel.load(None)
    frames = human_frames(read_motion(share_path("media", "demo.npz"), body), body, 30.0)[:30]
    figures, rows = benchmark.measure(robot_of("small"), {"one": [frames], "two": [frames[:10], frames[10:]]})
    assert set(benchmark.ASKED) <= set(figures)
    assert figures["limits_broken"] == 0 and figures["frames"] == 60 and figures["adversarial_frames"] >= 80
    assert figures["frame_ms_p99"] > 0.0 and figures["wrist_error_pct"] < 5.0
    assert figures["live_commands"] > 200 and figures["live_following"] > 0.5 * figures["live_commands"]
    text = benchmark.page({"small": figures}, rows, ["- date: today"])
    lines = text.splitlines()
    assert any(line.startswith("| small | ") for line in lines) and sum("| one |" in line for line in lines) == 1
    head = next(line for line in lines if line.startswith("| robot | frame_ms_p99"))
    assert head.count("|") == next(line for line in lines if line.startswith("| small | ")).count("|")


def test_commands_outside_the_limits_are_counted(monkeypatch) -> None:
    pytest.importorskip("mink", reason="mink is not installed; pip install 'diffmocap[robots]'")
    from benchmarks.retargeting.live import broken_live
    from diffmocap.robots import limits
    from diffmocap.robots.human_frames import human_frames

    body = BodyModel.load(None)
    frames = human_frames(read_motion(share_path("media", "demo.npz"), body), body, 30.0)
    stream = [("jumping jacks, twice as fast", [(frame, 1 / 30) for frame in frames[280:340:2]])]
    assert broken_live(robot_of("small"), frames[:30], stream)["live_limits_broken"] == 0
    monkeypatch.setattr(limits, "USED", 1.5)
    assert broken_live(robot_of("small"), frames[:30], stream)["live_limits_broken"] > 10


def test_robots_driven_by_torques_and_their_page() -> None:
    from dataclasses import replace

    import numpy as np

    pytest.importorskip("mink", reason="mink is not installed; pip install 'diffmocap[robots]'")
    from benchmarks.retargeting import driven
    from diffmocap.robots.human_frames import human_frames

    body = BodyModel.load(None)
    frames = human_frames(read_motion(share_path("media", "demo.npz"), body), body, 30.0)[280:310]
    robot = robot_of("small")
    strong = driven.figures_of(robot, [driven.simulated(robot, frames)])
    assert strong["frames"] == 30 and strong["falls"] == 0 and strong["tracking_error_p95_rad"] < 0.1
    weak = replace(robot, effort=np.full(len(robot.joint_names), 0.01))
    worse = driven.figures_of(robot, [driven.simulated(robot, frames), driven.simulated(weak, frames)])
    assert worse["frames"] == 60 and worse["tracking_error_p95_rad"] > strong["tracking_error_p95_rad"]
    assert worse["worst_joint_p95_rad"] >= worse["tracking_error_p95_rad"] and worse["saturated_pct"] > 40.0
    lines = driven.page({"small": {"demo": strong, "all": worse}}, ["- date: today"]).splitlines()
    rows = [line for line in lines if line.startswith(("| robot", "| small", "| *asked"))]
    assert len(rows) == 4 and len({row.count("|") for row in rows}) == 1
