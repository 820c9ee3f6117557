"""What every test may ask for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import fanin
from fanin import _core

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(params=fanin.runtime.isas())
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    """Runs the test once on each instruction set this machine has."""
    before = fanin.runtime.isa()
    _core.debug.set_isa(request.param)
    yield request.param
    _core.debug.set_isa(before)


@pytest.fixture
def root() -> Path:
    """The repository."""
    return ROOT
