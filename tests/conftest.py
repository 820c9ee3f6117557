"""What every test may ask for."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

import fanin
from fanin import _core

ROOT = Path(__file__).resolve().parents[1]


def pytest_configure() -> None:
    """Listen to Ctrl-C: a shell starts its background jobs, and so all they start, deaf to it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


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
