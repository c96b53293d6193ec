"""Fixtures of the tests of training."""

from __future__ import annotations

import pytest

from training.lifting import trainer


@pytest.fixture(autouse=True)
def standardised_by_few(monkeypatch):
    """Each of some thirty trainers takes mean and deviation of a few examples, which is enough for a test."""
    monkeypatch.setattr(trainer, "STANDARDISED", 512)
