"""A process is possessed in taint mode, and what the engine says to what it does: the alerts, while their threads wait.

Owns the one place where tests and benches ask for taint mode and read alerts. They are read from the mailboxes as the
contract has them (`native/seal/src/abi.rs`): of the process, and of the children that it has forked since.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from eudaemon import possession
from eudaemon.possession.abi import Abi
from eudaemon.possession.engine import BUILT, load_engine
from eudaemon.possession.errors import PossessionError
from eudaemon.possession.mailbox import Mailbox, find_mailbox
from eudaemon.possession.maps import read_maps
from eudaemon.possession.memory import Memory
from eudaemon.possession.ptrace import Kernel

PATIENCE_MS = 120_000  # how long a thread waits before what it is about to do, for us to answer
ENGINE = Path(os.environ.get("EUDAEMON_ENGINE", BUILT))
KINDS = ("return", "jump", "call", "code", "execute", "call_number", "rights", "format", "store")
TRANSFERS = frozenset(("return", "jump", "call", "code"))  # said before the first instruction of the attacker's choice


@dataclass(frozen=True, slots=True)
class Alert:
    """What the engine has said, in the contract's words."""

    pid: int
    offset: int  # in the mailbox
    serial: int
    kind: str
    tid: int
    pc: int
    target: int
    place: int
    tags: int


def why_not() -> str:
    """Say why nothing can be possessed in taint mode here, or nothing."""
    if "taint" not in possession.MODES:
        return "the engine does not follow tags yet"
    return "" if (ENGINE / "seal.image").exists() else "needs the engine: make engine (with Rust)"


class Watch:
    """What is said of a process and its children."""

    def __init__(self, pid: int, abi: Abi) -> None:
        self.pid = pid
        self.abi = abi

    def alerts(self) -> list[Alert]:
        """Return all alerts so far."""
        return [alert for pid in _family(self.pid) for alert in self._of(pid)]

    def first(self, within_s: float) -> Alert | None:
        """Wait for an alert; return the first."""
        end_s = time.monotonic() + within_s
        while not (found := self.alerts()):
            if time.monotonic() > end_s:
                return None
            time.sleep(0.005)
        return found[0]

    def first_or_end(self, process: subprocess.Popen[bytes], within_s: float) -> Alert | None:
        """Wait for an alert or for the end of the process, whatever comes first."""
        end_s = time.monotonic() + within_s
        while process.poll() is None and time.monotonic() < end_s:
            if found := self.alerts():
                return found[0]
            time.sleep(0.002)
        return None

    def answer(self, alert: Alert, verdict: str) -> None:
        """Let the thread go on (observe), end (contain), or its process end (kill)."""
        field = self.abi.records["Alert"]["verdict"]
        with _mailbox(alert.pid, self.abi) as mailbox:
            value = self.abi[f"verdict::{verdict.upper()}"].to_bytes(field.size, "little")
            mailbox.memory.write(mailbox.address + alert.offset + field.offset, value)

    def _of(self, pid: int) -> Iterator[Alert]:
        kinds = {self.abi[f"alert::{kind.upper()}"]: kind for kind in KINDS}
        record = self.abi.records["Alert"]
        found = []
        with suppress(PossessionError, OSError), _mailbox(pid, self.abi) as mailbox:
            field = mailbox.record["alerts"]
            raw = mailbox.memory.read(mailbox.address + field.offset, field.size)
            for at in range(0, len(raw), record.size):
                serial, kind, *rest = record.unpack(
                    raw, "serial", "kind", "tid", "pc", "target", "place", "tags", at=at
                )
                if serial:
                    found.append(Alert(pid, field.offset + at, serial, kinds.get(kind, f"kind {kind}"), *rest))
        yield from sorted(found, key=lambda alert: alert.serial)


@contextmanager
def watched(pid: int, source: str, *, stores: bool = False) -> Iterator[Watch]:
    """Possess a process in taint mode. `source` is words as for `--taint`: inet, unix, stdin, file:GLOB, by commas.

    With `stores` an address of a store that has a tag is an alert too. Whatever happens, it is released.
    """
    engine = load_engine(ENGINE)
    with possession.possess(pid, mode="taint", engine=engine):
        with _mailbox(pid, engine.abi) as mailbox:
            _tell(mailbox, engine.abi, source, stores)
        yield Watch(pid, engine.abi)


def _tell(mailbox: Mailbox, abi: Abi, source: str, stores: bool) -> None:
    bits = 0
    for word in source.split(","):
        name, _, glob = word.partition(":")
        bits |= abi[f"source::{name.upper()}"]
        if glob:
            _name_files(mailbox, abi, glob)
    mailbox.set("patience_ms", PATIENCE_MS)
    mailbox.set("on_alert", abi["verdict::KILL"])
    mailbox.set("store_alerts", int(stores))
    mailbox.set("sources", bits)


def _name_files(mailbox: Mailbox, abi: Abi, glob: str) -> None:
    record, count = abi.records["File"], 0
    for path in sorted(Path(glob).parent.iterdir()):
        if fnmatch(str(path), glob) and count < abi["FILES_MAX"]:
            entry, status = bytearray(record.size), path.stat()
            record.pack(entry, device=status.st_dev, inode=status.st_ino)
            mailbox.memory.write(mailbox.address + mailbox.record["files"].offset + count * record.size, entry)
            count += 1
    mailbox.set("file_count", count)


@contextmanager
def _mailbox(pid: int, abi: Abi) -> Iterator[Mailbox]:
    memory = Memory(Kernel(), pid)
    try:
        address = find_mailbox(read_maps(pid), memory, abi)
        if address is None:
            raise PossessionError(f"process {pid} is not possessed", "")
        yield Mailbox(memory, abi, address)
    finally:
        memory.close()


def _family(pid: int) -> list[int]:
    found, todo = [], [pid]
    while todo:
        one = todo.pop(0)
        found.append(one)
        with suppress(OSError):
            for task in Path(f"/proc/{one}/task").iterdir():
                todo += map(int, (task / "children").read_text().split())
    return found
