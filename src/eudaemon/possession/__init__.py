"""Possession: a running native process is moved, mid-execution, into the engine (`native/seal`), and let go again.

Six verbs, in this order, each with its undo: seize, plant, wake, listen, withdraw, release. See
docs/decisions/possession.md. This package is the controller: it stops threads and
calls the engine; it translates nothing.

    from eudaemon.possession import possess

    with possess(pid) as possession:
        …
"""

from __future__ import annotations

from eudaemon.possession.errors import PossessionError, Refused, Replaced, Undone, Vanished
from eudaemon.possession.lifecycle import MODES, Possession, adopt, possess

__all__ = ["MODES", "Possession", "PossessionError", "Refused", "Replaced", "Undone", "Vanished", "adopt", "possess"]
