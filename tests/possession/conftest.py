"""Victims are compiled once a session; each test gets the engines that are there."""

from __future__ import annotations

import platform
from collections.abc import Iterator

import pytest

from eudaemon.possession.engine import Engine
from possession import engines
from possession.victims import Victim, Victims


@pytest.fixture(scope="session")
def victims(tmp_path_factory: pytest.TempPathFactory) -> Victims:
    """Return the compiler of victims."""
    if platform.machine() != "x86_64":
        pytest.skip("possession is for x86-64")
    return Victims(tmp_path_factory.mktemp("victims"))


@pytest.fixture(params=["stub", "real"])
def engine(request: pytest.FixtureRequest) -> Engine:
    """Return the stub engine, then the real one."""
    return engines.stub() if request.param == "stub" else engines.real()


@pytest.fixture
def stub() -> Engine:
    """Return the stub engine: for what does not depend on translation."""
    return engines.stub()


@pytest.fixture
def started(victims: Victims) -> Iterator[list[Victim]]:
    """Keep victims that a test starts, and end them with it."""
    kept: list[Victim] = []
    yield kept
    for victim in kept:
        victim.end()
