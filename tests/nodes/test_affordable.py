"""Hypotheses go first, then the correction's further steps, the sampler's steps, and the physics last."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from diffmocap.lifting.settings import LiftingSettings
from diffmocap.nodes.pose.affordable import WORTHY_STEPS, at_level, given_up, levels_of, spare_ms
from diffmocap.pipeline.settings import PipelineSettings
from diffmocap.refinement.settings import PhysicsSettings
from diffmocap.types import BodyPhysics, BodyState

ASKED = PipelineSettings(
    refinement=PhysicsSettings(), lifting=LiftingSettings(steps=3, hypotheses=5, correction_steps=2)
)


def test_every_level_gives_up_one_thing_more():
    assert levels_of(ASKED) == 5
    found = [at_level(ASKED, level) for level in range(5, -1, -1)]
    assert found[0] == ASKED
    rows = [(s.lifting.hypotheses, s.lifting.correction_steps, s.lifting.steps, s.refinement.enabled) for s in found]
    assert rows == [(5, 2, 3, True), (1, 2, 3, True), (1, 1, 3, True), (1, 1, 2, True), (1, 1, 1, True),
                    (1, 1, 1, False)]  # fmt: skip


@pytest.mark.parametrize("correction", [True, False])
def test_what_is_not_there_is_no_level(correction):
    lifting = replace(ASKED.lifting, hypotheses=1, correction=correction, steps=1)
    settings = replace(ASKED, lifting=lifting)
    assert levels_of(settings) == 1 + correction and at_level(settings, levels_of(settings)) == settings
    assert at_level(settings, 1).lifting == replace(lifting, correction_steps=1 if correction else 2)


def test_what_is_given_up_is_told():
    told = [given_up(ASKED, at_level(ASKED, level)) for level in range(5, -1, -1)]
    assert told == ["", "1 of 5 hypotheses", "1 of 5 hypotheses", "2 of 3 sampler steps", "1 of 3 sampler steps",
                    "no physics"]  # fmt: skip
    still = replace(ASKED, refinement=replace(ASKED.refinement, enabled=False))
    assert given_up(still, at_level(still, 0)) == "1 of 3 sampler steps"


def test_time_to_spare_is_that_of_steps_beyond_those_that_are_worth_most():
    def spare(iterations: int | None, most: int = 4, enabled: bool = True) -> float:
        physics = None if iterations is None else BodyPhysics(torch.zeros(69), iterations=iterations, step_ms=1.5)
        parts = torch.zeros(24, 3, 3), torch.zeros(3), torch.zeros(24, 3, 3), torch.zeros(3, 3), torch.zeros(24, 3)
        live = replace(ASKED.refinement.live, iterations=most)
        refinement = replace(ASKED.refinement, enabled=enabled, live=live)
        return spare_ms(BodyState(*parts, physics=physics), replace(ASKED, refinement=refinement))

    assert WORTHY_STEPS == 2 and [spare(n) for n in (0, 1, 2, 4)] == [-3.0, -1.5, 0.0, 3.0]
    assert spare(1, most=1) == 0.0 and spare(None) == 0.0 and spare(4, enabled=False) == 0.0
