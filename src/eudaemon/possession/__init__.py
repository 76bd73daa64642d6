"""Possession: a running native process is moved, mid-execution, into the engine (`native/seal`), and let go again.

Six verbs, in this order, each with its undo: seize, plant, wake, listen, withdraw, release. See
docs/decisions/possession.md. This package is the controller: it stops threads and
calls the engine; it translates nothing.

    from eudaemon.possession import possess

    with possess(pid) as possession:
        …

    with possess(pid, taint="inet") as possession:
        for evidence in possession.alerts():
            …
"""

from __future__ import annotations

from eudaemon.possession.errors import PossessionError, Refused, Replaced, Undone, Vanished
from eudaemon.possession.lifecycle import MODES, Possession, adopt, possess
from eudaemon.possession.taint import SOURCES, VERDICTS, Taint

__all__ = [
    "MODES", "SOURCES", "VERDICTS", "Possession", "PossessionError", "Refused", "Replaced", "Taint", "Undone",
    "Vanished", "adopt", "possess",
]  # fmt: skip
