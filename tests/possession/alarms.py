"""A process is possessed in taint mode, and what is said of it and of the children that it forks.

Owns the one place where the tests of attacks and the benches ask for taint mode. A process of which something is said
goes no further, unless it is only to be observed: it is killed, before what it was about to do.
"""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from eudaemon import possession
from eudaemon.possession.engine import BUILT, load_engine
from eudaemon.possession.taint import Taint

ENGINE = Path(os.environ.get("EUDAEMON_ENGINE", BUILT))
# Said before the first instruction of the attacker's choice; the other kinds are said of what it then asks for.
TRANSFERS = frozenset(("return", "jump", "call", "code"))
LOOK_S = 0.003


def why_not() -> str:
    """Say why nothing can be possessed in taint mode here, or nothing."""
    return "" if (ENGINE / "seal.image").exists() else "needs the engine: make engine (with Rust)"


class Watch:
    """Hears what is said, in a thread of its own. A report is of `eudaemon.evidence.model.Report`."""

    def __init__(self, listener: Any) -> None:
        self._listener = listener
        self._over = threading.Event()
        self._wrong: BaseException | None = None
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self.reports: list[Any] = []
        self._passes = 0
        self._thread.start()

    def kinds(self) -> list[str]:
        """Return the kinds of all alerts so far, as words without spaces. What went wrong with listening is raised."""
        if self._wrong:
            raise self._wrong
        return [report.kind.replace(" ", "_") for report in self.reports]

    def first(self, within_s: float, process: subprocess.Popen[bytes] | None = None) -> str:
        """Wait for an alert, or for the end of a process; return the first one's kind, or nothing."""
        end_s = time.monotonic() + within_s
        while not self.kinds() and time.monotonic() < end_s:
            if process is not None and process.poll() is not None:
                self._settle()
                break
            time.sleep(LOOK_S)
        return (self.kinds() or [""])[0]

    def _settle(self) -> None:
        """Wait until all is heard that was said until now: an alert is examined still when its process has ended."""
        enough = self._passes + 2
        while self._passes < enough and self._thread.is_alive():
            time.sleep(LOOK_S)

    def close(self) -> None:
        """Listen no longer."""
        self._over.set()
        self._thread.join()

    def _listen(self) -> None:
        try:
            while not self._over.is_set():
                self.reports += [evidence.report for evidence in self._listener.poll()]
                self._passes += 1
                time.sleep(LOOK_S)
        except BaseException as error:  # noqa: BLE001  # it is raised where somebody asks
            self._wrong = error


@contextmanager
def watched(pid: int, source: str, *, stores: bool = False, on_alert: str = "kill") -> Iterator[Watch]:
    """Possess a process; `source` is as for `--taint`. With `stores` a tainted address of a store is an alert too.

    Whatever happens, it is released.
    """
    policy = Taint.of(source, on_alert, stores=stores)
    with possession.possess(pid, taint=policy, engine=load_engine(ENGINE)) as one, one.listener() as listener:
        watch = Watch(listener)
        try:
            yield watch
        finally:
            watch.close()
