"""Possession needs an x86-64 machine, the right to trace, and the engine."""

from __future__ import annotations

import os
import platform

import pytest

from possession import cycles


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
    return ""
