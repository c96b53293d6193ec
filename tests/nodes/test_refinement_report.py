"""What diagnostics say about a ground that feet do not rest on."""

from __future__ import annotations

import pytest
import torch

from diffmocap.nodes.pose.refinement_report import RefinementReport
from diffmocap.refinement.settings import PhysicsSettings
from diffmocap.types import BodyPhysics, BodyState


class Board:
    """Stands in for Diagnostics: what was said last."""

    def __init__(self) -> None:
        self.values, self.problems = {}, {}

    def count(self, name: str, by: int = 1) -> None:
        self.values[name] = self.values.get(name, 0) + by

    def set(self, name: str, value: object) -> None:
        self.values[name] = value

    def problem(self, name: str, message: str) -> None:
        self.problems[name] = message

    def solved(self, name: str) -> None:
        self.problems.pop(name, None)


@pytest.fixture
def state() -> BodyState:
    return BodyState(
        torch.eye(3).expand(24, 3, 3), torch.zeros(3), torch.zeros(24, 3, 3), torch.zeros(3, 3), torch.zeros(24, 3),
        physics=BodyPhysics(torch.zeros(69), ground_source="camera height and pitch given"),
    )  # fmt: skip


@pytest.mark.parametrize("off_m, said", [(0.31, "0.31 m above"), (-0.2, "0.20 m below")])
def test_a_floor_that_feet_do_not_rest_on_is_a_problem_until_they_do(state, off_m, said):
    board = Board()
    report = RefinementReport(board)
    state.physics.ground_contradiction_m = off_m
    report.tell(state, PhysicsSettings(), "")
    assert said in board.problems["floor"] and "camera_height" in board.problems["floor"]
    state.physics.ground_contradiction_m = 0.0
    report.tell(state, PhysicsSettings(), "")
    assert not board.problems and board.values["ground"] == "camera height and pitch given"
    assert board.values["refined"] == 2


def test_what_is_missing_is_told_while_physics_is_on(state):
    board = Board()
    report = RefinementReport(board)
    report.tell(state, PhysicsSettings(), "no transform of map")
    assert board.problems == {"ground": "no transform of map"}
    state.physics = None  # no physics in this frame is no reason to go on about what has arrived
    report.tell(state, PhysicsSettings(), "")
    assert not board.problems
    report.tell(state, PhysicsSettings(enabled=False), "no transform of map")
    assert not board.problems and board.values["physics"] == "off"
