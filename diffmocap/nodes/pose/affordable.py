"""What is given up where poses come late, in the order of what it is worth for what it costs.

Several hypotheses first: they bring least. Then all but the first step of the correction, the sampler's steps, and last
the physics. The refinement fills what time is left with its steps, so that it seems short always: what its steps beyond
:data:`WORTHY_STEPS` take is time to spare, and for those all else is given up. But for the physics itself: without a
step it still halves the jitter and holds feet that stand.
"""

from __future__ import annotations

from dataclasses import replace

from diffmocap.pipeline.settings import PipelineSettings
from diffmocap.types import BodyState

#: Steps of the refinement that are worth more than what is given up before physics.
WORTHY_STEPS = 2


def levels_of(settings: PipelineSettings) -> int:
    """How many levels there are to give up, as :class:`~diffmocap.nodes.pose.step_budget.StepBudget` counts them: one
    for each sampler step, for the correction's further steps, and for the hypotheses beside the first."""
    lifting = settings.lifting
    return lifting.steps + int(_corrects_twice(settings)) + int(lifting.hypotheses > 1)


def at_level(settings: PipelineSettings, level: int) -> PipelineSettings:
    """The settings of a level; 0 is one sampler step without physics."""
    lifting, steps = settings.lifting, min(level, settings.lifting.steps)
    left = level - lifting.steps
    all_of_correction = left > 0 or not _corrects_twice(settings)
    several = left > int(_corrects_twice(settings))
    if lifting.hypotheses > 1 and not several:
        lifting = replace(lifting, hypotheses=1)
    lifting = replace(
        lifting, steps=max(steps, 1), correction_steps=lifting.correction_steps if all_of_correction else 1
    )
    enabled = settings.refinement.enabled and steps > 0
    return replace(settings, lifting=lifting, refinement=replace(settings.refinement, enabled=enabled))


def spare_ms(state: BodyState, used: PipelineSettings) -> float:
    """What a pose's refinement took for steps beyond those that are worth most; negative where it lacks the time for
    these."""
    refinement, physics = used.refinement, state.physics
    if physics is None or not refinement.enabled:
        return 0.0
    return (physics.iterations - min(WORTHY_STEPS, refinement.live.iterations)) * physics.step_ms


def refined_ms(state: BodyState) -> float:
    """What a pose's refinement took for all its steps."""
    return state.physics.iterations * state.physics.step_ms if state.physics is not None else 0.0


def given_up(asked: PipelineSettings, used: PipelineSettings) -> str:
    """What the level lacks, in words; empty where it lacks nothing."""
    if asked.refinement.enabled and not used.refinement.enabled:
        return "no physics"
    if used.lifting.steps < asked.lifting.steps:
        return f"{used.lifting.steps} of {asked.lifting.steps} sampler steps"
    if used.lifting.hypotheses < asked.lifting.hypotheses:
        return f"{used.lifting.hypotheses} of {asked.lifting.hypotheses} hypotheses"
    return ""


def _corrects_twice(settings: PipelineSettings) -> bool:
    return settings.lifting.correction and settings.lifting.correction_steps > 1
