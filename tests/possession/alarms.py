"""A process is possessed in taint mode, and what is said of it and of the children that it forks.

Owns the one place where the tests of attacks and the benches ask for taint mode. A thread of which something is said
goes no further: its process is killed, before what it was about to do.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from eudaemon import possession
from eudaemon.possession.engine import BUILT, load_engine

ENGINE = Path(os.environ.get("EUDAEMON_ENGINE", BUILT))
# Said before the first instruction of the attacker's choice; the other kinds are said of what it then asks for.
TRANSFERS = frozenset(("return", "jump", "call", "code"))
LOOK_S = 0.003


def why_not() -> str:
    """Say why nothing can be possessed in taint mode here, or nothing."""
    if find_spec("eudaemon.possession.taint") is None:
        return "taint mode is not there yet"
    return "" if (ENGINE / "seal.image").exists() else "needs the engine: make engine (with Rust)"


class Watch:
    """Hears what is said. A report is of `eudaemon.evidence.model.Report`."""

    def __init__(self, listener: Any) -> None:
        self._listener = listener
        self.reports: list[Any] = []

    def kinds(self) -> list[str]:
        """Return the kinds of all alerts so far, as words without spaces."""
        self.reports += [evidence.report for evidence in self._listener.poll()]
        return [report.kind.replace(" ", "_") for report in self.reports]

    def first(self, within_s: float, process: subprocess.Popen[bytes] | None = None) -> str:
        """Wait for an alert, or for the end of a process; return the first one's kind, or nothing."""
        end_s = time.monotonic() + within_s
        while not (kinds := self.kinds()):
            is_over = process is not None and process.poll() is not None
            if is_over or time.monotonic() > end_s:
                return ""
            time.sleep(LOOK_S)
        return kinds[0]


@contextmanager
def watched(pid: int, source: str, *, stores: bool = False) -> Iterator[Watch]:
    """Possess a process; `source` is as for `--taint`. With `stores` a tainted address of a store is an alert too.

    Whatever happens, it is released.
    """
    from eudaemon.possession.taint import Taint

    policy = Taint.of(source, "kill", stores=stores)
    with possession.possess(pid, taint=policy, engine=load_engine(ENGINE)) as one, one.listener() as listener:  # type: ignore[call-arg,attr-defined]
        yield Watch(listener)
