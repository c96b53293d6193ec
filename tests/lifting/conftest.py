"""Fixtures of the lifting's tests."""

from __future__ import annotations

from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def diffusers() -> ModuleType:
    """The library whose schedules and samplers ours are compared with."""
    return pytest.importorskip("diffusers")
