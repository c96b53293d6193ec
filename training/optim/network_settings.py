"""Settings of networks from the command line, for new networks and for trained ones."""

from __future__ import annotations

import json
from dataclasses import asdict

from diffmocap.errors import SettingsError
from diffmocap.optim.learned import LearnedOptimizer
from diffmocap.optim.weights import build, kind_of


def settings_from(pairs: list[str]) -> dict:
    """``["norm=rms", "features.memory=true"]`` to {"norm": "rms", "features": {"memory": True}}."""
    settings: dict = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals:
            raise SettingsError(f"--set wants NAME=VALUE, got {pair!r}")
        try:
            value = json.loads(text)
        except ValueError:
            value = text  # a word without quotes
        *outer, last = name.split(".")
        place = settings
        for part in outer:
            place = place.setdefault(part, {})
        place[last] = value
    return settings


def with_settings(optimizer: LearnedOptimizer, changes: dict) -> LearnedOptimizer:
    """The same weights under other settings, those that no weight depends on: how many pairs are remembered, say.

    ``changes`` are as :func:`settings_from` makes them; the optimizer given stays as it is.

    Raises:
        SettingsError: unknown settings, values out of range, or settings that want weights of other shapes.
    """
    settings = asdict(optimizer.settings)
    if unknown := changes.keys() - settings.keys():
        raise SettingsError(f"{kind_of(optimizer)} has no setting {', '.join(sorted(unknown))}")
    for name, value in changes.items():
        if isinstance(settings[name], dict) and not isinstance(value, dict):
            raise SettingsError(f"{name} is a group of settings: set one of it, {name}.NAME=VALUE")
    merged = {k: {**v, **changes.get(k, {})} if isinstance(v, dict) else changes.get(k, v) for k, v in settings.items()}
    try:
        other = build(kind_of(optimizer), merged)
        other.load_state_dict(optimizer.state_dict())
    except (TypeError, RuntimeError) as e:
        raise SettingsError(f"trained weights do not fit the settings {changes}: {e}") from e
    return other.to(next(optimizer.parameters()).device)
