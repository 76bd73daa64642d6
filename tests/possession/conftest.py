"""Possession needs an x86-64 machine, the right to trace, and an engine. The controller's victims, and the engines."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator

import pytest

from eudaemon.possession.engine import Engine
from possession import cycles, engines
from possession.ctl import Victim, Victims


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    reason = _why_not()
    if reason:
        for item in items:
            if "possession" in item.path.parts:
                item.add_marker(pytest.mark.skip(reason=reason))


def _why_not() -> str:
    if platform.machine() != "x86_64":
        return f"possession is for x86-64, and this is {platform.machine()}"
    if cycles.MODE == "nothing":
        return ""
    if os.geteuid() != 0:
        return "possession of processes needs root here: run the tests as root"
    if not (cycles.ENGINE / "seal.image").exists():
        return "needs the engine: make engine (with Rust)"
    return ""


@pytest.fixture(scope="session")
def victims(tmp_path_factory: pytest.TempPathFactory) -> Victims:
    """Return the compiler of the controller's victims."""
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
