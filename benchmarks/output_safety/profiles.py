"""The ways of publishing that are judged: the output's profiles, or the one way there is where it has none."""

from __future__ import annotations

from dataclasses import fields, replace

from diffmocap.pipeline.settings import PipelineSettings
from diffmocap.refinement.settings import PhysicsSettings

PROFILES = ("animation", "robot")


def pipeline_settings() -> dict[str, PipelineSettings]:
    """Default settings by profile, with all iterations of the refinement in every frame; "published" without one."""
    plain = PipelineSettings(refinement=PhysicsSettings().without_time_limit())
    for field in fields(plain):
        stage = getattr(plain, field.name)
        if hasattr(stage, "profile"):
            return {p: replace(plain, **{field.name: replace(stage, profile=p)}) for p in PROFILES}
    return {"published": plain}
