"""Options of `pytest bench`."""

from __future__ import annotations

import pytest

import fanin
from fanin._bench.cases import Setting


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("fanin")
    group.addoption("--megabytes", type=int, default=64, help="size of a reused array, 2^20 bytes")
    group.addoption("--threads", type=int, default=fanin.runtime.threads(), help="for everybody")


@pytest.fixture(scope="session")
def setting(request: pytest.FixtureRequest) -> Setting:
    return Setting(request.config.getoption("threads"), request.config.getoption("megabytes"))
